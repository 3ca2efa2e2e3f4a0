"""Retries of the storage SDKs for somebody who waits at a terminal.

What is waited for is said, and a host that never answered is given up early.

The pauses of a nightly job do not suit: a wrong name would be half a minute of silence. Once the
account has answered, an outage in the middle of a long command is sat out as anywhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from threading import Timer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.azure.sdk import root_cause_name

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest

_SILENCE = timedelta(seconds=3)  # after so long somebody at a terminal wonders


@dataclass(frozen=True, slots=True)
class FirstContact:
    """How long a host that never answered is tried, and who is told what is waited for.

    `within` bounds all attempts of a request together: after it none is begun. `attempt` bounds each of them.
    """

    within: timedelta
    notify: Callable[[str], None]
    attempt: timedelta = timedelta(seconds=10)
    silence: timedelta = _SILENCE


def build_contact_policy(contact: FirstContact, options: dict[str, Any]) -> object:
    """A retry policy for one storage client, blobs or queues: it remembers whether the account has answered.

    `options` are those of the SDK's `ExponentialRetry`.
    """
    from azure.storage.blob import ExponentialRetry

    limit, attempt = contact.within.total_seconds(), contact.attempt.total_seconds()

    class ContactRetry(ExponentialRetry):
        """The SDK's policy, and the waiting said aloud."""

        answered = False

        def configure_retries(self, request: PipelineRequest[Any]) -> dict[str, Any]:
            return {**super().configure_retries(request), "began": time.monotonic()}

        def send(self, request: PipelineRequest[Any]) -> Any:
            if not self.answered:
                # Else a firewall that drops packets is waited for as long as each attempt may last.
                request.context.options.update(connection_timeout=attempt, read_timeout=attempt)
            silent = f"waiting for {_host_of(request.http_request)}, which has not answered yet"
            with nullcontext() if self.answered else _tell_after(contact, silent):
                response = super().send(request)  # type: ignore[no-untyped-call]
            self.answered = True
            return response

        def increment(
            self, settings: dict[str, Any], request: Any, response: Any = None, error: Any = None
        ) -> bool:
            self.answered = self.answered or response is not None
            if not super().increment(settings, request, response=response, error=error):
                return False
            pause = self.initial_backoff + self.increment_base ** settings["count"]
            if not self.answered and time.monotonic() - settings["began"] + pause > limit:
                return False
            _tell_pause(contact, request, response, error, pause)
            return True

    return ContactRetry(**options)


def _tell_pause(contact: FirstContact, request: Any, response: Any, error: Any, pause: float) -> None:
    # By name only: texts of connection errors quote the URL, and with it a signature.
    reason = root_cause_name(error) if response is None else f"HTTP {response.status_code}"
    contact.notify(f"cannot reach {_host_of(request)} ({reason}): trying again in about {pause:g} s")


@contextmanager
def _tell_after(contact: FirstContact, text: str) -> Iterator[None]:
    timer = Timer(contact.silence.total_seconds(), contact.notify, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _host_of(request: Any) -> str:
    return str(urlsplit(request.url).netloc).rpartition("@")[2]
