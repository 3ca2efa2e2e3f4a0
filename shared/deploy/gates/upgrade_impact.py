"""The gate `upgrade impact`: who would lose what by the new version, counted before it ships."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from shared.deploy.model import Gate
from shared.kernel.errors import Refused, Unavailable, UsageError
from shared.kernel.versions import Version
from shared.upgrades.decide import assess_losses, needed_probes, select_rules
from shared.upgrades.model import ProbeKey, UpgradeLoss, UpgradeObservation, UpgradeRule

NAME = "upgrade impact"
CountProbes = Callable[[Collection[ProbeKey]], UpgradeObservation]
_HINT = (
    "Give these users another way in first (a password, LDAP, SAML, a licence with the module), or let two "
    "people override the gate; see docs/runbooks/deploy-failed.md"
)
_UNKNOWN_HINT = "Make it countable, or set deploy.upgrade_impact to close in policy.yaml"


def check_upgrade_impact(
    count: CountProbes, rules: Sequence[UpgradeRule], running: str, target: str, *, mode: str
) -> Gate | None:
    """The gate for going from `running` to `target`, empty where unknown; None if policy's `mode` is `off`.

    A database that does not answer makes everything unknown: the gates beside this one say that it is away.
    """
    if mode == "off":
        return None
    new, old = Version.parse(target), Version.parse(running)
    if new is None or old == new:
        return Gate(NAME, True, "Rocket.Chat's version does not change")
    fired = select_rules(rules, old, new)
    step = f"{old} to {new}" if old else f"{new}"
    if not fired:
        return Gate(NAME, True, f"no rule is about {step}")
    try:
        observation = count(needed_probes(fired))
    except (Refused, Unavailable, UsageError) as error:
        loss = UpgradeLoss("", f"{new}: not counted: {error.public}", locks_out=True, unknown=True)
        # It may answer in a minute, and a gate that is closed for good would cost a merge.
        gate = decide_impact_gate([loss], step, mode=mode)
        return replace(gate, pending=not gate.passed)
    return decide_impact_gate(assess_losses(fired, observation), step, mode=mode)


def decide_impact_gate(losses: Sequence[UpgradeLoss], step: str, *, mode: str) -> Gate:
    """Closed by what locks somebody out, unless `mode` is `warn`; in `strict`, by what may, too."""
    closing = [
        loss
        for loss in losses
        if loss.locks_out and (mode == "strict" or (mode == "close" and not loss.unknown))
    ]
    warnings = tuple(loss.text for loss in losses if loss not in closing)
    if closing:
        hint = _HINT if any(not loss.unknown for loss in closing) else _UNKNOWN_HINT
        return Gate(NAME, False, "; ".join(loss.text for loss in closing), hint, warnings=warnings)
    count = f"{len(warnings)} warning{'' if len(warnings) == 1 else 's'}"
    return Gate(NAME, True, f"nobody is known to be locked out by {step}, {count}", warnings=warnings)
