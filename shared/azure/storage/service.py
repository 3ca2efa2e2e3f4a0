"""Requests to one service of a storage account: signed, bounded, tried again, over kept connections."""

from __future__ import annotations

import os
import ssl
import time
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.azure.managed_identity import is_sign_in_error
from shared.azure.storage.authorization import Authorization
from shared.azure.storage.calls import API_VERSION, StorageAnswer, StorageCall
from shared.azure.storage.errors import (
    from_answer,
    from_failure,
    is_passing,
    root_cause_name,
)
from shared.azure.storage.retries import FirstContact, Retries
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.proxies import find_proxy
from shared.kernel.version import VERSION

if TYPE_CHECKING:
    from urllib3 import PoolManager

# Blocks in flight, the chunk read ahead, the lease: more at once open connections that are not kept.
_CONNECTIONS = 16


class StorageService:
    """The blob or the queue service at an address; used by several threads at once."""

    def __init__(self, url: str, authorization: Authorization, retries: Retries) -> None:
        parts = urlsplit(url)
        self._base, self._prefix, self.host = f"{parts.scheme}://{parts.netloc}", parts.path, parts.netloc
        self._authorization, self._retries = authorization, retries
        self._pool = open_pool(self._base)
        self._answered = False

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def send(
        self,
        method: str,
        path: str,
        message: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        only_within: float = 0.0,
    ) -> StorageAnswer:
        """The answer, if it is a success. Raises the error that says what else came of it, about `message`.

        With `only_within`, in seconds, it is tried once and given up after that time.
        """
        call = StorageCall(method, f"{self._prefix}{path}", query or {}, headers or {}, body)
        began, challenged = time.monotonic(), False
        attempt = 1
        while True:
            outcome = self._try(call, only_within)
            if isinstance(outcome, StorageAnswer):
                if outcome.status < 300:
                    return outcome
                # Once, and not counted: a token of the right tenant is another request.
                if not challenged and self._authorization.takes_challenge(outcome):
                    challenged = True
                    continue
            last = bool(only_within) or attempt >= self._retries.attempts
            if last or not _is_worth_another(outcome) or self._is_given_up(began, attempt):
                raise _to_error(outcome, message)
            self._pause(attempt, outcome)
            attempt += 1

    def _try(self, call: StorageCall, only_within: float) -> StorageAnswer | Exception:
        """One attempt: the answer, whatever it says, or what kept it from coming."""
        from urllib3.exceptions import HTTPError

        contact = None if self._answered else self._retries.contact
        limits = self._limits(contact, only_within)
        silent = f"waiting for {self.host}, which has not answered yet"
        try:
            with nullcontext() if contact is None else contact.tell_after_silence(silent):
                answer = self._exchange(call, limits)
        except (HTTPError, OSError, Refused) as error:
            return error
        except Exception as error:
            if not is_sign_in_error(error):  # a mistake of ours is not taken for the service's
                raise
            return error
        self._answered = True
        return answer

    def _limits(self, contact: FirstContact | None, only_within: float) -> tuple[float, float]:
        """The seconds for the connection, and for each wait for the next bytes."""
        if only_within:
            return only_within, only_within
        if contact is not None:
            # Else a firewall that drops packets is waited for as long as each attempt may last.
            return contact.attempt.total_seconds(), contact.attempt.total_seconds()
        return self._retries.connect_timeout.total_seconds(), self._retries.read_timeout.total_seconds()

    def _exchange(self, call: StorageCall, limits: tuple[float, float]) -> StorageAnswer:
        import urllib3

        call = replace(call, headers={**call.headers, **_own_headers()})
        headers = {**call.headers, **self._authorization.headers(call)}
        url = f"{self._base}{call.target}"
        if signature := self._authorization.query:
            url = f"{url}{'&' if call.query else '?'}{signature}"
        response = self._pool.request(
            call.method, url, body=call.body if call.method in ("PUT", "POST") else None,
            headers=headers, timeout=urllib3.Timeout(connect=limits[0], read=limits[1]),
            # No redirects: a request that is signed for this host is for no other. No decoding: what was
            # stored is what is read.
            redirect=False, retries=False, decode_content=False,
        )  # fmt: skip
        return StorageAnswer(
            response.status, {name.lower(): value for name, value in response.headers.items()}, response.data
        )

    def _is_given_up(self, began: float, attempt: int) -> bool:
        """Whether somebody waits for a host that never answered, and has waited as long as was said."""
        contact = self._retries.contact
        if contact is None or self._answered:
            return False
        waited = time.monotonic() - began + self._retries.pause_seconds(attempt)
        return waited > contact.within.total_seconds()

    def _pause(self, attempt: int, outcome: StorageAnswer | Exception) -> None:
        retry_after, reason = 0.0, ""
        if isinstance(outcome, StorageAnswer):
            retry_after, reason = outcome.retry_after, f"HTTP {outcome.status}"
        if (contact := self._retries.contact) is not None:
            # By name only: texts of connection errors quote the URL, and with it a signature.
            reason = reason or root_cause_name(outcome)  # type: ignore[arg-type]
            pause = self._retries.pause_seconds(attempt)
            contact.notify(f"cannot reach {self.host} ({reason}): trying again in about {pause:g} s")
        time.sleep(self._retries.draw_pause(attempt, retry_after))


def _is_worth_another(outcome: StorageAnswer | Exception) -> bool:
    if isinstance(outcome, StorageAnswer):
        return is_passing(outcome.status)
    # A certificate that is not trusted now is not trusted in a minute either.
    return not isinstance(outcome, Refused) and root_cause_name(outcome) != "SSLCertVerificationError"


def _to_error(outcome: StorageAnswer | Exception, message: str) -> GroundcrewError:
    if isinstance(outcome, StorageAnswer):
        return from_answer(outcome, message)
    return from_failure(outcome, message)


def _own_headers() -> dict[str, str]:
    """What each attempt has anew: its time, and an id by which Microsoft's support finds it."""
    return {
        "x-ms-version": API_VERSION,
        "x-ms-date": formatdate(usegmt=True),
        "x-ms-client-request-id": str(uuid.uuid4()),
        "user-agent": f"groundcrew/{VERSION}",
        "accept": "application/xml",
    }


def open_pool(base: str) -> PoolManager:
    """Kept connections to an address: TLS checked, through the proxy that the environment names."""
    import urllib3

    options: dict[str, Any] = {"maxsize": _CONNECTIONS, "retries": False}
    if base.startswith("https:"):
        options["ssl_context"] = _tls_context(os.environ.get("REQUESTS_CA_BUNDLE", ""))
    proxy = find_proxy(base)
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


@cache
# Once: to read the authorities of the world costs a fresh worker a fiftieth of a second.
def _tls_context(bundle: str) -> ssl.SSLContext:
    """Chain, name and time are checked, by the authorities that `requests` takes too."""
    import certifi
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context()
    trusted = bundle or certifi.where()
    context.load_verify_locations(**{"capath" if Path(trusted).is_dir() else "cafile": trusted})
    return context
