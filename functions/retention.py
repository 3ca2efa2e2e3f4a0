"""Retention: a timer that deletes backups that have expired, where policy says that the app does."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("retention"))
def retention(timer: func.TimerRequest) -> None:
    """Delete whole expired chains, by the identity that may do only that."""
    from shared.wiring import prune
    from shared.wiring.timers import run_timer

    done = run_timer("retention", prune.run_retention)
    log.info("retention", extra={"past_due": timer.past_due, "done": done})
