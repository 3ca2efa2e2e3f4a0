"""The wiring of the retention of backups."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import BACKUPS, load_policy, open_container, open_state, system_clock
from shared.wiring.backup import trusted_catalogue

if TYPE_CHECKING:
    from shared.kernel.ports import Blobs
    from shared.prune.deps import PruneDeps


@cache
def prune_deps() -> PruneDeps:
    """All that the retention needs. Raises UsageError."""
    from shared.prune.deps import PruneDeps

    rules = load_policy().backup
    return PruneDeps(
        catalogue=trusted_catalogue(),
        remover=_open_remover,
        state=open_state(),
        clock=system_clock(),
        rules=rules.keep,
        # Else a lifecycle rule or nobody deletes: then it is computed and shown, and nothing is removed.
        deletes=rules.retention == "self",
    )


def run_retention() -> str:
    """What the timer does."""
    from shared.prune import job

    return job.run_retention(prune_deps())


def run_overdue() -> str:
    """What `catch_up` does."""
    from shared.prune import job

    return job.run_overdue(prune_deps())


@cache
def _open_remover() -> Blobs:
    """The container by the identity of the settings, if the account is opened by identity at all."""
    account, client_id = read_environment().backup_storage(), read_environment().get(definitions.RETENTION_ID)
    # A connection string or a SAS carries its own rights: there is no identity to put in its place.
    if client_id and not account.connection_string and not account.sas:
        account = replace(account, client_id=client_id, identity_resource_id="", managed=True)
    return open_container(account, BACKUPS)
