"""Holds, orders, the ledger and the times derived from them, as they lie in blobs."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.kernel.codec import encode_json
from shared.kernel.errors import Corrupt
from shared.power.inventory import next_backup_due
from shared.power.override_store import ALL_MACHINES, OverrideStore, for_machine
from shared.power.overrides import Override
from shared.power.usage_ledger import UsageLedger
from shared.records.holds import Holds
from shared.settings.intervals import daily_time

START = datetime(2026, 1, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.booleans(), st.integers(0, 2)), max_size=60),
    st.integers(0, 2000),
    st.integers(1, 3000),
)
@settings(max_examples=150, deadline=None)
def test_the_ledger_gives_back_what_was_seen_hour_by_hour(
    looks: list[tuple[int, bool, int]], since: int, length: int
) -> None:
    """Looks at growing times over months, each written once, twice or three times."""
    ledger, seen, hour = UsageLedger(MemoryBlobs()), dict[int, bool](), 0
    for gap, on, again in looks:
        hour += gap
        for _ in range(1 + again):
            ledger.record_state("vm", START + hour * HOUR, on=on)
        seen[hour] = on
    begin, end = START + since * HOUR, START + (since + length) * HOUR
    # The ledger looks one month back: what was seen before that counts as not known.
    first = (begin.replace(day=1, hour=0) - timedelta(days=1)).replace(day=1)
    expected = dict.fromkeys((True, False, None), timedelta())
    hours = sorted(seen)
    for at in range(since, since + length):
        index = bisect_right(hours, at) - 1
        newest = hours[index] if index >= 0 else None
        following = next((one for one in hours if one > at), since + length)
        # For more than two hours nobody looked: unknown from the last look on.
        visible = newest is not None and START + newest * HOUR >= first
        known = seen[newest] if visible and newest is not None and following - newest <= 2 else None
        expected[known] += HOUR
    parts = ledger.list_intervals("vm", begin, end)
    assert parts[0].since == begin
    assert parts[-1].until == end
    assert all(a.until == b.since and a.on is not b.on for a, b in pairwise(parts))
    assert {on: sum((p.length for p in parts if p.on is on), timedelta()) for on in expected} == expected
    assert ledger.sum_hours("vm", begin, end) == (expected[True], expected[None])


def test_azures_own_time_of_the_change_counts_if_it_can_be_believed() -> None:
    ledger = UsageLedger(MemoryBlobs())
    ledger.record_state("vm", START, on=True)
    ledger.record_state("vm", START + 2 * HOUR, on=False, since=START + HOUR)
    ledger.record_state("vm", START + 4 * HOUR, on=True, since=START + 99 * HOUR)
    ledger.record_state("vm", START + 6 * HOUR, on=False, since=START + HOUR)
    assert ledger.sum_hours("vm", START, START + 20 * HOUR) == (3 * HOUR, 14 * HOUR)


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize(
    ("since", "unknown"),
    [
        pytest.param(timedelta(-1), 0, id="nothing happened since before the last look"),
        pytest.param(timedelta(0), 0, id="at the last look"),
        pytest.param(5 * HOUR, 5, id="something happened meanwhile"),
        pytest.param(99 * HOUR, 10, id="a time that is not believed"),
        pytest.param(None, 10, id="no time"),
    ],
)
def test_what_was_while_nobody_looked_is_unknown_unless_azure_tells(
    on: bool, since: timedelta | None, unknown: int
) -> None:
    ledger, begun = UsageLedger(MemoryBlobs()), None if since is None else START + since
    ledger.record_state("vm", START, on=on)
    ledger.record_state("vm", START + 10 * HOUR, on=on, since=begun)
    assert ledger.sum_hours("vm", START, START + 10 * HOUR)[1] == unknown * HOUR
    assert ledger.list_intervals("vm", START, START + 10 * HOUR)[-1].on is (None if unknown == 10 else on)


def test_after_the_last_look_nothing_is_known_and_a_look_an_hour_costs_one_write() -> None:
    blobs = MemoryBlobs()
    ledger, etags = UsageLedger(blobs), set()
    for minutes in range(0, 180, 5):
        ledger.record_state("vm", START + timedelta(minutes=minutes), on=True)
        etags.add(next(iter(blobs.list("ledger/"))).etag)
    assert len(etags) == 3
    # The last look on record is that of the second hour.
    assert ledger.sum_hours("vm", START, START + 4 * HOUR) == (4 * HOUR, timedelta())
    assert ledger.sum_hours("vm", START, START + 100 * HOUR) == (2 * HOUR, 98 * HOUR)


def test_a_gap_over_the_end_of_a_month_is_unknown_on_both_sides_of_it() -> None:
    ledger, end = UsageLedger(MemoryBlobs()), datetime(2026, 2, 1, tzinfo=UTC)
    ledger.record_state("vm", end - 10 * HOUR, on=False)
    ledger.record_state("vm", end + 10 * HOUR, on=False)
    assert ledger.sum_hours("vm", end - 10 * HOUR, end + 10 * HOUR)[1] == 20 * HOUR
    assert ledger.sum_hours("vm", end - 10 * HOUR, end)[1] == 10 * HOUR
    told = UsageLedger(MemoryBlobs())
    told.record_state("vm", end - 10 * HOUR, on=False)
    told.record_state("vm", end + 10 * HOUR, on=False, since=end - 11 * HOUR)
    for until in (end, end + 10 * HOUR):
        assert told.sum_hours("vm", end - 10 * HOUR, until)[1] == timedelta()


def test_a_ledger_of_before_is_believed_until_the_next_look() -> None:
    blobs = MemoryBlobs()
    blobs.create(f"ledger/vm/{START:%Y-%m}.json", encode_json({"changes": [(str(START), True)]}))
    ledger = UsageLedger(blobs)
    assert ledger.sum_hours("vm", START, START + 50 * HOUR) == (50 * HOUR, timedelta())
    ledger.record_state("vm", START + 50 * HOUR, on=True)
    assert ledger.sum_hours("vm", START, START + 60 * HOUR) == (50 * HOUR, 10 * HOUR)


def test_a_look_that_comes_late_changes_no_history() -> None:
    ledger = UsageLedger(MemoryBlobs())
    ledger.record_state("vm", START + HOUR, on=True)
    assert not ledger.record_state("vm", START, on=False)
    assert ledger.sum_hours("vm", START, START + 2 * HOUR) == (HOUR, HOUR)


def test_a_damaged_ledger_is_named() -> None:
    blobs = MemoryBlobs()
    blobs.create("ledger/vm/2026-01.json", b'{"changes": [["yesterday", true]]}')
    with pytest.raises(Corrupt, match=r"ledger/vm/2026-01\.json"):
        UsageLedger(blobs).record_state("vm", START, on=True)


def test_a_hold_ends_by_release_or_by_itself_and_is_swept_away_in_the_end() -> None:
    clock = ManualClock(START)
    blobs = MemoryBlobs(clock)
    holds = Holds(blobs, clock)
    holds.add_hold("backup/a", "backup a", 2 * HOUR)
    holds.add_hold("drill/1", "drill 1", HOUR, needs_up=True)
    assert [(hold.what, hold.needs_up) for hold in holds.list_in_force()] == [
        ("backup a", False),
        ("drill 1", True),
    ]
    holds.release_hold("drill/1")
    holds.release_hold("never/held")
    assert [hold.what for hold in holds.list_in_force()] == ["backup a"]
    clock.advance(2 * HOUR)
    assert holds.list_in_force() == ()
    assert list(blobs.list("holds/"))
    clock.advance(timedelta(days=2))
    holds.list_in_force()
    assert not list(blobs.list("holds/"))


def test_a_hold_that_cannot_be_read_holds_for_a_while_and_not_for_ever() -> None:
    clock = ManualClock(START)
    blobs = MemoryBlobs(clock)
    blobs.create("holds/odd.json", b"\xff")
    holds = Holds(blobs, clock)
    assert "unreadable" in holds.list_in_force()[0].what
    clock.advance(3 * HOUR)
    assert holds.list_in_force() == ()


def test_orders_are_by_machine_or_for_all_and_one_that_cannot_be_read_is_left_out() -> None:
    clock = ManualClock(START)
    blobs = MemoryBlobs(clock)
    orders = OverrideStore(blobs, clock)
    for machine in ("Chat", ALL_MACHINES, "other"):
        given = orders.add(machine, Override(True, START, START + HOUR, START, "ana"))
        assert given.id
    blobs.create("overrides/chat/odd.json", b"{}")
    found = orders.all()
    assert [order.by for order in for_machine(found, "chat")] == ["ana", "ana"]
    assert len(for_machine(found, "another")) == 1
    clock.advance(timedelta(days=33))
    orders.all()
    assert [blob.name for blob in blobs.list("overrides/")] == ["overrides/chat/odd.json"]


@pytest.mark.parametrize(
    ("begun", "now", "due"),
    [
        ("2026-03-02 01:08", "2026-03-02 12:00", "2026-03-03 01:00"),
        ("2026-03-02 01:00", "2026-03-03 00:59", "2026-03-03 01:00"),
        ("2026-03-02 01:00", "2026-03-03 03:00", "2026-03-03 01:00"),
        ("2026-03-02 01:00", "2026-03-05 03:00", "2026-03-05 01:00"),
        ("2026-03-02 20:00", "2026-03-03 03:00", "2026-03-04 01:00"),
        (None, "2026-03-05 03:00", "2026-03-05 01:00"),
        (None, "2026-03-05 00:30", "2026-03-04 01:00"),
    ],
    ids=[
        "began late",
        "just ahead",
        "due",
        "missed for days",
        "made in the evening",
        "none",
        "none, at night",
    ],
)
def test_the_next_backup_is_due_at_the_time_of_each_day_and_never_drifts(begun, now: str, due: str) -> None:
    def utc(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert next_backup_due(begun and utc(begun), time(1), utc(now)) == utc(due)


@pytest.mark.parametrize(
    ("expression", "at"),
    [
        ("0 0 1 * * *", time(1)),
        ("30 5 23 * * *", time(23, 5, 30)),
        ("15 2 * * *", time(2, 15)),
        ("0 */5 * * * *", None),
    ],
)
def test_a_daily_schedule_has_a_time(expression: str, at: time | None) -> None:
    assert daily_time(expression) == at
