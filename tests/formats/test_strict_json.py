"""Records are read strictly and written canonically."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime

import pytest

from shared.formats.backupset import FORMAT_WITH_EXTRA_PARTS, Manifest, SetFailure
from shared.formats.strict_json import FORMAT, canonical_json, decode_record, encode_record, require_form
from shared.kernel.errors import Corrupt
from tests.support.signed_sets import manifest_of

AT = datetime(2026, 11, 23, 1, tzinfo=UTC)
FAILURE = SetFailure(FORMAT, "20261123T010000Z", "daily", AT, "the oplog overflowed: größer")


def failure_of_format(number: object) -> bytes:
    return json.dumps({**json.loads(encode_record(FAILURE)), "format": number}).encode()


@pytest.mark.parametrize("number", [None, "1", "99", True, False, 1.0, 0, -1, [1]])
def test_a_record_of_another_format_is_refused(number: object) -> None:
    with pytest.raises(Corrupt, match="is of another format") as caught:
        decode_record(SetFailure, failure_of_format(number), name="failed.json")
    assert caught.value.value == number


@pytest.mark.parametrize("number", [FORMAT + 1, 99])
def test_a_record_of_a_newer_format_names_the_cure(number: int) -> None:
    with pytest.raises(Corrupt, match=f"is of a newer format: {number}. A newer Groundcrew wrote it"):
        decode_record(SetFailure, failure_of_format(number), name="failed.json")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (FORMAT - 1, "is of another format"),
        # Known, and so read: what is wrong then is that it has none of the parts that it is for.
        (FORMAT_WITH_EXTRA_PARTS, "is malformed"),
        (FORMAT_WITH_EXTRA_PARTS + 1, "is of a newer format"),
    ],
)
def test_of_several_formats_that_are_known_only_what_is_behind_the_last_is_newer(
    number: int, reason: str
) -> None:
    fields = json.loads(encode_record(manifest_of(AT)))
    assert decode_record(Manifest, dict(fields), name="manifest.json") == manifest_of(AT)
    with pytest.raises(Corrupt, match=reason):
        decode_record(Manifest, {**fields, "format": number}, name="manifest.json")


@pytest.mark.parametrize("data", [b"[]", b"5", b"null", b'"text"'])
def test_what_is_no_object_is_named_so(data: bytes) -> None:
    with pytest.raises(Corrupt, match="is not a JSON object"):
        decode_record(SetFailure, data, name="failed.json")


def test_a_record_cannot_be_changed_after_it_was_read() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FAILURE.error = "nothing failed"  # type: ignore[misc]


def test_what_is_written_is_canonical_and_read_back_as_it_was() -> None:
    data = encode_record(FAILURE)
    assert canonical_json(json.loads(data)) == data
    assert data.startswith(b'{"at":"2026-11-23T01:00:00+00:00","class":"daily","error":')
    assert "größer".encode() in data
    assert decode_record(SetFailure, data, name="failed.json") == FAILURE


def test_a_field_that_says_nothing_is_left_out_for_readers_of_before() -> None:
    assert b"extra_parts" not in encode_record(manifest_of(AT))


def test_of_a_value_without_its_form_no_more_than_sixty_characters_are_shown() -> None:
    form = re.compile("[a-z]+")
    require_form(form, name="fits")
    with pytest.raises(ValueError, match="blob is malformed") as caught:
        require_form(form, name="fits", blob="7" * 61)
    assert str(caught.value) == f"blob is malformed: {'7' * 60!r}"
