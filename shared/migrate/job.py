"""`groundcrew migrate`: what the command line calls."""

from __future__ import annotations

from shared.migrate.decide import plan_migration
from shared.migrate.deps import MigrationDeps as MigrationDeps
from shared.migrate.model import MigrationOptions, MigrationPlan
from shared.migrate.observe import observe_source, observe_target
from shared.migrate.records import load_migration


def plan_move(deps: MigrationDeps, options: MigrationOptions) -> MigrationPlan:
    """What a migration would do, and what is in its way. Changes nothing. Raises UsageError, Unavailable."""
    source = observe_source(deps, options)
    record = load_migration(deps.state)
    ours = record is not None and not record.phase.ended and record.source == source.server.hosts
    created = record.created if record and ours else {}
    target = observe_target(
        deps, source.databases, created, replayed=bool(ours and record and record.copied_until)
    )
    return plan_migration(source, target, options)
