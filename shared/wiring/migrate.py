"""The wiring of migrations."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from shared.settings.environment import all_or_nothing
from shared.wiring import load_policy, open_state, system_clock

if TYPE_CHECKING:
    from shared.kernel.ports import Blobs, Clock, Reporter
    from shared.migrate.deps import MigrationDeps


def build_migration_deps(
    from_uri: str, to_uri: str, *, reporter: Reporter, jobs: int = 4, needs_approval: bool = False
) -> MigrationDeps:
    """All that a migration needs. Raises one UsageError with all faults of the two URIs and the settings."""
    from shared.adapters.mongodb import connect_moving, connect_source, connect_target
    from shared.migrate.deps import MigrationDeps
    from shared.wiring.notifications import build_notifier
    from shared.wiring.people import open_approvals

    pause = partial(_wait_for_mongodb, reporter)
    read = all_or_nothing(
        state=open_state,
        notifications=build_notifier,
        source=lambda: connect_source(from_uri),
        target=lambda: connect_target(to_uri, pause=pause),
    )
    return MigrationDeps(
        # Connections of their own: one that waits for a cursor of the copy answers nobody else.
        source_control=connect_moving(from_uri),
        target_control=connect_moving(to_uri),
        clock=system_clock(),
        reporter=reporter,
        pause=time.sleep,
        approvals=open_approvals if needs_approval else None,
        approval_timeout=load_policy().deploy.approval_timeout,
        jobs=jobs,
        **read,
    )


def migration_state() -> tuple[Blobs, Clock]:
    """Where the record of the migration is, for those that need no server."""
    return open_state(), system_clock()


def _wait_for_mongodb(reporter: Reporter, seconds: float) -> None:
    reporter.note(f"lost the connection to MongoDB: trying again in {seconds:g} s")
    time.sleep(seconds)
