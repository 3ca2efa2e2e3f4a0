"""Asks all gates of a deploy, so that one reads at once everything there is to do. Changes nothing.

What the forge says is asked in `gating_forge`, what the chart is and makes of the cluster in `gating_chart`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from functools import reduce

from shared.deploy.deps import DeployDeps
from shared.deploy.gates.base import Gating as Gating
from shared.deploy.gates.chart import ChartGates
from shared.deploy.gates.forge import ForgeGates
from shared.deploy.gates.versions import newer
from shared.deploy.model import Gate
from shared.deploy.ports.releases import Revision
from shared.deploy.records.requests import DeployRequest
from shared.deploy.watermark import RUNBOOK
from shared.kernel.errors import Corrupt, NotFound
from shared.records.approvals import Approvals

OVERRIDE = "deploy.override"
# Without these there is nothing to deploy, and an older version is only started after a restore.
NEVER = frozenset({"chart", "record", "release", "template", "version"})
# What must have been asked before anything is applied, whatever else was.
ALWAYS = (
    *("pull request", "branch", "order", "approvals", "checks", "environment", "paths"),
    *("chart", "values", "secrets in values", "helm lint", "template", "schema"),
    *("secrets in manifests", "secrets there", "version", "headroom"),
)
_NUMBERS = re.compile(r"\d[\d,.]*")


def ask(deps: DeployDeps, request: DeployRequest, *, since: datetime | None = None) -> Gating:
    """All gates of a request. Raises `Unavailable` if an outside system does not answer.

    `since` is when the commit was first asked about.
    """
    found = Gating(since=since)
    _belongs(deps, found)
    ForgeGates(deps, request, found).ask()
    ChartGates(deps, request, found).ask()
    if found.standing == "go":
        found.gates += _not_asked(found)
    # As they are told, so that the reason that people agreed to is the one that they read.
    found.gates = [_overridden(deps, request, gate) for gate in found.report.gates]
    return found


def _belongs(deps: DeployDeps, found: Gating) -> None:
    """Which version the data belong to, by our own record; a gate only if that cannot be read."""
    try:
        watermark = deps.watermarks.read()
        versions = [deps.ledger.read(one).version for one in deps.policy.environments]
    except Corrupt as error:
        hint = f"{error.hint} See {RUNBOOK}".strip()
        found.gates.append(Gate("record", False, str(error.message), hint))
        return
    found.mark_version = reduce(newer, [*versions, watermark.version if watermark else ""])


def _not_asked(found: Gating) -> list[Gate]:
    """A gate that needs another's answer is closed as long as it was not asked itself."""
    asked = {gate.name for gate in found.gates}
    wanted = (*ALWAYS[:3], "history", *ALWAYS[3:]) if found.has_base else ALWAYS
    closed = next((gate for gate in found.gates if not gate.passed), None)
    why = f"not asked, since {closed.name} is closed" if closed else "not asked"
    pending = closed is not None and closed.pending
    return [Gate(name, False, why, pending=pending) for name in wanted if name not in asked]


def _overridden(deps: DeployDeps, request: DeployRequest, gate: Gate) -> Gate:
    """A closed gate that two people agreed to pass for this commit, for this reason."""
    if gate.passed or gate.name in NEVER:
        return gate
    approvals = Approvals(deps.state, deps.clock)
    agreed = approvals.granted(OVERRIDE, override(request.sha, request.environment, gate))
    if agreed is None:
        return gate
    who = f"overridden by {agreed.requester} and {agreed.approver}"
    return replace(gate, passed=True, pending=False, reason=f"{who}: {gate.reason}")


def override(sha: str, environment: str, gate: Gate) -> dict[str, str]:
    """What an approval to pass a closed gate is bound to: its reason, too, but for what is measured anew."""
    reason = _NUMBERS.sub("…", gate.reason) if gate.name == "headroom" else gate.reason
    return {"sha": sha, "environment": environment, "gate": gate.name, "reason": reason[:1000]}


def revision(deps: DeployDeps, number: int) -> Revision:
    """The revision of that number. Raises NotFound."""
    found = next((one for one in deps.releases.history() if one.number == number), None)
    if found is None:
        raise NotFound(
            "the release has no such revision", value=number, hint="See groundcrew deploy history."
        )
    return found
