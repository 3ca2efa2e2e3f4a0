"""What the disk of a check is called, carries and costs, and when it may go."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from shared.snapshots.check.decide import (
    CHECK_TAG,
    LIFETIME,
    check_disk_id,
    check_disk_name,
    check_disk_tags,
    find_disk_faults,
    is_expired_test_disk,
    max_cost,
    snapshot_tags_after,
)
from shared.snapshots.decide import EXPIRES_TAG, OWNER_TAG, PROVEN_TAG

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
BERLIN = timezone(timedelta(hours=1))
SNAPSHOT = "/subscriptions/1/resourceGroups/Chat/providers/Microsoft.Compute/snapshots/Data-1"
TAGS = check_disk_tags("Data-1", NOW, owner="groundcrew")


def test_a_disks_name_is_of_its_snapshot_however_azure_spells_that_and_of_the_second() -> None:
    name = check_disk_name(SNAPSHOT, NOW)
    assert re.fullmatch("check-[0-9a-f]{8}-20261123T123000Z", name)
    assert check_disk_name(SNAPSHOT.upper(), NOW) == name
    assert check_disk_name(SNAPSHOT + "0", NOW) != name


def test_the_disk_lies_beside_its_snapshot() -> None:
    folder = SNAPSHOT.lower().removesuffix("/snapshots/data-1")
    assert check_disk_id(SNAPSHOT, "Check-1") == f"{folder}/disks/check-1"


def test_from_its_first_moment_the_disk_says_whose_it_is_and_until_when() -> None:
    assert TAGS == {OWNER_TAG: "groundcrew", CHECK_TAG: "Data-1", EXPIRES_TAG: "2026-11-23T14:30Z"}
    assert check_disk_tags("x" * 300, NOW.astimezone(BERLIN), owner="o") == {
        OWNER_TAG: "o",
        CHECK_TAG: "x" * 256,  # the most that a tag of Azure's holds
        EXPIRES_TAG: "2026-11-23T14:30Z",
    }


@pytest.mark.parametrize(
    ("tags", "attached_to", "after", "is_expired"),
    [
        ({}, "", LIFETIME, True),
        ({}, "", LIFETIME - timedelta(minutes=1), False),
        ({}, "vm-1", 9 * LIFETIME, False),  # somebody uses it
        ({CHECK_TAG: None}, "", 9 * LIFETIME, False),
        ({OWNER_TAG: None}, "", 9 * LIFETIME, False),
        ({OWNER_TAG: "another"}, "", 9 * LIFETIME, False),
        ({EXPIRES_TAG: None}, "", 9 * LIFETIME, False),
        ({EXPIRES_TAG: "soon"}, "", 9 * LIFETIME, False),
        ({CHECK_TAG: ""}, "", LIFETIME, True),
    ],
)
def test_only_a_disk_of_ours_that_nobody_uses_goes_when_its_time_is_over(
    tags: dict[str, Any], attached_to: str, after: timedelta, is_expired: bool
) -> None:
    changed = {name: value for name, value in {**TAGS, **tags}.items() if value is not None}
    for spelled in (changed, {name.upper(): value for name, value in changed.items()}):
        assert is_expired_test_disk(spelled, attached_to, NOW + after, owner="groundcrew") is is_expired


def test_a_check_that_proves_or_does_not_leaves_the_other_tags() -> None:
    before = {"team": "ops", PROVEN_TAG.upper(): "2026-01-01T00:00Z"}
    assert snapshot_tags_after(before, NOW.astimezone(BERLIN), proven=True) == {
        "team": "ops",
        PROVEN_TAG: "2026-11-23T12:30Z",
    }
    assert snapshot_tags_after(before, NOW, proven=False) == {"team": "ops"}


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"source": SNAPSHOT.upper()}, []),
        ({"provisioned": False}, ["the disk was not provisioned"]),
        ({"size_gb": 63}, ["the disk has 63 GB instead of 64 GB"]),
        ({"size_gb": 65}, ["the disk has 65 GB instead of 64 GB"]),
        ({"source": "/other"}, ["the disk was made of /other"]),
        (
            {"source": "", "provisioned": False},
            ["the disk was not provisioned", "the disk was made of nothing"],
        ),
    ],
)
def test_each_way_in_which_a_disk_is_not_what_was_promised_is_told(
    changes: dict[str, Any], faults: list[str]
) -> None:
    facts: dict[str, Any] = {
        "size_gb": 64,
        "expected_gb": 64,
        "source": SNAPSHOT,
        "expected_source": SNAPSHOT,
        "provisioned": True,
    }
    assert list(find_disk_faults(**{**facts, **changes})) == faults


def test_a_disk_costs_at_most_its_two_hours_of_a_month() -> None:
    assert max_cost(Decimal("7.30")) == Decimal("0.02")
