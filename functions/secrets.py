"""Secrets: a timer that rotates what is due, and goes on with what was interrupted."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("secrets_rotation"))
def secrets_rotation(timer: func.TimerRequest) -> None:
    """Rotate secrets that are due and left to Groundcrew, and tell of the others."""
    from shared.wiring import secrets as wiring
    from shared.wiring.timers import run_timer

    done = run_timer("secrets_rotation", wiring.run_tick)
    log.info("secrets_rotation", extra={"past_due": timer.past_due, "done": done})
