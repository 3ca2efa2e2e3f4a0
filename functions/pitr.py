"""The oplog between two backups: a timer that captures what is new."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("oplog_capture"))
def oplog_capture(timer: func.TimerRequest) -> None:
    """Store what the oplog has grown by since the last slice."""
    from shared.wiring import pitr
    from shared.wiring.timers import run_timer

    done = run_timer("oplog_capture", pitr.run_if_enabled)
    log.info("oplog_capture", extra={"past_due": timer.past_due, "done": done})
