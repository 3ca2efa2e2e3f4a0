"""Asks all gates of a deploy, so that one reads at once everything there is to do. Changes nothing.

What the forge says is asked in `gating_forge`, what the chart is and makes of the cluster in `gating_chart`.
"""

from __future__ import annotations

from dataclasses import replace

from shared.core.deploy_words import Gate
from shared.errors import NotFound
from shared.ports_deploy import Revision
from shared.state.approvals import Approvals
from shared.state.asking import Gating as Gating
from shared.state.deploys import Request
from shared.state.gating_chart import ChartGates
from shared.state.gating_forge import ForgeGates
from shared.state.shipping import Shipping

OVERRIDE = "deploy.override"
# Without a chart there is nothing to deploy, and an older version is only started after a restore.
NEVER = frozenset({"chart", "template", "version"})


def ask(shipping: Shipping, request: Request) -> Gating:
    """All gates of a request. Raises `Unavailable` if an outside system does not answer."""
    found, mark = Gating(), shipping.marks.read()
    found.mark_version = mark.version if mark else ""
    ForgeGates(shipping, request, found).ask()
    ChartGates(shipping, request, found).ask()
    found.gates = [_overridden(shipping, request, gate) for gate in found.gates]
    return found


def _overridden(shipping: Shipping, request: Request, gate: Gate) -> Gate:
    """A closed gate that two people agreed to pass for this commit."""
    if gate.passed or gate.name in NEVER:
        return gate
    approvals = Approvals(shipping.state, shipping.clock)
    agreed = approvals.granted(OVERRIDE, override(request.sha, request.environment, gate.name))
    if agreed is None:
        return gate
    who = f"overridden by {agreed.requester} and {agreed.approver}"
    return replace(gate, passed=True, pending=False, reason=f"{who}: {gate.reason}")


def override(sha: str, environment: str, gate: str) -> dict[str, str]:
    """What an approval to pass a closed gate is bound to."""
    return {"sha": sha, "environment": environment, "gate": gate}


def revision(shipping: Shipping, number: int) -> Revision:
    """The revision of that number. Raises NotFound."""
    found = next((one for one in shipping.releases.history() if one.number == number), None)
    if found is None:
        raise NotFound(
            "the release has no such revision", value=number, cure="See groundcrew deploy history."
        )
    return found
