"""What follows a drill: people are told, and a set that does not restore is replaced by a new one."""

from __future__ import annotations

import logging

from shared.backup.catalogue import SetState
from shared.formats.proofs import FAILED, PROVEN, DrillProof
from shared.kernel.errors import GroundcrewError
from shared.restore.drill.deps import DrillDeps
from shared.restore.drill.notices import describe_measures, drill_notice, send_notice

log = logging.getLogger(__name__)


def follow_up(deps: DrillDeps, proof: DrillProof) -> None:
    """Tell people; after a failed drill begin a new backup, since the newest one does not restore."""
    more = describe_measures(proof) if proof.outcome == PROVEN else ""
    if proof.outcome == FAILED:
        more = _begin_backup(deps, proof)
    send_notice(deps.notifications, drill_notice(proof, more))


def _begin_backup(deps: DrillDeps, proof: DrillProof) -> str:
    newest = next(deps.catalogue.newest_first(), None)
    # One is being made already, by the night or by a person: a second would only slow it.
    if newest is not None and newest.state is SetState.OPEN:
        return f"A new backup is being made: {newest.info.folder}"
    try:
        folder = deps.begin_backup(f"drill: {proof.klass}/{proof.set} does not restore")
    except GroundcrewError as error:
        log.exception("drill.backup_not_begun", extra={"run": proof.run})
        return f"A new backup could not be begun: {error}"
    return f"A new backup was begun: {folder}"
