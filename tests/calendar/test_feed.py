"""The feed: iCalendar that parses again to what went in, behind a key."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calendar.decide import build_calendar
from shared.calendar.ics import escape_text, fold_line, render_feed
from shared.calendar.model import Deadline, DeadlineKind
from shared.calendar.page import CalendarPage, render_feed_page, render_page
from shared.calendar.powered import find_powered_days
from shared.calendar.records import LockoutCalendar
from shared.calendar.render import describe_entry
from shared.kernel.secret import Secret
from shared.web.bearer import parse_tokens
from tests.status.test_page import OPEN

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
ALWAYS = find_powered_days([], UTC, NOW)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def unfold(feed: str) -> list[str]:
    assert feed.endswith("\r\n")
    return feed.replace("\r\n ", "").split("\r\n")[:-1]


def printable(text: str) -> str:
    """Without control signs, as a value of type TEXT has none; lines end in one sign."""
    plain = text.replace("\r\n", "\n")
    return "".join(one for one in plain if one == "\n" or (one >= " " and one != "\x7f"))


def unescape(text: str) -> str:
    out, signs = "", iter(text)
    for sign in signs:
        if sign == "\\":
            escaped = next(signs)
            out += "\n" if escaped in "nN" else escaped
        else:
            out += sign
    return out


@given(TEXTS)
def test_a_folded_line_has_75_octets_at_most_and_unfolds_to_itself(text: str) -> None:
    line = escape_text(text)
    folded = fold_line(line)
    assert all(len(piece.encode()) <= 75 for piece in folded.split("\r\n"))
    assert folded.replace("\r\n ", "") == line


@given(TEXTS)
def test_an_escaped_text_stays_on_its_line_and_reads_as_it_was(text: str) -> None:
    escaped = escape_text(text)
    assert not set(escaped) & {"\r", "\n", "\0"}
    assert unescape(escaped) == printable(text)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
def test_whatever_a_name_holds_the_feed_has_one_event_for_each_end(names: list[str]) -> None:
    deadlines = [Deadline(DeadlineKind.SECRET, name, NOW + timedelta(days=40), "then") for name in names]
    entries = build_calendar(deadlines, ALWAYS, NOW)
    # By a parser that is not ours: both readings of RFC 5545 could be wrong alike.
    feed = icalendar.Calendar.from_ical(render_feed(entries, NOW))
    assert feed.errors == []
    assert (feed["VERSION"], feed["METHOD"]) == ("2.0", "PUBLISH")
    events = feed.walk("VEVENT")
    assert [event.errors for event in events] == [[]] * len(names)
    assert {event["DTSTART"].dt for event in events} == {date(2027, 1, 7)}
    assert {event["DTEND"].dt for event in events} == {date(2027, 1, 8)}
    assert {event["DTSTAMP"].dt for event in events} == {NOW}
    assert len({event["UID"] for event in events}) == len(names)
    told = [(f"secret: {one.deadline.name} ends", describe_entry(one)) for one in entries]
    read = [(str(event["SUMMARY"]), str(event["DESCRIPTION"])) for event in events]
    assert read == [(printable(summary), printable(text)) for summary, text in told]


def calendar() -> LockoutCalendar:
    deadlines = [
        Deadline(DeadlineKind.LICENCE, "Rocket.Chat", NOW + timedelta(days=10), "it <stops>"),
        Deadline(
            DeadlineKind.CERTIFICATE, "renewing", NOW + timedelta(days=20), renews_at=NOW + timedelta(days=9)
        ),
        Deadline(DeadlineKind.STATISTICS, "Rocket.Chat", None, unknown="MongoDB is away"),
    ]
    return LockoutCalendar(NOW, build_calendar(deadlines, ALWAYS, NOW))


def test_what_renews_itself_and_what_is_not_known_is_no_event() -> None:
    made = calendar()
    events = [line for line in unfold(render_feed(made.entries, made.at)) if line.startswith("SUMMARY")]
    assert events == ["SUMMARY:licence: Rocket.Chat ends"]


@pytest.mark.parametrize("given", ["", "0123456789abcdeX", "0123456789abcde", "ü" * 16])
def test_only_a_key_opens_the_feed_and_without_one_it_is_closed(given: str) -> None:
    keys = parse_tokens("0123456789abcdef fedcba9876543210")
    assert render_feed_page(keys, given, calendar).status == 401
    assert render_feed_page(parse_tokens(""), given, calendar).status == 401
    assert render_feed_page(keys, "fedcba9876543210", calendar).status == 200
    assert render_feed_page(keys, "0123456789abcdef", lambda: None).status == 503
    assert (
        render_feed_page((Secret("0123456789abcdef"),), "0123456789abcdef", calendar)
        .headers["Content-Type"]
        .startswith("text/calendar")
    )


def test_the_page_shows_what_ends_and_never_what_is_not_known_as_good() -> None:
    body = render_page(CalendarPage(OPEN, calendar), {}).body
    assert 'class="bad">2026-12-08, 9 powered-on days: licence of Rocket.Chat: it &lt;stops&gt;' in body
    assert 'class="off">unknown: statistics token of Rocket.Chat: MongoDB is away' in body
    assert "No calendar has been made" in render_page(CalendarPage(OPEN, lambda: None), {}).body
