"""The host's access keys: made at the first start, kept in one file that only its owner can read.

https://learn.microsoft.com/azure/azure-functions/function-keys-how-to
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

EVENT_GRID_SYSTEM_KEY = "eventgrid_extension"


class KeyLevel(Enum):
    """How much a caller must prove."""

    ANONYMOUS = "anonymous"
    FUNCTION = "function"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of a host. `repr` shows none."""

    master: str
    host: Mapping[str, str]
    system: Mapping[str, str]
    functions: Mapping[str, str]

    def __repr__(self) -> str:
        return "Keys(**redacted**)"

    def allow(self, level: KeyLevel, function: str, presented: str | None) -> bool:
        """Whether the presented key opens an HTTP function of that level."""
        if level is KeyLevel.ANONYMOUS:
            return True
        accepted = [self.master]
        if level is KeyLevel.FUNCTION:
            # A host key opens every function, a function's own only that one.
            accepted += [*self.host.values(), self.functions[function]]
        return _matches_any(presented, accepted)

    def allow_system(self, extension: str, presented: str | None) -> bool:
        """Whether the presented key opens the webhook of that extension."""
        return _matches_any(presented, [self.master, self.system[extension]])


def presented_key(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The key a request shows: the header, and only without one the query parameter."""
    # A wrong key in the header is not made good by a right one in the query.
    return headers.get("x-functions-key", query.get("code"))


def load_keys(path: Path, functions: Iterable[str]) -> Keys:
    """Read the keys, make those that are missing, and write them back with mode 0600."""
    stored: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    merged = {
        "master": ["_master"],
        "host": ["default"],
        "system": [EVENT_GRID_SYSTEM_KEY],
        "functions": list(functions),
    }
    for kind, names in merged.items():
        known = stored.setdefault(kind, {})
        for name in names:
            # Kept over restarts, so that a bookmark of a developer goes on working.
            known.setdefault(name, secrets.token_urlsafe(40))
    _write_keys(path, json.dumps(stored, indent=2))
    return read_keys(path)


def read_keys(path: Path) -> Keys:
    """Read what `load_keys` has written."""
    stored = json.loads(path.read_text())
    return Keys(stored["master"]["_master"], stored["host"], stored["system"], stored["functions"])


def _matches_any(presented: str | None, accepted: Iterable[str]) -> bool:
    if presented is None:
        return False
    shown = presented.encode()
    # All are compared, so that the time taken does not tell which key it was.
    return sum(hmac.compare_digest(shown, key.encode()) for key in accepted) > 0


def _write_keys(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    # With its mode from the first byte on, and put in place whole: a crash leaves the old keys.
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
