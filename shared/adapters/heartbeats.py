"""`HeartbeatService` over HTTP, by the ping URLs of healthchecks.io: `URL/start`, `URL`, `URL/fail`.

https://healthchecks.io/docs/http_api/
The URLs are secrets: who knows one can keep the alarm from coming. Logs name the job only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from shared.kernel.errors import UsageError
from shared.kernel.secret import Secret
from shared.notifications.heartbeat import Signal

log = logging.getLogger(__name__)

# Short: a job must not last longer because the service that watches it is slow.
_TIMEOUT_SECONDS = (2, 3)
_SUFFIXES = {Signal.START: "/start", Signal.SUCCESS: "", Signal.FAIL: "/fail"}
_HINT = "Write job=url, separated by white space: power_tick=https://hc-ping.com/UUID"


class HttpHeartbeats:
    """One ping URL for each job."""

    def __init__(self, urls: Mapping[str, Secret]) -> None:
        self._urls = dict(urls)

    def ping(self, job: str, signal: Signal, body: str) -> None:
        """See `HeartbeatService.ping`. Redirects are not followed: the address is for this host."""
        url = self._urls.get(job)
        if url is None:
            return
        import requests

        facts = {"job": job, "signal": signal.value}
        try:
            answer = requests.post(
                build_ping_url(url.reveal(), signal),
                data=body.encode(), headers={"Content-Type": "text/plain; charset=utf-8"},
                timeout=_TIMEOUT_SECONDS, allow_redirects=False,
            )  # fmt: skip
        except requests.RequestException as error:
            # Its text holds the address.
            log.warning("heartbeat.ping_failed", extra={**facts, "error": type(error).__name__})
            return
        # An unknown UUID is answered with 200 (`OK (not found)`): that address shows by the alarm that comes.
        if answer.status_code != 200:
            log.warning("heartbeat.ping_refused", extra={**facts, "error": f"status {answer.status_code}"})


def build_ping_url(url: str, signal: Signal) -> str:
    """The URL of a signal: the suffix belongs to the path, before a query such as `?create=1`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + _SUFFIXES[signal]))


def parse_ping_urls(text: str) -> dict[str, Secret]:
    """`power_tick=https://… backup=https://…`: one address for each job. Raises UsageError, quoting none."""
    urls: dict[str, Secret] = {}
    for number, word in enumerate(text.split(), start=1):
        name, equals, url = word.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z_]{0,39}", name) or not _is_address(url):
            raise UsageError(f"entry {number} is not of the form job=url, with https", hint=_HINT)
        if name in urls:
            raise UsageError(f"entry {number} is the second for its job", value=name, hint=_HINT)
        urls[name] = Secret(url)
    return urls


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in ("127.0.0.1", "localhost"))
    )
