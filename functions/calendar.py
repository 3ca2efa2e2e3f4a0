"""The calendar of lock-outs: a timer that makes it, its page, and its feed for phones."""

import logging

import azure.functions as func

from shared.settings.environment import timer_schedule

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.timer_trigger(arg_name="timer", schedule=timer_schedule("lockout_calendar"))
def lockout_calendar(timer: func.TimerRequest) -> None:
    """Look at what ends, and tell people while there are days enough on which something can be done."""
    from shared.wiring import calendar as wiring
    from shared.wiring.timers import run_timer

    done = run_timer("lockout_calendar", wiring.run_tick)
    log.info("lockout_calendar", extra={"past_due": timer.past_due, "done": done})


# Anonymous for the platform, as the other pages are: the job asks who looks.
@bp.route(route="calendar", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def calendar_page(req: func.HttpRequest) -> func.HttpResponse:
    """What ends, and when, for people who are signed in."""
    from shared.calendar.page import render_page
    from shared.wiring.calendar import calendar_page as wiring

    page = render_page(wiring(), {name.lower(): value for name, value in req.headers.items()})
    return func.HttpResponse(page.body, status_code=page.status, headers=dict(page.headers))


# Anonymous for the platform: what subscribes to a calendar can neither sign in nor send a header.
@bp.route(route="calendar/feed", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def calendar_feed(req: func.HttpRequest) -> func.HttpResponse:
    """The same as iCalendar, for whoever has the key."""
    from shared.calendar.page import render_feed_page
    from shared.wiring import calendar as wiring

    page = render_feed_page(wiring.feed_keys(), req.params.get("key", ""), wiring.load_last)
    return func.HttpResponse(page.body, status_code=page.status, headers=dict(page.headers))
