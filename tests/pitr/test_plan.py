"""Which base and slices reach a moment: doubled, missing, foreign slices, branches, and what is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.formats.slices import SliceRecord, StoredSlice
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import NotFound
from shared.mongodb.model import Timestamp
from shared.pitr.moment import LAST_ORDINAL
from shared.pitr.plan import Base, plan_moment

OLD, NEW = "20260101T000000Z-0001", "20260101T020000Z-0002"
FIRST = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def entry_hash(at: int, history: str = "a") -> str:
    return f"{at:031x}{history}"


def cut(start: int, end: int, branch: str = OLD, *, barrier: bool = False, history: str = "a") -> StoredSlice:
    record = SliceRecord(
        FORMAT, branch, f"{FIRST + start}.1", entry_hash(start, history), f"{FIRST + end}.1",
        entry_hash(end, history), barrier, 1, 10, "0" * 64,
    )  # fmt: skip
    return StoredSlice(f"{branch}/{start:06}-{end:06}{history}", record)


def base(end: int, name: str = "", sealed: int | None = None) -> Base:
    at = FIRST + (end if sealed is None else sealed)
    return Base(name or f"daily/{end}", Timestamp(FIRST + end, 1), datetime.fromtimestamp(at, UTC))


def at(second: int, ordinal: int = 1) -> Timestamp:
    return Timestamp(FIRST + second, ordinal)


def second(number: int) -> Timestamp:
    return at(number, LAST_ORDINAL)


def names(plan) -> list[str]:
    return [one.name.partition("/")[2].rstrip("ab") for one in plan.slices]


CHAIN = [cut(0, 10), cut(10, 20), cut(20, 30), cut(30, 40)]


def test_slices_from_the_one_that_holds_the_bases_end_to_the_one_that_holds_the_moment() -> None:
    plan = plan_moment([base(15)], CHAIN, at(25))
    assert names(plan) == ["000010-000020", "000020-000030"]
    assert plan.base.reference == "daily/15"


def test_the_newest_base_before_the_moment_is_taken_in_whatever_order_all_comes() -> None:
    plan = plan_moment([base(5), base(35), base(22)], [*reversed(CHAIN)], at(28))
    assert plan.base.reference == "daily/22"
    assert names(plan) == ["000020-000030"]


def test_the_end_of_a_base_needs_no_slice_and_a_whole_second_a_later_entry() -> None:
    assert plan_moment([base(15)], [], at(15)).slices == ()
    assert names(plan_moment([base(15)], CHAIN, second(15))) == ["000010-000020"]
    assert names(plan_moment([base(15)], CHAIN, second(30)))[-1] == "000030-000040"
    with pytest.raises(NotFound):
        plan_moment([base(15)], CHAIN, second(40))
    assert plan_moment([base(15)], CHAIN, at(40))


def test_a_missing_slice_ends_what_can_be_reached_and_the_error_says_what_can() -> None:
    with pytest.raises(NotFound) as caught:
        plan_moment([base(5), base(35)], [CHAIN[0], CHAIN[1], CHAIN[3]], at(25))
    told = str(caught.value)
    assert f"2026-01-01T00:00:05Z ({FIRST + 5},1) to 2026-01-01T00:00:20Z ({FIRST + 20},1)" in told
    assert f"2026-01-01T00:00:35Z ({FIRST + 35},1) to 2026-01-01T00:00:40Z ({FIRST + 40},1)" in told


@pytest.mark.parametrize("moment", [at(2), at(60)], ids=["before the first base", "after the last slice"])
def test_a_moment_outside_of_all_is_not_reached(moment) -> None:
    with pytest.raises(NotFound, match="cannot be restored"):
        plan_moment([base(5)], CHAIN, moment)


def test_doubled_slices_and_shorter_ones_of_a_killed_run_do_no_harm() -> None:
    more = [*CHAIN, cut(10, 14), cut(10, 20), cut(14, 18)]
    assert names(plan_moment([base(5)], more, at(25)))[-1] == "000020-000030"
    assert plan_moment([base(12)], more, at(35))


def test_a_slice_that_saw_another_entry_at_its_start_does_not_follow() -> None:
    with pytest.raises(NotFound):
        plan_moment([base(5)], [CHAIN[0], CHAIN[1], cut(20, 30, history="b")], at(25))


def test_nothing_is_replayed_past_a_barrier_but_up_to_it() -> None:
    slices = [CHAIN[0], CHAIN[1], cut(20, 21, barrier=True), cut(21, 30)]
    assert plan_moment([base(5)], slices, at(20))
    with pytest.raises(NotFound):
        plan_moment([base(5)], slices, at(21))
    assert plan_moment([base(5), base(25)], slices, at(28)).base.reference == "daily/25"


def test_a_base_of_before_a_branch_is_of_another_history_unless_the_branch_begins_at_its_end() -> None:
    rewound = [cut(7000, 7300, NEW), cut(7300, 7400, NEW)]
    late = base(7100, sealed=7100)  # sealed before the branch was begun at 02:00, by the old history's clock
    with pytest.raises(NotFound):
        plan_moment([late], rewound, at(7350))
    assert plan_moment([base(7100, sealed=7250)], rewound, at(7350))
    assert plan_moment([base(7000, sealed=7000)], rewound, at(7350))


def test_slices_of_two_branches_are_never_mixed() -> None:
    with pytest.raises(NotFound):
        plan_moment([base(15)], [*CHAIN, cut(40, 50, NEW)], at(45))


def test_a_base_within_a_long_slice_is_followed_although_a_short_one_begins_nearer() -> None:
    assert names(plan_moment([base(5)], [cut(0, 10), cut(3, 4), CHAIN[1]], at(15))) == [
        "000000-000010",
        "000010-000020",
    ]


def test_of_two_branches_the_one_that_reaches_further_is_taken() -> None:
    branches = [cut(0, 10, OLD), cut(0, 10, NEW), cut(10, 30, NEW)]
    late = base(5, sealed=9000)
    assert plan_moment([late], branches, at(25)).slices[-1].name.startswith(NEW)
    assert plan_moment([late], [*branches, cut(10, 40, OLD)], at(35)).slices[-1].name.startswith(OLD)


def test_the_four_spans_nearest_to_the_moment_are_told_in_their_order() -> None:
    with pytest.raises(NotFound) as caught:
        plan_moment([base(hundred * 100) for hundred in (5, 0, 3, 1, 4, 2)], [], at(260))
    told = str(caught.value)
    assert told.count(" to ") == 4
    places = [told.find(f"({FIRST + hundred * 100},1)") for hundred in range(6)]
    assert [place >= 0 for place in places] == [False, True, True, True, True, False]
    assert sorted(places[1:5]) == places[1:5]


def test_spans_that_touch_are_told_as_one() -> None:
    slices = [cut(0, 10), cut(100, 110), cut(110, 120)]
    with pytest.raises(NotFound) as caught:
        plan_moment([base(0), base(100), base(105), base(120)], slices, at(50))
    told = str(caught.value)
    assert told.count(" to ") == 2
    assert f"({FIRST},1) to 2026-01-01T00:00:10Z" in told
    assert f"({FIRST + 100},1) to 2026-01-01T00:02:00Z" in told


def test_a_slice_that_begins_first_and_ends_last_is_found_among_shorter_ones() -> None:
    assert names(plan_moment([base(5)], [cut(0, 40), cut(10, 20), cut(20, 30)], at(15))) == ["000000-000040"]


def test_a_span_within_another_does_not_shorten_it() -> None:
    apart = base(12, sealed=-100)  # of the history before the branch: it reaches itself alone
    with pytest.raises(NotFound) as caught:
        plan_moment([base(0), apart], CHAIN, at(50))
    told = str(caught.value)
    assert told.count(" to ") == 1
    assert f"({FIRST},1) to 2026-01-01T00:00:40Z" in told


def test_a_plan_says_what_will_be_used() -> None:
    assert plan_moment([base(15)], [], at(15)).reasons == (
        f"daily/15 ends at 2026-01-01T00:00:15Z ({FIRST + 15},1): no slices are needed",
    )
    first, second_, third = plan_moment([base(15)], CHAIN, at(25)).reasons
    assert first == f"base daily/15, which ends at 2026-01-01T00:00:15Z ({FIRST + 15},1)"
    assert second_ == f"2 slices from {FIRST + 10}.1 to {FIRST + 30}.1, 20 bytes"
    assert third.startswith("replayed until 2026-01-01T00:00:25Z")


def test_without_a_base_that_is_said() -> None:
    with pytest.raises(NotFound, match="there is no base"):
        plan_moment([], CHAIN, at(15))
