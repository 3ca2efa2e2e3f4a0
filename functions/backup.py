"""The nightly backup: a timer that plans, a queue that dumps."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("nightly_backup"))
def nightly_backup(timer: func.TimerRequest) -> None:
    """Begin tonight's set and put its parts on the queue."""
    from shared.backup.job import run_nightly
    from shared.wiring.backup import backup_deps
    from shared.wiring.timers import run_timer

    done = run_timer("nightly_backup", lambda: run_nightly(backup_deps()))
    log.info("nightly_backup", extra={"past_due": timer.past_due, "done": done})


@bp.queue_trigger(arg_name="message", queue_name="backup-parts", connection="AzureWebJobsStorage")
def backup_part(message: func.QueueMessage) -> None:
    """Dump one part; seal the set after the last."""
    from shared.backup.job import handle_message
    from shared.wiring.backup import backup_deps

    # What it raises is left to the host, which tries the message again and moves it away after five times.
    done = handle_message(backup_deps(), message.get_body())
    log.info("backup_part", extra={"message_id": message.id, "done": done})
