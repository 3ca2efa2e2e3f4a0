"""Snapshots of disks: a timer that looks often, works once an hour, and never leaves MongoDB locked."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("snapshot_cycle"))
def snapshot_cycle(timer: func.TimerRequest) -> None:
    """Unlock what was left locked; take what is due, remove what may go; once a week prove one."""
    from shared.wiring.snapshots import run_cycle, run_weekly_check
    from shared.wiring.timers import run_timer

    done = run_timer("snapshot_cycle", run_cycle)
    log.info("snapshot_cycle", extra={"past_due": timer.past_due, "done": done})
    if checked := run_weekly_check():
        log.info("snapshots.check_done", extra={"done": checked})
