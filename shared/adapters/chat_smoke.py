"""Whether Rocket.Chat came up as the version that was deployed, and lets people in.

Three questions, none of which needs to sign in: `/api/info` tells the version, the readiness path says that
it serves, and the start page is the one with the sign-in.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.health.ports import Health
from shared.kernel.errors import UsageError
from shared.kernel.versions import Version

if TYPE_CHECKING:
    import requests

_MOST_BYTES = 1 << 18
_READYZ_SINCE = Version(7, 11, 0)


class ChatSmoke:
    """The server at `url`."""

    def __init__(
        self, session: requests.Session, url: str, *, timeout: timedelta = timedelta(seconds=10)
    ) -> None:
        self._session, self._url, self._timeout = session, url.rstrip("/"), timeout

    def check_release(self, expected: str) -> Health:
        """Whether it runs `expected` (`8.2.1`), bounded in time; a server that does not answer is unwell."""
        import requests

        try:
            return self._check_release(expected)
        except requests.RequestException as error:
            return Health(False, f"no answer ({type(error).__name__})")

    def _check_release(self, expected: str) -> Health:
        status, text = self._get("/api/info")
        if status != 200:
            return Health(False, f"/api/info answers {status}")
        reported = told_version(text)
        if not same_version(reported, expected):
            return Health(False, f"it says it is {reported or 'of no version'}, not {expected}")
        version = Version.parse(expected)
        ready = "/health" if version is not None and version < _READYZ_SINCE else "/readyz"
        status, _ = self._get(ready)
        if status != 200:
            return Health(False, f"{ready} answers {status}")
        # Behind a proxy the API may be up while the page is a 502: people use the page.
        status, text = self._get("/home")
        if status != 200 or not is_login_page(text):
            return Health(False, f"the page with the sign-in is not there (HTTP {status})")
        return Health(True, f"Rocket.Chat {reported} lets people in")

    def _get(self, path: str) -> tuple[int, str]:
        answer = self._session.get(
            self._url + path, timeout=self._timeout.total_seconds(), allow_redirects=False, stream=True
        )
        with answer:
            head: bytes = next(answer.iter_content(_MOST_BYTES), b"")
        return answer.status_code, head.decode("utf-8", "replace")


def told_version(info: str) -> str:
    """What `/api/info` says: `8.2`, or to administrators `8.2.1`; empty if nothing."""
    match = re.search(r'"version"\s*:\s*"(\d{1,4}\.\d{1,4}(?:\.\d{1,6})?)', info)
    return match[1] if match else ""


def same_version(reported: str, expected: str) -> bool:
    """`8.2` is `8.2.1` to anybody who is not an administrator; an expected text that is no version is any."""
    version = Version.parse(expected)
    # A digest or `latest` names no version: that the server tells one at all is all that can be asked.
    if version is None:
        return bool(reported)
    return reported in (str(version), version.series)


def is_login_page(page: str) -> bool:
    """Rocket.Chat's client is one page: a Meteor bundle that draws the sign-in itself."""
    return "__meteor_runtime_config__" in page or "rocket" in page.lower()


def connect(url: str) -> ChatSmoke:
    """Imports requests. Raises UsageError for what is no HTTP address."""
    import requests

    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        hint = "It looks like https://chat.example.org"
        raise UsageError("not the address of a chat", value=url, hint=hint)
    return ChatSmoke(requests.Session(), url)
