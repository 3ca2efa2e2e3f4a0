"""The name of a slice says, signed, what it holds: nobody else's name, size, day or history passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.formats.manifest import Signer
from shared.formats.slices import CaptureCursor, SliceRecord, day_prefix, parse_slice, slice_name
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Corrupt, Refused

SIGNER, STRANGER = Signer.generate(), Signer.generate()
TRUSTED = (SIGNER.public_text(),)
AT = int(datetime(2026, 11, 23, 0, 30, tzinfo=UTC).timestamp())
RECORD = SliceRecord(
    format=FORMAT,
    branch="20261122T235900Z-0a1b",
    start=f"{AT - 3600}.7",  # of the day before
    start_hash="a" * 32,
    end=f"{AT}.12",
    end_hash="b" * 32,
    barrier=False,
    entries=42,
    stored_bytes=1000,
    sha256="c" * 64,
)
NAME = slice_name(RECORD, SIGNER)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"barrier": True},
        {"entries": 0},
        {"start": "1.0", "end": "1.0"},
        {"start": "0.1", "end": "4294967295.4294967295"},
        {"stored_bytes": 0},
    ],
)
def test_a_name_says_all_that_was_signed(changes: dict[str, Any]) -> None:
    record = replace(RECORD, **changes)
    name = slice_name(record, SIGNER)
    found = parse_slice(name, record.stored_bytes, (STRANGER.public_text(), *TRUSTED))
    assert (found.name, found.record) == (name, record)


def test_a_slice_lies_below_the_day_of_its_end_and_names_sort_by_time() -> None:
    assert NAME.startswith("pitr/2026/11/23/20261122T235900Z-0a1b/")
    assert day_prefix(f"{AT - 3600}.7") == "pitr/2026/11/22/"
    later = slice_name(replace(RECORD, start=RECORD.end, end=f"{AT}.100"), SIGNER)
    assert later > NAME


@pytest.mark.parametrize("stored_bytes", [999, 1001, 0])
def test_a_blob_of_another_size_than_was_signed_is_refused(stored_bytes: int) -> None:
    with pytest.raises(Refused, match=f"is not signed for its {stored_bytes} bytes by a trusted signer"):
        parse_slice(NAME, stored_bytes, TRUSTED)


@pytest.mark.parametrize("trusted", [(), (STRANGER.public_text(),)])
def test_a_name_that_nobody_trusted_signed_is_refused(trusted: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="by a trusted signer"):
        parse_slice(NAME, 1000, trusted)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a" * 32, "d" * 32),
        ("b" * 32, "d" * 32),
        ("c" * 64, "d" * 64),
        (".0.42.", ".1.42."),
        (".0.42.", ".0.43."),
        (".0.42.", ".0.042."),
        ("-0a1b/", "-0a1c/"),
        (f"{AT}.", f"{AT + 1}."),
        (".0000000012.", ".0000000013."),
    ],
)
def test_a_name_of_which_anything_was_changed_is_refused(old: str, new: str) -> None:
    assert NAME.count(old) == 1
    changed = NAME.replace(old, new)
    if new == ".0.042.":  # the same number: the blob is the same, under a name that nobody gave it
        assert parse_slice(changed, 1000, TRUSTED).record == RECORD
        return
    with pytest.raises(Refused):
        parse_slice(changed, 1000, TRUSTED)


def test_a_slice_under_another_day_or_that_ends_before_it_begins_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="lies under another day than its own"):
        parse_slice(NAME.replace("/11/23/", "/11/24/"), 1000, TRUSTED)
    backwards = slice_name(replace(RECORD, start=f"{AT}.13"), SIGNER)
    with pytest.raises(Corrupt, match="another day"):
        parse_slice(backwards, 1000, TRUSTED)


@pytest.mark.parametrize("name", ["", "pitr/x", NAME + "x", "x" + NAME, NAME.replace(".oplog", ".other")])
def test_what_is_no_slice_is_corrupt_and_quoted_in_part(name: str) -> None:
    with pytest.raises(Corrupt, match="is no slice of the oplog"):
        parse_slice(name, 1000, TRUSTED)
    with pytest.raises(Corrupt) as caught:
        parse_slice("y" * 900, 1000, TRUSTED)
    assert caught.value.message.count("y") == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("branch", "../x"),
        ("start", "now"),
        ("end", "1"),
        ("start_hash", "A" * 32),
        ("end_hash", "a" * 31),
        ("sha256", "c" * 63),
        ("sha256", ""),
    ],
)
def test_what_names_are_made_of_has_its_form(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is malformed"):
        replace(RECORD, **{field: value})


CURSOR = CaptureCursor(
    format=FORMAT,
    branch=RECORD.branch,
    since=datetime(2026, 11, 22, tzinfo=UTC),
    first="1.1",
    end="2.1",
    end_hash="a" * 32,
    oldest="1.1",
    trims=False,
    updated=datetime(2026, 11, 23, tzinfo=UTC),
    gap="",
    base_from="1.1",
    wants_base="",
    captured=0,
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("branch", "x"),
        ("first", ""),
        ("end", "2"),
        ("oldest", "x"),
        ("base_from", "1.x"),
        ("end_hash", "a" * 33),
    ],
)
def test_a_cursor_holds_positions_and_nothing_else(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="is malformed"):
        replace(CURSOR, **{field: value})
