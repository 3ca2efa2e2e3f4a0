"""The nightly backup: a timer that plans, a queue that dumps."""

import json
import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("nightly_backup"))
def nightly_backup(timer: func.TimerRequest) -> None:
    """Begin tonight's set and put its parts on the queue."""
    from shared.backup import job as backup
    from shared.wiring import backup as wiring

    log.info(
        "nightly_backup", extra={"past_due": timer.past_due, "done": backup.run_nightly(wiring.backup())}
    )


@bp.queue_trigger(arg_name="message", queue_name="backup-parts", connection="AzureWebJobsStorage")
def backup_part(message: func.QueueMessage) -> None:
    """Dump one part; seal the set after the last."""
    from shared.backup import job as backup
    from shared.wiring import backup as wiring

    asked = json.loads(message.get_body())
    done = backup.run_part(wiring.backup(), asked["set"], asked["part"])
    log.info("backup_part", extra={"set": asked["set"], "part": asked["part"], "done": done})
