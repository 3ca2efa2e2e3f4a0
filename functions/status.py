"""Catching up: runs whatever is overdue by the ledger, from a timer and from an outside heartbeat."""

import json
import logging

import azure.functions as func

from shared import config

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=config.schedule("catch_up"))
def catch_up(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the platform names the parameter
    """Run what is overdue."""
    log.info("catch_up", extra={"done": _overdue()})


@bp.route(route="tick", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
def tick(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the platform names the parameter
    """The same from outside, since timers have been seen to die while HTTP went on."""
    return func.HttpResponse(json.dumps({"done": _overdue()}), mimetype="application/json")


def _overdue() -> str:
    from shared.jobs import backup
    from shared.wiring import backup as wiring

    return backup.overdue(wiring.backup())
