"""Whether the server is off on purpose, so that a job which needs it waits instead of failing loudly."""

from __future__ import annotations

import logging

from shared.kernel.errors import GroundcrewError
from shared.power.attempts import Act
from shared.power.inventory import Inventory, ObservedMachine
from shared.power.model import PowerStatus

log = logging.getLogger(__name__)

_OFF = (PowerStatus.DEALLOCATING, PowerStatus.DEALLOCATED)


def offline_reason(inventory: Inventory) -> str:
    """Why the server cannot be reached, if all machines under schedule are off by power's own doing.

    Empty if one of them runs, is gone, fails to start or was shut down by somebody else, and if Azure cannot
    be asked: then a job that fails says what is wrong. One listing of states for each kind of machine.
    """
    try:
        machines = [
            machine for kind in inventory.kinds for machine in inventory.observe(inventory.targets(kind))
        ]
    except GroundcrewError as error:
        log.warning("power.machines_unavailable", extra={"error": str(error)})
        return ""
    # What runs beside the server says nothing of whether the server can be reached.
    servers = [machine for machine in machines if machine.target.carries] or machines
    reasons = [_machine_reason(machine) for machine in servers]
    return "; ".join(reasons) if all(reasons) else ""


def _machine_reason(machines: ObservedMachine) -> str:
    target, decision = machines.target, machines.decision
    if target.problem or decision.alarm:
        return ""
    # What a person stopped is left off although it should run.
    starts = decision.desired_up and decision.act is not Act.NONE
    if target.power is PowerStatus.STARTING or (target.power in _OFF and starts):
        return f"{target.key} is being started ({'; '.join(decision.reasons)})"
    return f"{target.key} is off ({'; '.join(decision.reasons)})" if target.power in _OFF else ""
