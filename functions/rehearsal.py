"""Rehearsals: the queue of commits that are tried on a copy of the newest backup."""

import logging

import azure.functions as func

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.queue_trigger(arg_name="message", queue_name="rehearsals", connection="AzureWebJobsStorage")
def rehearsal_run(message: func.QueueMessage) -> None:
    """Rehearse the commit that the message names, and keep the signed outcome."""
    from shared.deploy.webhook.intake import parse_message
    from shared.wiring import rehearsal

    for document in parse_message(message.get_body()):
        log.info("rehearsal_run", extra={"done": rehearsal.handle_message(document)})
