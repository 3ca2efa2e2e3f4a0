"""Evaluates all gates of a deploy, so that one report names everything there is to do. Changes nothing.

The forge's gates are in `lineage` and `reviews`, the chart's in `chart`, those of versions in
`compatibility`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import reduce

from shared.deploy.deps import DeployDeps
from shared.deploy.gates.base import GateRunner
from shared.deploy.gates.chart import evaluate_chart
from shared.deploy.gates.compatibility import evaluate_versions
from shared.deploy.gates.lineage import ForgeReader, evaluate_lineage
from shared.deploy.gates.rehearsal import evaluate_rehearsal
from shared.deploy.gates.results import (
    CommitGates,
    GateResults,
    RehearsalVerdict,
    VersionGates,
    redact_gates,
    secrets_of,
)
from shared.deploy.gates.reviews import evaluate_reviews
from shared.deploy.gates.versions import newer_version
from shared.deploy.model import Gate
from shared.deploy.ports.releases import Revision
from shared.deploy.records.requests import DeployRequest
from shared.deploy.watermark import RUNBOOK
from shared.kernel.errors import Corrupt, NotFound

OVERRIDE = "deploy.override"
# Without these there is nothing to deploy, and an older version is only started after a restore.
NOT_OVERRIDABLE = frozenset({"chart", "record", "release", "template", "version"})
# The gates that must have been evaluated before anything is applied.
REQUIRED = (
    *("pull request", "branch", "order", "approvals", "checks", "environment", "paths"),
    *("chart", "values", "secrets in values", "helm lint", "template", "schema"),
    *("helm", "secrets in manifests", "references", "rights", "version", "headroom"),
)
_NUMBERS = re.compile(r"\d[\d,.]*")


def evaluate_gates(deps: DeployDeps, request: DeployRequest, *, since: datetime | None = None) -> GateResults:
    """All gates of a request. Raises `Unavailable` if an outside system does not answer.

    `since` is when the commit was first evaluated: what is new may not be listed by the forge yet.
    """
    watermark_gates, watermark = load_version_watermark(deps)
    commit = evaluate_commit(deps, request, since=since)
    chart = evaluate_chart(deps, request.sha)
    versions = evaluate_versions(deps, chart, watermark) if chart.manifests else VersionGates()
    gates = [*watermark_gates, *commit.gates, *chart.gates, *versions.gates]
    # A commit that is deployed already, or superseded, needs no gates to end.
    if commit.decision == "go":
        gates += _missing_gates(gates, has_base=commit.has_base)
    rehearsal = RehearsalVerdict()
    if commit.decision == "go":
        rehearsal = evaluate_rehearsal(deps, request, commit, chart, versions, gates)
        gates += [rehearsal.gate] if rehearsal.gate else []
    # Redacted first, so that the reason that an override is bound to is the one that people read.
    redacted = redact_gates(gates, secrets_of(chart.chart))
    final = tuple(_apply_override(deps, request, gate) for gate in redacted)
    return GateResults(final, commit, chart, versions, rehearsal)


def evaluate_commit(
    deps: DeployDeps, request: DeployRequest, *, since: datetime | None = None
) -> CommitGates:
    """The gates that the forge answers. Raises `Unavailable`."""
    runner, forge = GateRunner(), ForgeReader(deps, request)
    lineage = evaluate_lineage(runner, forge, since=since)
    decision, reason = lineage.decision, lineage.reason
    if lineage.pulls:
        unchanged = evaluate_reviews(runner, forge, lineage)
        decision, reason = ("superseded", unchanged) if unchanged else (decision, reason)
    return CommitGates(runner.gates, lineage.pull, lineage.has_base, decision, reason)


def load_version_watermark(deps: DeployDeps) -> tuple[list[Gate], str]:
    """The newest version of Rocket.Chat that may have migrated the data, by our own records.

    A closed gate if a record cannot be read.
    """
    try:
        watermark = deps.watermarks.read()
        # Of every environment: the newest version that ever ran on the data counts, wherever it was deployed
        # from.
        versions = [deps.ledger.read(environment).version for environment in deps.policy.environments]
    except Corrupt as error:
        hint = f"{error.hint} See {RUNBOOK}".strip()
        return [Gate("record", False, str(error.message), hint)], ""
    return [], reduce(newer_version, [*versions, watermark.version if watermark else ""])


def _missing_gates(gates: Sequence[Gate], *, has_base: bool) -> list[Gate]:
    """A closed gate for each required one that was not evaluated, as another one could not say what it needs.

    They are pending if the first closed gate is.
    """
    evaluated = {gate.name for gate in gates}
    required = (*REQUIRED[:3], "history", *REQUIRED[3:]) if has_base else REQUIRED
    closed = next((gate for gate in gates if not gate.passed), None)
    reason = f"not evaluated: {closed.name} is closed" if closed else "not evaluated"
    pending = closed is not None and closed.pending
    return [Gate(name, False, reason, pending=pending) for name in required if name not in evaluated]


def _apply_override(deps: DeployDeps, request: DeployRequest, gate: Gate) -> Gate:
    """The gate, open if two people agreed to override it for this commit and this reason."""
    # No approval is looked for where none would count.
    if gate.passed or gate.name in NOT_OVERRIDABLE:
        return gate
    approvals = deps.approvals()
    approval = approvals.find_granted(OVERRIDE, override_arguments(request.sha, request.environment, gate))
    if approval is None:
        return gate
    reason = f"overridden by {approval.requester} and {approval.approver}: {gate.reason}"
    return replace(gate, passed=True, pending=False, reason=reason)


def override_arguments(sha: str, environment: str, gate: Gate) -> dict[str, str]:
    """What an approval to override a closed gate is bound to.

    The reason is part of it; the figures of `headroom` are not, as they are measured anew each time.
    """
    reason = _NUMBERS.sub("…", gate.reason) if gate.name == "headroom" else gate.reason
    return {"sha": sha, "environment": environment, "gate": gate.name, "reason": reason[:1000]}


def find_revision(deps: DeployDeps, number: int) -> Revision:
    """The release's revision of that number. Raises NotFound."""
    history = deps.releases.history()
    revision = next((revision for revision in history if revision.number == number), None)
    if revision is None:
        raise NotFound(
            "the release has no such revision", value=number, hint="See groundcrew deploy history."
        )
    return revision
