"""Links in messages where there is no time for all: what was counted, and what was not, is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pymongo import errors

from shared.adapters.mongodb.message_links import count_message_links
from shared.upgrades.decide import assess_losses
from shared.upgrades.model import ProbeKind, ProbeResult, UpgradeObservation
from shared.upgrades.rules import load_rules

NOW = datetime(2026, 11, 28, 11, 0, tzinfo=UTC)
BEGINNING = datetime(2015, 1, 1, tzinfo=UTC)
TIMES = st.timedeltas(timedelta(), NOW - BEGINNING + timedelta(days=1)).map(lambda age: BEGINNING + age)
# Whether each message has a link, by its time; None is a message without a time.
Messages = list[tuple[datetime | None, bool]]


class SlowDatabase:
    """Reads `rate` messages a second, and stops at a query's limit and at the end of its `seconds`."""

    def __init__(self, messages: Messages, *, rate: float, seconds: float = 9.0) -> None:
        self.messages, self.rate, self.seconds = messages, rate, seconds

    def count(self, collection: str, query: dict[str, Any], *, within: dict[str, Any], seconds: float) -> int:
        assert collection == "rocketchat_message"
        assert query
        read = [(time, link) for time, link in self.messages if _is_within(time, within["ts"])]
        limit = min(seconds, self.seconds)
        cost = len(read) / self.rate
        self.seconds = max(self.seconds - min(cost, limit), 0.0)
        if cost > limit or self.seconds == 0.0:
            raise errors.ExecutionTimeout("operation exceeded time limit", 50)
        return sum(link for _, link in read)


def _is_within(time: datetime | None, times: dict[str, Any]) -> bool:
    if "$not" in times:
        return time is None or time < times["$not"]["$gte"]
    return time is not None and times["$gte"] <= time and ("$lt" not in times or time < times["$lt"])


def count(database: SlowDatabase) -> ProbeResult:
    return count_message_links(database.count, "/ufs/", NOW)


def write_messages(days: int, a_day: int, *, link_before: int = 0) -> Messages:
    """So many messages on each of the days before now; those older than `link_before` days have links."""
    step = timedelta(days=1) / a_day
    times = [NOW - step * number for number in range(days * a_day)]
    return [(time, time < NOW - timedelta(days=link_before)) for time in times]


def sentences(result: ProbeResult) -> list[str]:
    rule = next(rule for rule in load_rules() if rule.probe is ProbeKind.MESSAGE_LINKS)
    key = (rule.probe, rule.parameter)
    return [loss.text for loss in assess_losses([rule], UpgradeObservation({key: result}))]


def test_what_was_counted_is_said_and_what_was_not_is_said_too() -> None:
    texts = sentences(count(SlowDatabase(write_messages(400, 50), rate=1_900)))
    assert texts == [
        "9.0.0: not counted, messages with links: "
        "MongoDB took too long for those before 2026-05-05 11:00 UTC",
        "9.0.0: at least 10,350 messages link to /ufs/, which is gone",
    ]


def test_no_link_among_the_newest_is_unknown_and_not_none() -> None:
    result = count(SlowDatabase(write_messages(400, 50, link_before=300), rate=1_900))
    assert result.subjects == ()
    assert result.unknown == "MongoDB took too long for those before 2026-05-05 11:00 UTC"


def test_a_message_from_a_clock_that_is_ahead_is_counted() -> None:
    ahead: Messages = [(datetime(9999, 1, 1, tzinfo=UTC), True)]
    result = count(SlowDatabase([*ahead, *write_messages(400, 50, link_before=300)], rate=1_900))
    assert [subject.count for subject in result.subjects] == [1]


def test_messages_without_a_time_are_never_called_counted() -> None:
    # All in one query takes too long, in windows there is time for it.
    messages: Messages = [*write_messages(300, 50), *[(None, True)] * 20_000]
    result = count(SlowDatabase(messages, rate=8_000))
    assert [subject.count for subject in result.subjects] == [14_999]
    assert result.unknown == "MongoDB took too long for those without a time"
    assert result.at_least


def test_a_minute_with_too_many_messages_leaves_all_unknown() -> None:
    flood: Messages = [(NOW, True)] * 50_000
    with pytest.raises(errors.ExecutionTimeout):  # of which the adapter makes an unknown result
        count(SlowDatabase(flood, rate=100))


def test_all_are_counted_exactly_where_there_is_time() -> None:
    messages: Messages = [*write_messages(3, 50), (None, True), (datetime(1999, 1, 1, tzinfo=UTC), True)]
    result = count(SlowDatabase(messages, rate=1_000))
    assert [subject.count for subject in result.subjects] == [151]
    assert (result.unknown, result.at_least) == ("", False)


@given(
    messages=st.lists(st.tuples(TIMES, st.booleans()), max_size=60),
    rate=st.floats(0.5, 200),
    seconds=st.floats(0.1, 9),
)
@example(messages=[(BEGINNING, True)] * 40, rate=9.0, seconds=9.0)
def test_the_count_is_that_of_all_messages_since_the_time_that_is_named(
    messages: Messages, rate: float, seconds: float
) -> None:
    try:
        result = count(SlowDatabase(messages, rate=rate, seconds=seconds))
    except errors.ExecutionTimeout:
        return
    since = BEGINNING
    if "before" in result.unknown:
        # To the minute, as it is named: what is newer for certain is in the count.
        named = result.unknown.partition("before ")[2].removesuffix(" UTC")
        since = datetime.fromisoformat(named).replace(tzinfo=UTC) + timedelta(minutes=1)
    counted = sum(subject.count for subject in result.subjects)
    newer = sum(link for time, link in messages if time is not None and time >= since)
    minute = sum(
        link for time, link in messages if time is not None and since - timedelta(minutes=1) <= time < since
    )
    assert newer <= counted <= newer + minute
    assert result.at_least == bool(result.unknown)
