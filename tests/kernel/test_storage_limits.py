"""What a store takes is the same for the adapter and for the fake: they ask here."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.kernel.errors import UsageError
from shared.kernel.storage_limits import (
    MAX_MESSAGE_BYTES,
    MAX_NAME_CHARACTERS,
    check_blob_name,
    check_message,
    lease_seconds,
)

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "sets/daily/20261123T010000Z/plan.json",
        "x" * MAX_NAME_CHARACTERS,
        "with a space and a . in it",
        ".hidden/..name",
        "Ärger/猫.json",
        "last\ufffd",
        "~",
    ],
)
def test_a_name_that_all_stores_keep_as_it_is_is_taken(name: str) -> None:
    assert check_blob_name(name) == name


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "of 0 characters"),
        ("x" * (MAX_NAME_CHARACTERS + 1), "of 1025 characters"),
        ("a\\b", "with a backslash"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("a\x85b", "control character"),  # of Unicode's second block of controls
        ("lone \ud83d surrogate", "control character"),
        ("a\ufffe", "beyond U\\+FFFD"),
        ("one good, one 😀", "beyond U\\+FFFD"),
        ("/a", "empty path segment"),
        ("a/", "empty path segment"),
        ("a//b", "empty path segment"),
        ("a/../b", "ends in a dot"),
        ("./a", "ends in a dot"),
        ("a/b.", "ends in a dot"),
        ("ä./b", "ends in a dot"),
    ],
)
def test_a_name_that_a_store_would_change_or_lose_is_refused_with_its_fault(name: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        check_blob_name(name)


def test_a_long_name_is_quoted_in_part() -> None:
    with pytest.raises(UsageError) as refused:
        check_blob_name("x" * 2000)
    assert refused.value.value == repr("x" * 80)


@pytest.mark.parametrize("seconds", [15, 16, 60])
def test_a_lease_lasts_fifteen_to_sixty_seconds(seconds: int) -> None:
    assert lease_seconds(timedelta(seconds=seconds)) == seconds


@pytest.mark.parametrize(
    "duration", [14 * SECOND, 61 * SECOND, 15.5 * SECOND, 14.9 * SECOND, timedelta(0), -20 * SECOND, DAY]
)
def test_another_duration_than_the_storage_leases_for_is_refused_with_it(duration: timedelta) -> None:
    with pytest.raises(UsageError, match="15 to 60 whole seconds") as refused:
        lease_seconds(duration)
    assert refused.value.value == duration


@pytest.mark.parametrize("body", ["x", "x" * MAX_MESSAGE_BYTES, "ä" * (MAX_MESSAGE_BYTES // 2)])
@pytest.mark.parametrize("delay", [timedelta(0), SECOND, 7 * DAY - SECOND])
def test_a_message_within_the_limits_is_taken(body: str, delay: timedelta) -> None:
    check_message("backup-parts", body, delay)


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ("", "0 bytes"),
        ("x" * (MAX_MESSAGE_BYTES + 1), "49153 bytes"),
        ("ä" * (MAX_MESSAGE_BYTES // 2 + 1), "49154 bytes"),  # characters would be half of it
    ],
)
def test_an_empty_or_too_long_message_is_refused_with_its_queue_and_its_bytes(body: str, size: str) -> None:
    with pytest.raises(UsageError, match=f"queue backup-parts has a wrong size: {size}"):
        check_message("backup-parts", body, timedelta(0))


@pytest.mark.parametrize("delay", [7 * DAY, 8 * DAY, -SECOND])
def test_a_message_that_would_wait_for_a_week_or_backwards_is_refused(delay: timedelta) -> None:
    with pytest.raises(UsageError, match="queue backup-parts cannot wait so long"):
        check_message("backup-parts", "x", delay)
