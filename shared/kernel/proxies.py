"""The proxy that the environment names for an address, as `requests` finds it (NO_PROXY is minded)."""

from __future__ import annotations

import os
import sys


def find_proxy(url: str) -> str:
    """The proxy's URL, or an empty text."""
    named = any(name.lower().endswith("_proxy") for name in os.environ)
    # On macOS and Windows the system's settings name one too. Elsewhere there is nothing to ask for, and
    # `requests` costs a fresh worker a tenth of a second.
    if not named and sys.platform not in ("darwin", "win32"):
        return ""
    import requests

    return requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or ""
