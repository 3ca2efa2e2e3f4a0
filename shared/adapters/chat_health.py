"""Whether Rocket.Chat serves, over HTTP: `/livez` and `/readyz`, or `/health` up to version 7.10."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.health.ports import Health
from shared.kernel.errors import UsageError

if TYPE_CHECKING:
    import requests

_LIVEZ_SINCE = (7, 11)
_INFO_BYTES = 1 << 16


class ChatHealth:
    """A `Probe` of the server at `url`."""

    def __init__(
        self, session: requests.Session, url: str, *, timeout: timedelta = timedelta(seconds=5)
    ) -> None:
        self._session, self._url, self._timeout = session, url.rstrip("/"), timeout

    def check(self) -> Health:
        """See `Probe.check`."""
        import requests

        try:
            status, text = self._get("/api/info")
            if status != 200:
                return Health(False, f"/api/info answers {status}")
            version = parse_version(text)
            # Alive is not ready: a server whose database is away answers the first and not the second.
            for path in paths_for(version):
                status, _ = self._get(path)
                if status != 200:
                    return Health(False, f"{path} answers {status}")
        except requests.RequestException as error:
            return Health(False, f"no answer ({type(error).__name__})")
        number = ".".join(map(str, version)) if version else "of unknown version"
        return Health(True, f"Rocket.Chat {number} is ready")

    def _get(self, path: str) -> tuple[int, str]:
        # Redirects are not followed: a proxy's page for maintenance elsewhere would be a healthy 200.
        answer = self._session.get(
            self._url + path, timeout=self._timeout.total_seconds(), allow_redirects=False, stream=True
        )
        with answer:
            head: bytes = next(answer.iter_content(_INFO_BYTES), b"")
        return answer.status_code, head.decode("utf-8", "replace")


def connect(url: str) -> ChatHealth:
    """A probe of the server at `url`. Imports requests. Raises UsageError for what is no HTTP address."""
    import requests

    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise UsageError(
            "not the address of a chat", value=url, hint="It looks like https://chat.example.org"
        )
    return ChatHealth(requests.Session(), url)


def parse_version(info: str) -> tuple[int, int] | None:
    """Major and minor of `/api/info`, which says `8.2` or, to administrators, `8.2.1`."""
    match = re.search(r'"version"\s*:\s*"(\d{1,4})\.(\d{1,4})', info)
    return (int(match[1]), int(match[2])) if match else None


def paths_for(version: tuple[int, int] | None) -> tuple[str, ...]:
    """What to ask a server of that version; the newer paths where it is not known."""
    return ("/health",) if version and version < _LIVEZ_SINCE else ("/livez", "/readyz")
