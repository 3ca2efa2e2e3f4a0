"""Alerts of Alertmanager and Azure Monitor, and the queue that has waiting notifications sent."""

import logging

import azure.functions as func

from shared.kernel.errors import GroundcrewError

bp = func.Blueprint()
log = logging.getLogger(__name__)


# Anonymous for the platform: Alertmanager cannot send a function key, so the endpoint checks a bearer token.
@bp.route(route="alerts", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def alerts(req: func.HttpRequest) -> func.HttpResponse:
    """Verify a payload and store what it says; 202 once that is done."""
    from shared.alerts.intake import AlertAnswer, receive_alerts
    from shared.wiring.alerts import build_alert_intake

    headers = {name.lower(): value for name, value in req.headers.items()}
    try:
        answer = await receive_alerts(build_alert_intake(), headers, req.get_body())
    except GroundcrewError as error:
        answer = AlertAnswer(503, f"closed: {error.public}")
    # The refused only: an Alertmanager that repeats each minute would fill the log with what is well.
    if answer.status >= 400:
        log.warning("alerts.refused", extra={"status": answer.status, "reason": answer.text})
    return func.HttpResponse(answer.text or None, status_code=answer.status)


@bp.queue_trigger(arg_name="message", queue_name="notifications", connection="AzureWebJobsStorage")
def send_notifications(message: func.QueueMessage) -> None:
    """Send what waited for others to join; the message only says that it is time."""
    from shared.wiring.notifications import sweep_notifications

    # Nothing of the message is used: whoever can write to the queue can only make us look once more.
    log.info("send_notifications", extra={"message_id": message.id, "done": sweep_notifications()})
