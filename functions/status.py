"""Status, and catching up: whatever is overdue by the ledger, from a timer and an outside heartbeat."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import azure.functions as func

from shared.settings.environment import timer_schedule

if TYPE_CHECKING:
    from shared.catch_up.job import CatchUpReport

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("catch_up"))
def catch_up(timer: func.TimerRequest) -> None:
    """Run what is overdue; a job that failed fails this function too, after the others had their turn."""
    from shared.wiring.timers import run_timer

    run_timer("catch_up", lambda: _catch_up_or_fail(past_due=timer.past_due))


@bp.route(route="tick", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
def tick(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the platform names the parameter
    """The same from outside, since timers have been seen to die while HTTP went on."""
    caught = _catch_up()
    body = json.dumps({"done": caught.done, "failed": caught.failed})
    return func.HttpResponse(body, status_code=500 if caught.failed else 200, mimetype="application/json")


# Anonymous for the platform, as the other pages are: the job asks who looks.
@bp.route(route="status", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def status(req: func.HttpRequest) -> func.HttpResponse:
    """Whether somebody has to act, for people who are signed in; `?format=json` for the same as JSON."""
    from shared.status.page import render_page
    from shared.wiring.status import status_page

    headers = {name.lower(): value for name, value in req.headers.items()}
    page = render_page(status_page(), headers, as_json=req.params.get("format") == "json")
    return func.HttpResponse(page.body, status_code=page.status, headers=dict(page.headers))


@bp.route(route="status/report", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def status_report(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the platform names the parameter
    """The JSON of the page, for the holder of a key."""
    from shared.status.page import render_json
    from shared.wiring.status import current_status

    return func.HttpResponse(render_json(current_status()), mimetype="application/json")


# For anybody: it says up, down or planned, and costs one small blob.
@bp.route(route="badge", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def badge(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the platform names the parameter
    """The public badge, as SVG; 404 where no machine is under schedule."""
    from shared.status.badge import render_badge
    from shared.wiring.status import read_badge

    word = read_badge()
    if word is None:
        return func.HttpResponse("no machine is under schedule\n", status_code=404)
    headers = {"Cache-Control": "public, max-age=60", "X-Content-Type-Options": "nosniff"}
    return func.HttpResponse(render_badge(word), mimetype="image/svg+xml", headers=headers)


# Anonymous for the platform: Prometheus cannot send a function key, so the endpoint checks a bearer token.
@bp.route(route="metrics", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def metrics(req: func.HttpRequest) -> func.HttpResponse:
    """The gauges of infra/monitoring/metrics.yaml, for Prometheus."""
    from shared.status.metrics import render_metrics
    from shared.web.bearer import has_valid_token
    from shared.wiring import status as wiring

    if not has_valid_token(req.headers.get("Authorization", ""), wiring.metrics_tokens()):
        headers = {"WWW-Authenticate": "Bearer"}
        return func.HttpResponse(
            "GROUNDCREW_METRICS_TOKEN does not match\n", status_code=401, headers=headers
        )
    body, content_type = render_metrics(wiring.metrics_status(), req.headers.get("Accept", ""))
    return func.HttpResponse(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


def _catch_up_or_fail(*, past_due: bool) -> str:
    caught = _catch_up()
    log.info("catch_up", extra={"past_due": past_due, "done": caught.done, "failed": caught.failed})
    if caught.failed:
        raise RuntimeError(f"failed: {', '.join(caught.failed)}")
    return f"{len(caught.done)} jobs looked after"


def _catch_up() -> CatchUpReport:
    from shared.catch_up import job
    from shared.wiring.catch_up import overdue_jobs

    return job.run_jobs(overdue_jobs())
