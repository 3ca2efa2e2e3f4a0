"""The wiring of `/api/health`: what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shared.kernel.errors import Unavailable
from shared.wiring import backups, clock, policy, state

if TYPE_CHECKING:
    from shared.kernel.ports import Blobs
from shared.wiring.backup import backup


def health_checks() -> Mapping[str, Callable[[], str]]:
    """What `/api/health` looks at."""
    return {
        "settings": lambda: f"{len(backup().recipients)} recipients",
        "policy": lambda: f"time zone {policy().timezone}",
        "storage": lambda: _readable(state(), "locks/"),
        "backups": _newest_backup,
        "mongodb": lambda: f"version {backup().connect().read_server_version()}",
    }


def _readable(store: Blobs, prefix: str) -> str:
    next(iter(store.list(prefix)), None)
    return "readable"


def _newest_backup() -> str:
    from shared.backup.sets import list_sets

    sealed = [s for s in list_sets(backups()) if s.state == "sealed"]
    age = clock().now() - sealed[-1].created if sealed else None
    if age is None or age > policy().backup.alarm_after:
        raise Unavailable("there is no recent backup", value=age, hint="See `groundcrew backups list`.")
    return f"the newest is {age.total_seconds() / 3600:.1f} hours old"
