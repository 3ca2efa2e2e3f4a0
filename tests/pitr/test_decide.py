"""Where slices are cut, and what the capture makes of an oplog that is not what it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Binary

from shared.formats.slices import CaptureCursor
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Corrupt
from shared.mongodb.model import Timestamp
from shared.pitr.decide import (
    Continuity,
    EntryGroup,
    SliceCut,
    cut_slices,
    find_barrier,
    group_entries,
    judge_continuity,
    measure_window,
)

HOUR = timedelta(hours=1)


def entry(second: int, identity: int = 0, ordinal: int = 1, **fields: Any) -> bytes:
    written = {"op": "i", "ns": "rocketchat.c", "ui": Binary(b"u" * 16, 4), "o": {"_id": identity}}
    return bson.encode({"ts": bson.Timestamp(second, ordinal), **written, **fields})


def rename(second: int) -> bytes:
    return entry(
        second, op="c", ns="rocketchat.$cmd", o={"renameCollection": "rocketchat.a", "to": "rocketchat.b"}
    )


def barrier(second: int) -> bytes:
    return entry(second, op="c", ns="rocketchat.$cmd", o={"importCollection": "rocketchat.a"})


def group(second: int, *entries: bytes) -> EntryGroup:
    return EntryGroup(Timestamp(second, 1), entries or (entry(second),))


def cuts(groups: list[EntryGroup], limit: int = 1 << 20) -> list[tuple[int, int, int, bool]]:
    """Each slice as where it begins and ends, how many entries it stores, and whether it is a barrier."""
    found: Iterator[SliceCut] = cut_slices(groups, lambda raw: raw, limit)
    return [(one.start.at.seconds, one.end.at.seconds, len(one.stored), bool(one.barrier)) for one in found]


# Groups.


def test_entries_of_one_timestamp_belong_together_wherever_a_batch_ends() -> None:
    entries = [entry(1, 1), entry(1, 2), entry(1, 3, ordinal=2), entry(2, 4), entry(2, 5)]
    for at in range(len(entries) + 1):
        batches = [b"".join(entries[:at]), b"".join(entries[at:])]
        groups = list(group_entries(batch for batch in batches if batch))
        assert [(one.at, one.entries) for one in groups] == [
            (Timestamp(1, 1), tuple(entries[:2])),
            (Timestamp(1, 2), (entries[2],)),
            (Timestamp(2, 1), tuple(entries[3:])),
        ]


def test_an_empty_oplog_has_no_groups() -> None:
    assert list(group_entries([])) == []


def test_an_entry_without_its_time_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        list(group_entries([bson.encode({"op": "n"})]))


def test_a_fingerprint_is_of_every_byte_of_all_entries() -> None:
    prints = {
        group(1, entry(1, 1), entry(1, 2)).fingerprint,
        group(1, entry(1, 2), entry(1, 1)).fingerprint,
        group(1, entry(1, 1)).fingerprint,
        group(1, entry(1, 1, t=bson.Int64(2)), entry(1, 2)).fingerprint,
    }
    assert len(prints) == 4
    assert {len(one) for one in prints} == {32}


# Slices.


def test_the_group_that_was_captured_before_makes_no_slice_alone() -> None:
    assert cuts([]) == []
    assert cuts([group(1)]) == []
    assert cuts([group(1), group(2)]) == [(1, 2, 2, False)]


def test_each_slice_begins_with_the_group_that_the_one_before_ends_with() -> None:
    size = len(entry(1))
    groups = [group(at) for at in range(1, 6)]
    assert cuts(groups, limit=2 * size) == [(1, 3, 3, False), (3, 5, 3, False)]
    assert cuts(groups, limit=2 * size + 1) == [(1, 4, 4, False), (4, 5, 2, False)]
    assert cuts(groups[:3], limit=2 * size) == [(1, 3, 3, False)], "nothing is left over"


def test_what_is_stored_is_counted_and_the_first_group_of_a_slice_is_stored_again() -> None:
    groups = [group(at) for at in range(1, 4)]
    (one,) = cut_slices(groups, lambda raw: raw)
    assert one.stored == [entry(1), entry(2), entry(3)]
    assert one.data_bytes == len(entry(2) + entry(3))


def test_what_policy_leaves_out_is_not_stored_and_still_moves_the_slice_on() -> None:
    foreign = entry(2, ns="other.c")
    groups = [group(1), group(2, foreign, entry(2, 7)), group(3, entry(3, ns="other.c"))]
    (one,) = cut_slices(groups, lambda raw: None if b"other.c" in raw else raw)
    assert (one.start.at.seconds, one.end.at.seconds) == (1, 3)
    assert one.stored == [entry(1), entry(2, 7)]


def test_what_no_replay_can_do_has_a_slice_of_its_own() -> None:
    groups = [group(1), group(2), group(3, barrier(3)), group(4)]
    assert cuts(groups) == [(1, 2, 2, False), (2, 3, 1, True), (3, 4, 2, False)]


def test_a_barrier_right_behind_what_was_captured_leaves_no_empty_slice_before_it() -> None:
    (first, second) = cut_slices([group(1), group(2, entry(2), barrier(2)), group(3)], lambda raw: raw)
    assert (first.start.at.seconds, first.end.at.seconds) == (1, 2)
    assert "importCollection" in first.barrier
    assert (second.start.at.seconds, second.end.at.seconds, second.barrier) == (2, 3, "")


def test_a_barrier_that_was_captured_before_is_none_for_what_follows() -> None:
    assert cuts([group(1, barrier(1)), group(2)]) == [(1, 2, 2, False)]


def test_a_barrier_that_policy_leaves_out_is_none() -> None:
    groups = [group(1), group(2, barrier(2)), group(3)]
    (one,) = cut_slices(groups, lambda raw: None if b"importCollection" in raw else raw)
    assert (one.end.at.seconds, one.barrier) == (3, "")


def test_a_rename_is_replayed_and_what_cannot_be_read_is_a_barrier() -> None:
    assert find_barrier(entry(1)) == ""
    assert find_barrier(rename(1)) == ""
    assert "importCollection" in find_barrier(barrier(1))
    assert find_barrier(entry(1, op="c", ns="rocketchat.$cmd", o=5))


# Continuity.

END = Timestamp(100, 5)
BOUNDARY = EntryGroup(END, (entry(100, ordinal=5),))
CURSOR = CaptureCursor(
    format=FORMAT,
    branch="20260101T000000Z-0001",
    since=datetime(2026, 1, 1, tzinfo=UTC),
    first="50.1",
    end=str(END),
    end_hash=BOUNDARY.fingerprint,
    oldest="50.1",
    trims=False,
    updated=datetime(2026, 1, 1, tzinfo=UTC),
    gap="",
    base_from="50.1",
    wants_base="",
    captured=1,
)


def judge(
    oldest: Timestamp, newest: Timestamp, boundary: EntryGroup | None, written: Timestamp
) -> Continuity:
    return judge_continuity(CURSOR, oldest, newest, boundary, written)


@pytest.mark.parametrize("oldest", [Timestamp(50, 1), END])
@pytest.mark.parametrize("newest", [END, Timestamp(200, 1)])
def test_an_oplog_that_still_has_the_last_entry_goes_on(oldest: Timestamp, newest: Timestamp) -> None:
    assert judge(oldest, newest, BOUNDARY, newest) is Continuity.FOLLOWS


def test_an_oplog_that_begins_behind_the_last_entry_has_a_gap() -> None:
    assert judge(Timestamp(100, 6), Timestamp(200, 1), None, Timestamp(200, 1)) is Continuity.GAP


@pytest.mark.parametrize(
    "boundary",
    [None, EntryGroup(END, (entry(100, 9, ordinal=5),)), replace(BOUNDARY, at=Timestamp(100, 6))],
    ids=["nothing there", "another entry", "at another time"],
)
def test_an_oplog_with_something_else_in_the_place_of_the_last_entry_is_another_history(
    boundary: EntryGroup | None,
) -> None:
    assert judge(Timestamp(50, 1), Timestamp(200, 1), boundary, Timestamp(200, 1)) is Continuity.REWOUND


@pytest.mark.parametrize(
    ("written", "continuity"),
    [
        (Timestamp(200, 1), Continuity.BEHIND),
        (END, Continuity.BEHIND),
        (Timestamp(100, 4), Continuity.REWOUND),
    ],
)
def test_a_primary_that_has_the_last_entry_without_knowing_of_a_majority_is_only_behind(
    written: Timestamp, continuity: Continuity
) -> None:
    assert judge(Timestamp(50, 1), Timestamp(100, 4), BOUNDARY, written) is continuity


# The window.


@pytest.mark.parametrize(
    ("cursor", "oldest", "trims"),
    [
        (None, Timestamp(60, 1), False),  # nothing was seen before
        (CURSOR, Timestamp(50, 1), False),
        (CURSOR, Timestamp(40, 1), False),
        (CURSOR, Timestamp(50, 2), True),
        (replace(CURSOR, trims=True), Timestamp(50, 1), True),  # once full, always full
    ],
)
def test_an_oplog_is_full_once_its_oldest_entry_was_seen_to_go(
    cursor: CaptureCursor | None, oldest: Timestamp, trims: bool
) -> None:
    window = measure_window(cursor, oldest, Timestamp(oldest.seconds + 7200, 1))
    assert (window.length, window.trims) == (2 * HOUR, trims)


def test_only_a_full_window_below_the_alarm_is_short() -> None:
    full = measure_window(replace(CURSOR, trims=True), Timestamp(50, 1), Timestamp(50 + 3600, 1))
    assert full.is_short(HOUR + timedelta(seconds=1))
    assert not full.is_short(HOUR)
    assert not replace(full, trims=False).is_short(2 * HOUR)
