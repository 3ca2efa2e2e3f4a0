"""Restore drills: a timer that asks every night whether one is due."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("restore_drill"))
def restore_drill(timer: func.TimerRequest) -> None:
    """Restore the newest backup into the scratch MongoDB, if policy's time has come, and sign the outcome."""
    from shared.wiring import drill
    from shared.wiring.timers import run_timer

    done = run_timer("restore_drill", drill.run_if_enabled)
    log.info("restore_drill", extra={"past_due": timer.past_due, "done": done})
