"""Which MongoDB versions a release of Rocket.Chat works with: `https://releases.rocket.chat/<version>/info`."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.kernel.errors import UsageError

if TYPE_CHECKING:
    import requests

_MOST_BYTES = 1 << 20
_VERSION = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,6}", re.ASCII)


class ChatReleases:
    """The list, by release."""

    def __init__(
        self, session: requests.Session, url: str, *, timeout: timedelta = timedelta(seconds=10)
    ) -> None:
        self._session, self._url, self._timeout = session, url.rstrip("/"), timeout

    def compatible(self, version: str) -> tuple[str, ...] | None:
        """`("5.0", "6.0", "7.0")` for `7.13.0`; None if it cannot be found out."""
        import requests

        # The beginning only: an image's tag may go on with `-alpine`. And nothing else of it gets into the
        # address.
        match = _VERSION.match(version.removeprefix("v"))
        if not match:
            return None
        try:
            with self._session.get(
                f"{self._url}/{match[0]}/info",
                timeout=self._timeout.total_seconds(),
                allow_redirects=False,
                stream=True,
            ) as answer:
                # None is "not known" and closes no gate by itself; that is for the gate to say.
                if answer.status_code != 200:
                    return None
                body: bytes = next(answer.iter_content(_MOST_BYTES), b"")
        except requests.RequestException:
            return None
        return parse_info(body)


def parse_info(body: bytes) -> tuple[str, ...] | None:
    """`compatibleMongoVersions` of the answer; None if it has none."""
    try:
        listed = json.loads(body)["compatibleMongoVersions"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(listed, list) or not listed or not all(isinstance(one, str) for one in listed):
        return None
    return tuple(listed)


def connect(url: str) -> ChatReleases:
    """Imports requests. Raises UsageError for what is no HTTP address."""
    import requests

    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UsageError("not an address", value=url, hint="It looks like https://releases.rocket.chat")
    session = requests.Session()
    session.trust_env = False
    return ChatReleases(session, url)
