"""How deadlines stand, and of which people are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.calendar.decide import build_calendar, find_news, first_lockout, update_told
from shared.calendar.model import CalendarEntry, Deadline, DeadlineKind
from shared.calendar.notices import build_notices
from shared.calendar.powered import find_powered_days
from shared.calendar.render import describe_calendar, is_near, is_over
from shared.notifications.ports import Severity

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
DAY = timedelta(days=1)
ALWAYS = find_powered_days([], UTC, NOW)


def end(days: float, name: str = "x", **more: object) -> Deadline:
    return Deadline(DeadlineKind.LICENCE, name, NOW + DAY * days, **more)  # type: ignore[arg-type]


def judge(*deadlines: Deadline, now: datetime = NOW) -> tuple[CalendarEntry, ...]:
    return build_calendar(deadlines, ALWAYS, now)


@pytest.mark.parametrize(
    ("days", "threshold"),
    [
        (62, None),
        (61, 60),
        (32, 60),
        (31, 30),
        (15, 14),
        (16, 30),
        (4, 3),
        (5, 14),
        (1, 3),
        (0.1, 3),
        (0, 0),
        (-0.1, 0),
    ],
)
def test_the_smallest_threshold_that_is_reached_counts(days: float, threshold: int | None) -> None:
    assert judge(end(days))[0].threshold == threshold


def test_each_threshold_is_told_once_and_the_end_once_more() -> None:
    told: dict[str, int] = {}
    reached = []
    for passed in range(70):
        news = find_news(judge(end(62), now=NOW + DAY * passed), told)
        told = update_told(told, news)
        reached += [entry.threshold for entry in news.reached]
    assert reached == [60, 30, 14, 3, 0]


def test_what_was_renewed_is_resolved_and_told_anew_the_next_time() -> None:
    told = update_told({}, find_news(judge(end(10)), {}))
    assert told == {"licence/x": 14}
    news = find_news(judge(end(300)), told)
    assert (news.reached, news.resolved) == ((), ("licence/x",))
    assert update_told(told, news) == {}
    assert find_news(judge(end(10)), {}).reached


def test_what_is_gone_is_resolved_and_what_is_not_known_now_is_not() -> None:
    told = {"licence/x": 14}
    assert find_news((), told).resolved == ("licence/x",)
    unknown = Deadline(DeadlineKind.LICENCE, "x", None, unknown="the database does not answer")
    assert find_news(judge(unknown), told).resolved == ()
    other = Deadline(DeadlineKind.LICENCE, "?", None, unknown="the version is not known")
    assert find_news(judge(other), told).resolved == ()
    another = Deadline(DeadlineKind.STATISTICS, "y", None, unknown="the database does not answer")
    assert find_news(judge(another), told).resolved == ("licence/x",)
    far = Deadline(DeadlineKind.LICENCE, "x", NOW + DAY * 900, unknown="as last seen")
    assert find_news(judge(far), told).resolved == ()


def test_what_renews_itself_is_quiet_until_it_should_have_been_renewed() -> None:
    renewing = end(20, renews_at=NOW + DAY)
    (entry,) = judge(renewing)
    assert (entry.threshold, entry.powered_days) == (None, 19)
    assert first_lockout(judge(renewing)) is None
    (late,) = judge(renewing, now=NOW + DAY)
    assert late.threshold == 30
    assert first_lockout((late,)) == late


def test_the_first_lockout_is_the_earliest_end_that_is_known() -> None:
    unknown = Deadline(DeadlineKind.STATISTICS, "y", None, unknown="nobody knows")
    entries = judge(end(50, "late"), unknown, end(40, "early"), end(700, "far"))
    assert [entry.deadline.name for entry in entries] == ["early", "late", "far", "y"]
    first = first_lockout(entries)
    assert first is not None
    assert first.deadline.name == "early"
    assert first_lockout(judge(unknown)) is None


def test_what_has_no_fixes_any_more_hides_no_lockout_and_rings_nobody_up() -> None:
    old = Deadline(DeadlineKind.END_OF_LIFE, "MongoDB 6.0", NOW - DAY * 90, "MongoDB gets no fixes any more")
    entries = judge(old, end(50, "key"))
    first = first_lockout(entries)
    assert first is not None
    assert first.deadline.name == "key"
    assert first_lockout(judge(old)) == judge(old)[0]
    summary = describe_calendar(entries)
    assert summary.startswith("near: first end 2")
    assert summary.endswith("1 within 60 powered-on days; no fixes any more for MongoDB 6.0")
    assert is_near(summary)
    assert not is_over(summary)
    assert is_over(describe_calendar(judge(old, end(-1, "key"))))
    (notice,) = build_notices(find_news(judge(old), {}))
    assert notice.severity is Severity.WARNING
    (notice,) = build_notices(find_news(judge(end(-1, "key")), {}))
    assert notice.severity is Severity.CRITICAL


def test_an_end_beyond_what_is_planned_has_no_count() -> None:
    assert judge(end(800))[0].powered_days is None
    assert judge(end(800))[0].threshold is None
