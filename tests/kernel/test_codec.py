"""Small records as JSON and back, by whoever may have written there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt


class Size(StrEnum):
    LARGE = "large"


@dataclass
class Parcel:
    name: str
    at: datetime
    inside: tuple[dict[str, int], ...] = ()


def test_a_record_comes_back_with_its_times_as_iso_8601() -> None:
    stored = encode_json(Parcel("Ärger 猫", datetime(2026, 11, 23, 1, tzinfo=UTC), ({"a": 1},)))
    assert decode_json(stored, "runs/a.json") == {
        "name": "Ärger 猫",
        "at": "2026-11-23T01:00:00+00:00",
        "inside": [{"a": 1}],
    }
    # As people read it in the storage's own browser, and not as numbers.
    assert "Ärger 猫".encode() in stored


def test_what_json_does_not_know_is_text() -> None:
    plain = {"day": date(2026, 11, 23), "cost": Decimal("1.50"), "size": Size.LARGE}
    assert decode_json(encode_json(plain), "x") == {"day": "2026-11-23", "cost": "1.50", "size": "large"}


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000])
def test_what_is_no_json_is_named_by_its_blob(data: bytes) -> None:
    with pytest.raises(Corrupt, match=r"runs/a\.json is not JSON"):
        decode_json(data, "runs/a.json")


@pytest.mark.parametrize(("data", "kind"), [(b"[]", "list"), (b"null", "NoneType"), (b'"x"', "str")])
def test_what_is_no_object_is_named_by_its_blob_and_its_kind(data: Any, kind: str) -> None:
    with pytest.raises(Corrupt, match=rf"runs/a\.json is not an object: {kind}"):
        decode_json(data, "runs/a.json")
