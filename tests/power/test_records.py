"""Holds, orders, the ledger and the times derived from them, as they lie in blobs."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.kernel.errors import Corrupt
from shared.power.inventory import next_backup_due
from shared.power.override_store import ALL_MACHINES, OverrideStore, for_machine
from shared.power.overrides import Override
from shared.power.usage_ledger import UsageLedger
from shared.records.holds import Holds
from shared.settings.environment import daily_time

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
    state: bool | None = None
    for at in range(since + length):
        if at in seen and START + at * HOUR >= first:
            state = seen[at]
        if at >= since:
            expected[state] += HOUR
    parts = ledger.list_intervals("vm", begin, end)
    assert parts[0].since == begin
    assert parts[-1].until == end
    assert all(a.until == b.since and a.on is not b.on for a, b in pairwise(parts))
    assert {on: sum((p.length for p in parts if p.on is on), timedelta()) for on in expected} == expected
    assert ledger.sum_hours("vm", begin, end) == (expected[True], expected[None])


def test_azures_own_time_of_the_change_counts_if_it_can_be_believed() -> None:
    ledger = UsageLedger(MemoryBlobs())
    ledger.record_state("vm", START, on=True)
    ledger.record_state("vm", START + 5 * HOUR, on=False, since=START + 3 * HOUR)
    ledger.record_state("vm", START + 9 * HOUR, on=True, since=START + 99 * HOUR)
    ledger.record_state("vm", START + 12 * HOUR, on=False, since=START + HOUR)
    assert ledger.sum_hours("vm", START, START + 20 * HOUR)[0] == 6 * HOUR


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
