"""The wiring of `/api/health`: what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shared.wiring import clock, policy, state
from shared.wiring.backup import backup, catalogue

if TYPE_CHECKING:
    from shared.kernel.ports import Blobs


def health_checks() -> Mapping[str, Callable[[], str]]:
    """What `/api/health` looks at."""
    return {
        "settings": lambda: f"{len(backup().recipients)} recipients",
        "policy": lambda: f"time zone {policy().timezone}",
        "storage": lambda: _readable(state(), "locks/"),
        "backups": _check_backups,
        "mongodb": lambda: f"version {backup().connect().read_server_version()}",
    }


def _readable(store: Blobs, prefix: str) -> str:
    next(iter(store.list(prefix)), None)
    return "readable"


def _check_backups() -> str:
    from shared.backup.health import check_newest_backup
    from shared.backup.verify import retention_start

    now, rules = clock().now(), policy().backup
    return check_newest_backup(catalogue(), now, rules.alarm_after, retention_start(rules.keep, now))
