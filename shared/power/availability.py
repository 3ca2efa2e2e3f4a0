"""Whether the server is off on purpose, so that a job which needs it waits instead of failing loudly."""

from __future__ import annotations

import logging

from shared.kernel.errors import GroundcrewError
from shared.power.inventory import Fleet, Seen
from shared.power.model import State

log = logging.getLogger(__name__)

_OFF = (State.DEALLOCATING, State.DEALLOCATED)


def asleep(fleet: Fleet) -> str:
    """Why the server cannot be reached, if all machines under schedule are off by power's own doing.

    Empty if one of them runs, is gone, fails to start or was shut down by somebody else, and if Azure cannot
    be asked: then a job that fails says what is wrong. One listing of states for each kind of machine.
    """
    try:
        seen = [one for kind in fleet.kinds for one in fleet.see(fleet.targets(kind))]
    except GroundcrewError as error:
        log.warning("power.not_asked", extra={"error": str(error)})
        return ""
    reasons = [_reason(one) for one in seen]
    return "; ".join(reasons) if all(reasons) else ""


def _reason(seen: Seen) -> str:
    target, decision = seen.target, seen.decision
    if target.problem or decision.alarm:
        return ""
    if target.power is State.STARTING or (target.power in _OFF and decision.wanted_up):
        return f"{target.key} is being started ({'; '.join(decision.because)})"
    return f"{target.key} is off ({'; '.join(decision.because)})" if target.power in _OFF else ""
