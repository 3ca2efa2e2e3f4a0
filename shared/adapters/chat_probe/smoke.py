"""Whether Rocket.Chat came up as the version that was deployed, and lets people in.

Three questions, none of which needs to sign in: `/api/info` tells the version, the readiness path says that
it serves, and the start page is the one with the sign-in.
"""

from __future__ import annotations

from datetime import timedelta

from shared.adapters.chat_probe.pages import ChatPages, connect_pages, health_paths, parse_version
from shared.health.ports import Health
from shared.kernel.versions import Version

# Longer than a probe's: the first pages of a server that has just started are slow, and it is asked again.
_TIMEOUT = timedelta(seconds=10)


class ChatSmoke:
    """The server behind `pages`."""

    def __init__(self, pages: ChatPages) -> None:
        self._pages = pages

    def check_release(self, expected: str) -> Health:
        """Whether it runs `expected` (`8.2.1`), bounded in time; one that does not answer is unhealthy."""
        import requests

        try:
            return self._check_release(expected)
        except requests.RequestException as error:
            return Health(False, f"no answer ({type(error).__name__})")

    def _check_release(self, expected: str) -> Health:
        status, text = self._pages.fetch("/api/info")
        if status != 200:
            return Health(False, f"/api/info answers {status}")
        reported = parse_version(text)
        if not is_same_version(reported, expected):
            return Health(False, f"it says it is {reported or 'of no version'}, not {expected}")
        # By the expected version: the reported one may lack its patch, and is the same by now.
        readiness = health_paths(expected)[-1]
        status, _ = self._pages.fetch(readiness)
        if status != 200:
            return Health(False, f"{readiness} answers {status}")
        # Behind a proxy the API may be up while the page is a 502: people use the page.
        status, text = self._pages.fetch("/home")
        if status != 200 or not is_login_page(text):
            return Health(False, f"the page with the sign-in is not there (HTTP {status})")
        return Health(True, f"Rocket.Chat {reported} lets people in")


def is_same_version(reported: str, expected: str) -> bool:
    """`8.2` is `8.2.1` to anybody who is not an administrator; an expected text that is no version is any."""
    version = Version.parse(expected)
    # A digest or `latest` names no version: that the server tells one at all is all that can be asked.
    if version is None:
        return bool(reported)
    return reported in (str(version), version.series)


def is_login_page(page: str) -> bool:
    """Rocket.Chat's client is one page: a Meteor bundle that draws the sign-in itself."""
    return "__meteor_runtime_config__" in page or "rocket" in page.lower()


def connect_smoke(url: str) -> ChatSmoke:
    """Imports requests. Raises UsageError for what is no HTTP address."""
    return ChatSmoke(connect_pages(url, _TIMEOUT))
