"""The backup's decisions: each clause of each condition decides at least one case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.backup.completion import build_manifest, choose_receipts, remaining_parts
from shared.backup.decide import (
    check_selection,
    choose_class,
    count_pieces,
    decide_nightly,
    plan_parts,
    previous_slot,
    select_namespaces,
)
from shared.formats.backupset import (
    BackupPlan,
    BackupSource,
    NamespaceCount,
    OplogSlice,
    Piece,
    PlannedPart,
    Receipt,
)
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Inconsistent, UsageError
from shared.mongodb.model import Namespace
from shared.policy import BackupPolicy

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 26, 1, tzinfo=UTC)  # a Thursday
AT, TIMEOUT, HOUR, DAY = time(1), timedelta(hours=20), timedelta(hours=1), timedelta(days=1)


# Which class a set has.


@pytest.mark.parametrize(
    ("others", "klass"),
    [
        ([], "monthly"),
        ([("monthly", NOW - 3 * DAY)], "daily"),  # it stands in for the weekly of its week
        ([("monthly", NOW - 20 * DAY)], "weekly"),
        ([("monthly", NOW - 20 * DAY), ("weekly", NOW - 3 * DAY)], "daily"),
        ([("monthly", NOW - 20 * DAY), ("weekly", NOW - 4 * DAY)], "weekly"),  # that was Sunday's
        ([("monthly", NOW - 20 * DAY), ("daily", NOW - 1 * DAY)], "weekly"),
        ([("monthly", NOW - 20 * DAY), ("manual", NOW - 1 * DAY)], "weekly"),
        ([("weekly", NOW - 1 * DAY)], "monthly"),
        ([("monthly", NOW - 26 * DAY), ("weekly", NOW - 1 * DAY)], "monthly"),  # October's
        ([("monthly", NOW.replace(year=2025))], "monthly"),
        ([("monthly", NOW - 20 * DAY), ("weekly", NOW.replace(year=2025))], "weekly"),
    ],
)
def test_the_first_set_of_a_month_is_monthly_else_of_a_week_weekly(others, klass: str) -> None:
    assert choose_class(others, NOW, BERLIN) == klass


def test_months_and_weeks_begin_in_the_policys_zone() -> None:
    midnight = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)  # in Berlin it is December, and still the same week
    others = [
        ("monthly", datetime(2026, 11, 2, 1, tzinfo=UTC)),
        ("weekly", datetime(2026, 11, 30, 1, tzinfo=UTC)),
    ]
    assert choose_class(others, midnight, BERLIN) == "monthly"
    assert choose_class(others, midnight, ZoneInfo("UTC")) == "daily"


# Whether a set is due.


def nightly(*sets: tuple[datetime, str], now: datetime = NOW, grace: timedelta = timedelta()):
    facts = [(f"sets/daily/{created:%d%H}/", created, state) for created, state in sets]
    return decide_nightly(facts, now, at=AT, grace=grace, timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("sets", "due"),
    [
        ([], True),
        ([(NOW - DAY, "sealed")], True),
        ([(NOW, "sealed")], False),
        ([(NOW, "open")], False),
        ([(NOW - timedelta(minutes=2), "sealed")], False),  # a timer that fired early
        ([(NOW - timedelta(minutes=3), "sealed")], True),
        ([(NOW - DAY, "open")], True),  # hung for longer than its time: it is none
        ([(NOW - DAY, "sealed"), (NOW - 2 * DAY, "sealed")], True),
        ([(NOW - DAY, "failed"), (NOW - 2 * DAY, "sealed")], True),
        ([(NOW - 2 * DAY, "failed"), (NOW, "sealed")], False),
    ],
)
def test_a_set_is_due_unless_one_was_begun_since_the_timer(sets, due: bool) -> None:
    assert nightly(*sets).due is due


def test_catch_up_leaves_the_night_to_the_timer_for_an_hour() -> None:
    yesterday = (NOW - DAY, "sealed")
    assert not nightly(yesterday, now=NOW + timedelta(minutes=57), grace=HOUR).due
    assert nightly(yesterday, now=NOW + timedelta(minutes=58), grace=HOUR).due


def test_a_set_that_hangs_blocks_the_next_one_only_for_its_time() -> None:
    assert not nightly((NOW, "open"), now=NOW + TIMEOUT - timedelta(seconds=1)).due
    assert nightly((NOW, "open"), now=NOW + TIMEOUT).due
    assert nightly((NOW, "sealed"), now=NOW + TIMEOUT).due is False


@pytest.mark.parametrize(
    ("failures", "delay"),
    [(1, timedelta(hours=1)), (2, timedelta(hours=3)), (3, timedelta(hours=20)), (7, timedelta(hours=20))],
)
def test_after_failures_the_next_attempt_waits(failures: int, delay: timedelta) -> None:
    sets = [(NOW - n * timedelta(minutes=10), "failed") for n in range(failures)]
    assert not nightly(*sets, now=NOW + delay - timedelta(seconds=1)).due
    assert nightly(*sets, now=NOW + delay).due
    reason = nightly(*sets, now=NOW + delay - timedelta(seconds=1)).reason
    assert f"{failures} failed sets" in reason


def test_only_failures_since_the_last_good_set_count() -> None:
    old = [(NOW - 2 * DAY - n * HOUR, "failed") for n in range(4)]
    sets = [*old, (NOW - DAY - 2 * HOUR, "sealed"), (NOW, "failed")]
    assert nightly(*sets, now=NOW + HOUR).due


def test_the_previous_slot_is_today_or_yesterday() -> None:
    assert previous_slot(AT, NOW) == NOW
    assert previous_slot(AT, NOW - timedelta(seconds=1)) == NOW - DAY
    assert previous_slot(time(1, 2, 3), NOW + HOUR) == NOW + timedelta(minutes=2, seconds=3)


# What a set holds.


def collection(name: str, size: int = 10, db: str = "rocketchat", **more: object) -> Namespace:
    return Namespace(db, name, data_bytes=size, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("namespace", "pieces"),
    [
        (collection("a", 0), 1),
        (collection("a", 100), 1),
        (collection("a", 101), 2),
        (collection("a", 300), 3),
        (collection("a", 301, options={"capped": True, "size": 1000}), 1),
        (collection("a", 301, options={"capped": False}), 4),
        (collection("a", 301, kind="timeseries"), 1),
        (collection("a", 301, kind="view"), 1),
    ],
)
def test_a_collection_is_split_by_its_size_but_for_capped_ones_views_and_time_series(
    namespace: Namespace, pieces: int
) -> None:
    assert count_pieces(namespace, 100) == pieces


def test_what_is_selected_and_why_not() -> None:
    policy = BackupPolicy(databases=["rocketchat"], exclude=("cache_*",))
    found = [
        collection("system.users", db="admin"),
        collection("users"),
        collection("cache_a"),
        collection("cards", db="billing"),
    ]
    included, excluded = select_namespaces(found, policy)
    assert [n.name for n in included] == ["admin.system.users", "rocketchat.users"]
    assert {e.name: e.reason for e in excluded} == {
        "rocketchat.cache_a": "policy: backup.exclude",
        "billing.cards": "policy: not in backup.databases",
    }


@pytest.mark.parametrize(
    ("databases", "names", "match"),
    [
        (["rocketchat", "billing"], [collection("a")], "billing"),
        (["rocketchat"], [collection("system.users", db="admin")], "rocketchat"),
        ("all", [collection("system.users", db="admin")], "no database"),
        ("all", [], "no database"),
    ],
)
def test_a_selection_that_lacks_a_database_is_refused(databases, names, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        check_selection(names, BackupPolicy(databases=databases))


def test_a_selection_with_a_database_is_accepted() -> None:
    names = [collection("a"), collection("system.users", db="admin")]
    check_selection(names, BackupPolicy(databases=["rocketchat"]))


def parts_of(*namespaces: Namespace, cuts: dict[str, list[bytes]] | None = None) -> list[list[str]]:
    metadata = {n.name: "{}" for n in namespaces}
    parts = plan_parts(namespaces, cuts or {}, metadata, part_bytes=100)
    return [[p.collection for p in part.pieces] + (["+oplog"] if part.oplog else []) for part in parts]


def test_namespaces_are_packed_into_parts_in_their_order() -> None:
    assert parts_of(collection("a", 60), collection("b", 40)) == [["a", "b", "+oplog"]]
    assert parts_of(collection("a", 60), collection("b", 41)) == [["a"], ["b"], ["+oplog"]]
    assert parts_of(collection("a", 60), collection("b", 30), collection("c", 11), collection("d", 5)) == [
        ["a", "b"],
        ["c", "d"],
        ["+oplog"],
    ]
    assert parts_of(collection("a", 60), collection("b", 40), collection("c", 1)) == [
        ["a", "b"],
        ["c"],
        ["+oplog"],
    ]
    assert parts_of(collection("a", 200), collection("b", 1)) == [["a"], ["b"], ["+oplog"]]


def test_a_split_collection_has_a_part_for_each_range_and_does_not_part_its_neighbours() -> None:
    namespaces = (collection("a", 10), collection("big", 300), collection("b", 10))
    cuts = {"rocketchat.big": [b"\x01", b"\x02"]}
    assert parts_of(*namespaces, cuts=cuts) == [["big"], ["big"], ["big"], ["a", "b"], ["+oplog"]]
    parts = plan_parts(namespaces, cuts, {n.name: "{}" for n in namespaces}, part_bytes=100)
    bounds = [(p.pieces[0].lower, p.pieces[0].upper) for p in parts[:3]]
    assert bounds == [("", "01"), ("01", "02"), ("02", "")]
    assert [p.data_bytes for p in parts] == [100, 100, 100, 20, 0]


# When it is complete.


def plan_of(*parts: PlannedPart) -> BackupPlan:
    return BackupPlan(
        FORMAT, "20261126T010000Z", "daily", NOW, "a test", BackupSource((), "8.0.4"), "5.1", (), 1, (), parts
    )


def piece(name: str) -> Piece:
    return Piece("rocketchat", name, "collection", "", "{}")


def receipt(part: int, *names: str, attempt: str = "a", minutes: int = 0, **more: object) -> Receipt:
    counts = tuple(NamespaceCount("rocketchat", n, 2, 20, f"{2**127 + part:032x}") for n in names)
    blob, finished = f"part-{part:04d}.{attempt}", NOW + timedelta(minutes=minutes)
    base = Receipt(
        FORMAT,
        "20261126T010000Z",
        "daily",
        part,
        "",
        blob,
        "e",
        1,
        1,
        "0" * 64,
        counts,
        None,
        (),
        NOW,
        finished,
    )
    return replace(base, **more)


OPLOG_SLICE = OplogSlice("5.1", "6.1", 0, 0, "0" * 32)
PLAN = plan_of(PlannedPart((piece("a"),)), PlannedPart((piece("a"), piece("b"))), PlannedPart((), oplog=True))
COMPLETE = {
    0: receipt(0, "a"),
    1: receipt(1, "a", "b", minutes=5),
    2: receipt(2, oplog=OPLOG_SLICE, minutes=3, after=("part-0000.a", "part-0001.a")),
}


def test_a_complete_set_becomes_one_manifest_with_the_sums_of_its_ranges() -> None:
    manifest = build_manifest(PLAN, COMPLETE, tool="t", previous=None)
    assert [(n.name, n.documents, n.data_bytes) for n in manifest.namespaces] == [
        ("rocketchat.a", 4, 40),
        ("rocketchat.b", 2, 20),
    ]
    assert manifest.namespaces[0].content_hash == f"{1:032x}"  # the sum modulo 2^128
    assert manifest.sealed == NOW + timedelta(minutes=5)
    assert manifest.oplog == OPLOG_SLICE


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({1: None}, "not complete"),
        ({2: None}, "not complete"),
        ({0: receipt(0, "a", set="20261125T010000Z")}, "does not match"),
        ({0: receipt(1, "a")}, "does not match"),
        ({0: receipt(0, "b")}, "does not match"),
        ({1: receipt(1, "a")}, "does not match"),
        ({2: receipt(2)}, "no oplog"),
        ({2: receipt(2, oplog=replace(OPLOG_SLICE, start="5.2"))}, "no oplog"),
        ({0: receipt(0, "a", oplog=OPLOG_SLICE)}, "no oplog"),
    ],
)
def test_a_set_that_lacks_something_is_not_sealed(change, match: str) -> None:
    receipts = {k: v for k, v in {**COMPLETE, **change}.items() if v is not None}
    with pytest.raises(Inconsistent, match=match):
        build_manifest(PLAN, receipts, tool="t", previous=None)


@pytest.mark.parametrize(
    ("present", "remaining"),
    [((), [0, 1]), ((0,), [1]), ((0, 1), [2]), ((0, 1, 2), []), ((2,), [0, 1]), ((1, 2), [0])],
)
def test_the_oplog_comes_after_all_others(present: tuple[int, ...], remaining: list[int]) -> None:
    assert remaining_parts(PLAN, {i: COMPLETE[i] for i in present}) == remaining


def test_of_several_attempts_the_first_to_finish_counts() -> None:
    late, early = receipt(0, "a", attempt="b", minutes=9), receipt(0, "a", attempt="c", minutes=8)
    assert choose_receipts(PLAN, [late, early]) == {0: early}
    same = receipt(0, "a", attempt="a", minutes=8)
    assert choose_receipts(PLAN, [early, same]) == {0: same}


def test_the_attempts_that_the_oplog_was_dumped_after_count() -> None:
    early = receipt(0, "a", attempt="x", minutes=-9)  # written later, by a worker whose clock is behind
    chosen = choose_receipts(PLAN, [*COMPLETE.values(), early])
    assert chosen == COMPLETE


@pytest.mark.parametrize("missing", [0, 1])
def test_an_oplog_whose_attempts_are_gone_is_dumped_again(missing: int) -> None:
    receipts = [r for i, r in COMPLETE.items() if i != missing]
    replaced = replace(COMPLETE[missing], blob=f"part-{missing:04d}.other")
    chosen = choose_receipts(PLAN, [*receipts, replaced])
    assert chosen.keys() == {0, 1}
    assert remaining_parts(PLAN, chosen) == [2]


def test_a_small_set_is_one_part_with_its_oplog() -> None:
    plan = plan_of(PlannedPart((piece("a"),), oplog=True))
    only = receipt(0, "a", oplog=OPLOG_SLICE)
    assert choose_receipts(plan, [only]) == {0: only}
    assert remaining_parts(plan, {}) == [0]
