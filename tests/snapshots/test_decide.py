"""Which disks are snapshotted and which snapshots may go, clause by clause; laws of names and dates."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.policy import Retention, SnapshotPolicy
from shared.retention.decide import Keep, Remove, removed_items
from shared.snapshots.decide import (
    CLASS_TAG,
    OWNER_TAG,
    PROVEN_TAG,
    DiskSnapshot,
    SnapshotPlan,
    SourceDisk,
    parse_retained_until,
    plan_snapshots,
    snapshot_name,
)

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = SnapshotPolicy(disks="groundcrew=snapshot", at="02:00", keep=Retention(minimum=2))
DATA = SourceDisk("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/data", "data")
CHOSEN = replace(DATA, tags={"Groundcrew": "snapshot"})
OURS = {OWNER_TAG: "groundcrew", CLASS_TAG: "daily"}


def snapshot(age: timedelta, **changes: object) -> DiskSnapshot:
    made = DiskSnapshot(f"/snapshots/{age}", f"snap-{age}", DATA.id.upper(), NOW - age, tags=OURS)
    return replace(made, **changes)  # type: ignore[arg-type]


def plan(*found: DiskSnapshot, policy: SnapshotPolicy = POLICY, now: datetime = NOW) -> SnapshotPlan:
    return plan_snapshots([CHOSEN], found, policy, now)


def test_a_chosen_disk_without_a_snapshot_gets_one_with_tags_that_say_whose_it_is() -> None:
    (made,) = plan().create
    assert made.tags == {**OURS, "groundcrew-expires": "2026-03-15T02:00Z"}
    assert made.reason == "no good snapshot yet"


def test_disks_without_the_tag_get_none() -> None:
    other = replace(DATA, tags={"groundcrew": "no"})
    assert plan_snapshots([DATA, other], [], POLICY, NOW) == SnapshotPlan((), (), ())
    assert plan_snapshots([CHOSEN], [], SnapshotPolicy(), NOW).create == ()


@pytest.mark.parametrize(
    ("found", "made"),
    [
        ([snapshot(timedelta(hours=2))], 0),
        ([snapshot(timedelta(hours=24))], 1),
        ([snapshot(timedelta(days=9))], 1),
        ([snapshot(timedelta(hours=1), state="Failed")], 1),
        ([snapshot(timedelta(hours=1), complete=False)], 0),
        ([snapshot(timedelta(hours=3), complete=False)], 1),
        ([snapshot(timedelta(hours=3), tags={})], 1),
        ([snapshot(timedelta(hours=3), tags={OWNER_TAG: "another"})], 1),
        ([snapshot(timedelta(hours=-3)), snapshot(timedelta(hours=30))], 1),
        ([snapshot(timedelta(hours=3), disk_id="/other")], 1),
    ],
    ids=[
        "fresh",
        "due",
        "runs missed",
        "failed",
        "under way",
        "stuck",
        "nobody's",
        "another installation's",
        "dated in the future",
        "another disk's",
    ],
)
def test_a_snapshot_is_made_when_the_newest_good_one_of_ours_is_too_old(
    found: list[DiskSnapshot], made: int
) -> None:
    assert len(plan(*found).create) == made


def test_others_snapshots_and_those_with_a_date_ahead_stay_with_the_reason() -> None:
    old = timedelta(days=90)
    found = [
        snapshot(timedelta(hours=1)),
        snapshot(timedelta(hours=30)),
        snapshot(old, id="foreign", tags={}),
        snapshot(old, id="dated", tags={**OURS, "keep-until": "2026-03-01"}),
        snapshot(old, id="other case", tags={**OURS, "KEEP-Until": "2026-03-01"}),
        snapshot(old, id="dotted", tags={**OURS, "keep-until": "1.3.2026"}),
        snapshot(old, id="unread", tags={**OURS, "keep-until": "after the audit"}),
        snapshot(old, id="empty", tags={**OURS, "Keep-Until": ""}),
        snapshot(old, id="expired", tags={**OURS, "keep-until": "2026-02-27"}),
        snapshot(old, id="proven", tags={**OURS, PROVEN_TAG: "2025-12-02"}),
    ]
    decided = {d.item.name: d for d in plan(*found).decisions}
    assert decided["foreign"].reasons == ("not made by Groundcrew",)
    assert decided["dated"].reasons == ("keep until 2026-03-02 00:00Z",)
    assert decided["other case"].reasons == decided["dotted"].reasons == decided["dated"].reasons
    assert decided["unread"].reasons == ("keep-until 'after the audit' is not a date",)
    assert decided["empty"].reasons == ("keep-until '' is not a date",)
    assert [item.name for item in plan(*found).unreadable] == ["unread", "empty"]
    assert decided["proven"].reasons == ("newest proven",)
    assert isinstance(decided["expired"], Remove)


def test_snapshots_of_a_deleted_disk_age_out_but_for_the_newest() -> None:
    found = [snapshot(age * DAY, id=str(age), disk_id="/gone") for age in (20, 30, 40)]
    assert {d.item.name: type(d) for d in plan(*found).decisions} == {"20": Keep, "30": Keep, "40": Remove}


def test_the_limit_per_disk_makes_room_or_says_that_there_is_none() -> None:
    policy = POLICY.model_copy(update={"max_per_disk": 5})
    mine = [snapshot(timedelta(hours=25 + n), id=f"m{n}") for n in range(5)]
    full = plan(*mine, policy=policy)
    assert [item.name for item in removed_items(full.decisions)] == ["m4"]
    assert len(full.create) == 1
    foreign = [snapshot(timedelta(hours=n), id=f"f{n}", tags={}) for n in range(5)]
    crowded = plan(*foreign, policy=policy)
    assert crowded.create == ()
    assert crowded.skipped[0].reason == "5 snapshots must be kept and the limit is 5: none can be taken"


@given(st.text(max_size=120), st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_names_are_valid_in_azure_and_differ_between_disks(name: str, other: str) -> None:
    disk = SourceDisk(f"/disks/{name}", name)
    made = snapshot_name(disk, NOW)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,78}[A-Za-z0-9_]", made)
    if disk.id.lower() != f"/disks/{other}".lower():
        assert made != snapshot_name(replace(disk, id=f"/disks/{other}"), NOW)


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_moment_or_none(text: str) -> None:
    moment = parse_retained_until(text)
    assert moment is None or moment.tzinfo is not None


def test_a_hundred_thousand_snapshots_are_planned_in_about_half_a_second() -> None:
    disks = [SourceDisk(f"/disks/{n}", f"d{n}", {"groundcrew": "snapshot"}) for n in range(1000)]
    found = [
        DiskSnapshot(
            f"/s/{n}", f"s{n}", disks[n % 1000].id, NOW - timedelta(hours=6 * (n // 1000)), tags=OURS
        )
        for n in range(100_000)
    ]
    began = time.process_time()
    made = plan_snapshots(disks, found, POLICY, NOW)
    assert time.process_time() - began < 2.5
    assert len(made.decisions) == 100_000
    assert len(removed_items(made.decisions)) == 1000 * (100 - 56)


def test_a_disk_that_needs_none_says_why() -> None:
    (fresh,) = plan(snapshot(timedelta(hours=2))).skipped
    assert (fresh.reason, fresh.limit_reached) == ("newest good snapshot is from 2026-03-01 00:00Z", False)
    pending = snapshot(timedelta(hours=1), name="running", complete=False)
    (busy,) = plan(snapshot(timedelta(hours=30)), pending).skipped
    assert (busy.reason, busy.limit_reached) == ("snapshot running is under way", False)


@pytest.mark.parametrize(
    "other",
    [
        snapshot(timedelta(hours=1), complete=False, tags={}),
        snapshot(timedelta(hours=1), complete=False, state="Failed"),
        snapshot(timedelta(hours=2), complete=False),
        snapshot(timedelta(hours=-2), complete=False),
    ],
    ids=["not ours", "failed", "for two hours already", "dated two hours ahead"],
)
def test_what_never_becomes_a_snapshot_of_ours_is_not_waited_for(other: DiskSnapshot) -> None:
    assert len(plan(snapshot(timedelta(hours=30)), other).create) == 1


def test_a_limit_that_is_reached_is_somebodys_work() -> None:
    policy = POLICY.model_copy(update={"max_per_disk": 2})
    foreign = [snapshot(timedelta(hours=n), id=f"f{n}", tags={}) for n in range(2)]
    (skip,) = plan(*foreign, policy=policy).skipped
    assert skip.limit_reached


def test_a_disk_whose_name_has_no_letter_gets_one_that_azure_takes() -> None:
    assert snapshot_name(replace(DATA, name="..."), NOW).startswith("disk-")


def test_a_day_lasts_to_its_end_on_the_clock_of_the_zone() -> None:
    assert parse_retained_until("2026-03-01", UTC) == datetime(2026, 3, 2, tzinfo=UTC)
    assert parse_retained_until("2026-03-01T10:00", UTC) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert parse_retained_until("2026-03-01T10:00+02:00", UTC) == datetime(2026, 3, 1, 8, tzinfo=UTC)
