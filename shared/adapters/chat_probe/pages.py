"""Rocket.Chat's pages that need no sign-in: read bounded, and its version by `/api/info`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.kernel.versions import Version

if TYPE_CHECKING:
    import requests

_MOST_BYTES = 1 << 18
# Before it, one path answered both questions.
_LIVEZ_SINCE = Version(7, 11, 0)
_VERSION = re.compile(r'"version"\s*:\s*"(\d{1,4}\.\d{1,4}(?:\.\d{1,6})?)', re.ASCII)


class ChatPages:
    """The pages of the server at `url`; each answer within `timeout` for every step of the connection."""

    def __init__(self, session: requests.Session, url: str, timeout: timedelta) -> None:
        self._session, self._url, self._timeout = session, url.rstrip("/"), timeout

    def fetch(self, path: str) -> tuple[int, str]:
        """Status and the beginning of the body, at most 256 KiB. Raises requests' errors."""
        # Redirects are not followed: a proxy's page for maintenance elsewhere would be a healthy 200.
        answer = self._session.get(
            self._url + path, timeout=self._timeout.total_seconds(), allow_redirects=False, stream=True
        )
        # What serves there may be anything: a page without an end must not fill our memory.
        with answer:
            head: bytes = next(answer.iter_content(_MOST_BYTES), b"")
        return answer.status_code, head.decode("utf-8", "replace")


def connect_pages(url: str, timeout: timedelta) -> ChatPages:
    """The pages at `url`. Imports requests. Raises UsageError for what is no HTTP address."""
    import requests

    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise UsageError(
            "not the address of a chat", value=url, hint="It looks like https://chat.example.org"
        )
    return ChatPages(requests.Session(), url, timeout)


def parse_version(info: str) -> str:
    """What `/api/info` says: `8.2`, or to administrators `8.2.1`; empty if it names none."""
    # Not by JSON: of a body that was cut at its bound, or is a proxy's page, the rest does not matter.
    match = _VERSION.search(info)
    return match[1] if match else ""


def health_paths(version: str) -> tuple[str, ...]:
    """What to ask a server of that version, readiness last; the newer paths where it is not known."""
    known = Version.parse(version)
    return ("/health",) if known is not None and known < _LIVEZ_SINCE else ("/livez", "/readyz")
