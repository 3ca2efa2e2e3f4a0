"""Power: a timer that looks, an event that saves it the wait, and a page that works while the chat is off."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("power_tick"))
def power_tick(timer: func.TimerRequest) -> None:
    """Bring every machine closer to what it should be."""
    from shared.wiring.notifications import sweep_notifications
    from shared.wiring.power import run_tick
    from shared.wiring.timers import run_timer, watch_timers

    try:
        done = run_timer("power_tick", run_tick)
        log.info("power_tick", extra={"past_due": timer.past_due, "done": done})
    finally:
        log.info("power_tick.watch", extra={"timers": watch_timers(), "notifications": sweep_notifications()})


@bp.event_grid_trigger(arg_name="event")
def on_vm_event(event: func.EventGridEvent) -> None:
    """A start or stop has ended: see to that machine now instead of at the next tick."""
    from shared.power.last_tick import run_recorded_tick
    from shared.wiring.power import power_deps as wiring

    # The event is only a hint: what is done about the machine is read from Azure, not believed.
    done = [outcome.done for outcome in run_recorded_tick(wiring(), only=event.subject)]
    # The library gives an event of the CloudEvents schema another class, which names its type otherwise.
    kind = getattr(event, "event_type", None) or getattr(event, "type", "")
    log.info("on_vm_event", extra={"event": kind, "subject": event.subject, "done": done})


@bp.route(route="wake", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
def wake(req: func.HttpRequest) -> func.HttpResponse:
    """The page that starts a machine, for people who are signed in."""
    from shared.power import wake as job
    from shared.wiring.power import wake_deps as wiring

    headers = {name.lower(): value for name, value in req.headers.items()}
    page = job.handle_request(wiring(), job.HttpRequest(req.method, headers, req.get_body()))
    return func.HttpResponse(page.body, status_code=page.status, headers=dict(page.headers))
