"""`GET /api/calendar`: the page for people who are signed in; `…/feed`: iCalendar behind a key."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from shared.calendar.ics import render_feed
from shared.calendar.model import CalendarEntry
from shared.calendar.records import LockoutCalendar
from shared.calendar.render import describe_entry
from shared.kernel.secret import Secret
from shared.kernel.timestamps import format_minute
from shared.web.html import Page, html_page, render_document, render_footer
from shared.web.signin import PageAccess, authenticate, not_permitted, sign_in_required

PATH = "/api/calendar"


@dataclass(frozen=True)
class CalendarPage:
    """What the page needs: who may look, and the calendar as made last."""

    access: PageAccess
    load: Callable[[], LockoutCalendar | None]


def render_page(page: CalendarPage, headers: Mapping[str, str]) -> Page:
    """The answer to a request. Header names in lower case."""
    principal = authenticate(page.access, headers)
    if principal is None:
        return sign_in_required(page.access, PATH)
    if not page.access.permits_view(principal):
        return not_permitted(principal, "view")
    body = _render_calendar(page.load()) + render_footer(principal.name, refresh=False)
    return html_page(200, render_document("Calendar", body))


def _render_calendar(calendar: LockoutCalendar | None) -> str:
    if calendar is None:
        return "<p>No calendar has been made yet: the timer lockout_calendar makes one each day.</p>"
    known = [entry for entry in calendar.entries if entry.deadline.at is not None]
    unknown = [entry for entry in calendar.entries if entry.deadline.at is None]
    parts = [f"<p>As of {format_minute(calendar.at)}.</p>", _render_list("What ends", known)]
    if unknown:
        parts.append(_render_list("Not known", unknown))
    return "".join(parts)


def _render_list(title: str, entries: Sequence[CalendarEntry]) -> str:
    items = "".join(f'<li class="{_kind(entry)}">{escape(describe_entry(entry))}</li>' for entry in entries)
    return f"<section><h2>{escape(title)}</h2><ul>{items or '<li>Nothing.</li>'}</ul></section>"


def _kind(entry: CalendarEntry) -> str:
    """The style by urgency; what is not known is never shown as good."""
    if entry.deadline.at is None:
        return "off"
    if entry.threshold is None:
        return "up"
    return "bad" if entry.threshold <= 14 else "off"


def render_feed_page(keys: Sequence[Secret], given: str, load: Callable[[], LockoutCalendar | None]) -> Page:
    """The feed for whoever gives one of the keys; without any key it is closed."""
    # All are compared, so that the time taken does not tell which of two was nearly right.
    matches = [hmac.compare_digest(given.encode(), key.reveal().encode()) for key in keys]
    if not any(matches):
        return Page(401, "GROUNDCREW_CALENDAR_KEY does not match\n", {"Content-Type": "text/plain"})
    calendar = load()
    if calendar is None:
        # Not an empty feed: calendar programs would remove the events that they have.
        return Page(503, "no calendar has been made yet\n", {"Content-Type": "text/plain"})
    kind = {"Content-Type": "text/calendar; charset=utf-8", "Cache-Control": "private, max-age=3600"}
    return Page(200, render_feed(calendar.entries, calendar.at), kind)
