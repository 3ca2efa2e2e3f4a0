"""Whether Rocket.Chat serves, over HTTP: `/livez` and `/readyz`, or `/health` up to version 7.10."""

from __future__ import annotations

from datetime import timedelta

from shared.adapters.chat_probe.pages import ChatPages, connect_pages, health_paths, parse_version
from shared.health.ports import Health

# The probe is part of a tick and of a page: an answer that takes longer is as good as none.
_TIMEOUT = timedelta(seconds=5)


class ChatHealth:
    """A `Probe` of a server."""

    def __init__(self, pages: ChatPages) -> None:
        self._pages = pages

    def check(self) -> Health:
        """See `Probe.check`."""
        import requests

        try:
            status, text = self._pages.fetch("/api/info")
            if status != 200:
                return Health(False, f"/api/info answers {status}")
            version = parse_version(text)
            # Alive is not ready: a server whose database is away answers the first and not the second.
            for path in health_paths(version):
                status, _ = self._pages.fetch(path)
                if status != 200:
                    return Health(False, f"{path} answers {status}")
        except requests.RequestException as error:
            # Its class only: the text has the address, which is nothing for a public page.
            return Health(False, f"no answer ({type(error).__name__})")
        return Health(True, f"Rocket.Chat {version or 'of unknown version'} is ready")


def connect_health(url: str) -> ChatHealth:
    """A probe of the server at `url`. Imports requests. Raises UsageError for what is no HTTP address."""
    return ChatHealth(connect_pages(url, _TIMEOUT))
