"""Deploys: the endpoint for GitHub's webhooks, the queue, the daily check for drift, and a deploy's page."""

import logging

import azure.functions as func

from shared.kernel.errors import GroundcrewError
from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


# Anonymous for the platform, since the endpoint checks the signature; async, since it does nothing but wait.
@bp.route(route="github/webhook", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def github_webhook(req: func.HttpRequest) -> func.HttpResponse:
    """Verify a delivery and put it on the queue."""
    from shared.deploy.webhook import intake
    from shared.wiring import webhook as wiring

    headers = {name: req.headers.get(name, "") for name in intake.HEADERS}
    try:
        answer = await intake.receive_delivery(wiring.build_intake(), headers, req.get_body())
    except GroundcrewError as error:  # the settings: GitHub shows the reason beside the delivery
        answer = intake.WebhookAnswer(503, f"not accepted: {error.public}")
    if answer.status >= 400:  # the accepted are in the queue, and each line costs a fifth of a request
        facts = {"delivery": headers["X-GitHub-Delivery"][:64], "status": answer.status}
        log.warning("github_webhook.refused", extra={**facts, "reason": answer.text})
    return func.HttpResponse(answer.text or None, status_code=answer.status)


@bp.queue_trigger(arg_name="message", queue_name="deploys", connection="AzureWebJobsStorage")
def deploy_run(message: func.QueueMessage) -> None:
    """Begin or go on with what the message asks for; what must wait puts itself on the queue again."""
    from shared.deploy.webhook import intake
    from shared.wiring.jobs import handle_deploy_message

    done = handle_deploy_message(intake.parse_message(message.get_body()))
    log.info("deploy_run", extra={"done": done})


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("drift_check"))
def drift_check(timer: func.TimerRequest) -> None:
    """Compare the cluster with what was deployed, and tell."""
    from shared.deploy import drift_job as drift
    from shared.wiring import deploy as wiring
    from shared.wiring.timers import run_timer

    done = run_timer("drift_check", lambda: wiring.run_if_enabled(drift.run_daily_check))
    log.info("drift_check", extra={"past_due": timer.past_due, "done": done})


# Anonymous for the platform, as the wake page is: the job asks who looks.
@bp.route(route="deploys/{key?}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def deploy_page(req: func.HttpRequest) -> func.HttpResponse:
    """How one deploy goes, or the newest of them, for people who are signed in."""
    from shared.deploy import page as job
    from shared.wiring.deploy import deploy_page as wiring

    headers = {name.lower(): value for name, value in req.headers.items()}
    page = job.render_page(wiring(), headers, req.route_params.get("key") or "")
    return func.HttpResponse(page.body, status_code=page.status, headers=dict(page.headers))
