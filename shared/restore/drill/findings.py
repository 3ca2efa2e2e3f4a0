"""What a drill found on the scratch server and in the cluster's state, and what that says of the set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.backup.rewrap import add_file_keys
from shared.backup.verify import read_state_part
from shared.cluster_state.check import StateVerdict, check_state
from shared.formats.backupset import Manifest
from shared.formats.extra_parts import CLUSTER_STATE
from shared.formats.proofs import FAILED, INTERRUPTED, PROVEN
from shared.kernel.errors import Corrupt, GroundcrewError
from shared.kernel.ports import Reporter
from shared.restore.drill.decide import find_first_problem
from shared.restore.drill.deps import DrillDeps
from shared.restore.model import RestoreResult


@dataclass(frozen=True, slots=True)
class DrillFindings:
    """What a restore on the scratch server showed."""

    result: RestoreResult | None = None
    invalid: Mapping[str, Sequence[str]] | None = None
    validated: int = 0
    restore_seconds: float = 0.0
    error: GroundcrewError | None = None
    state: StateVerdict | None = None  # of the cluster's state, if the set holds one


def judge_findings(findings: DrillFindings) -> tuple[str, str]:
    """Damage of the set is a failed drill; a system or a guard that failed says nothing of the set."""
    if findings.error is not None:
        outcome = FAILED if isinstance(findings.error, Corrupt) else INTERRUPTED
        return outcome, str(findings.error)
    if findings.result is None:
        return INTERRUPTED, "nothing was restored"
    problem = find_first_problem(findings.result, findings.invalid or {})
    if not problem and findings.state is not None and findings.state.problem:
        problem = f"cluster state: {findings.state.problem}"
    return (FAILED, problem) if problem else (PROVEN, "")


def check_set_state(deps: DrillDeps, manifest: Manifest, reporter: Reporter) -> StateVerdict | None:
    """Open the cluster's state of the set and hold it against the cluster; None if the set holds none.

    Raises Corrupt for a part that is not what was sealed, Unavailable.
    """
    parts = [part for part in manifest.extra_parts if part.kind == CLUSTER_STATE]
    if not parts or deps.state_checks is None:
        return None
    reporter.phase("Checking the cluster's state", 1)
    # As the restore does: a key that is newer than the set opens it by the file keys beside it.
    opening = add_file_keys(deps.catalogue.blobs, manifest, deps.identities)
    state = read_state_part(deps.catalogue.blobs, manifest, parts[0], opening)
    verdict = check_state(state, deps.state_checks)
    reporter.note(f"cluster state: {verdict.summary}")
    reporter.advance(1)
    return verdict
