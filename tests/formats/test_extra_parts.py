"""What a manifest says of a part that is no archive: names are parts of blob names, hashes are compared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.formats.extra_parts import ExtraPart, ExtraReceipt, extra_blob_name, extra_receipt_name

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
SET = "20261123T010000Z"


def part(**changes: Any) -> ExtraPart:
    fields: dict[str, Any] = {
        "kind": "cluster-state",
        "blob": extra_blob_name("cluster-state", "0a1b2c3d"),
        "stored_bytes": 1,
        "plain_bytes": 2,
        "sha256": "0a" * 32,
        "contents": (),
        "unread": (),
    }
    return ExtraPart(**{**fields, **changes})


def test_a_kind_that_is_not_known_yet_is_a_kind_all_the_same() -> None:
    assert part(kind="files-2").kind == "files-2"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", ""),
        ("kind", "Cluster-State"),
        ("kind", "../state"),
        ("kind", "k" * 42),
        ("blob", ""),
        ("blob", "../plan.json"),
        ("blob", "part/0000.age"),
        ("sha256", "0a" * 31),
        ("sha256", "0A" * 32),
        ("sha256", "0a" * 33),
    ],
)
def test_what_others_compute_with_has_its_form(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is malformed"):
        part(**{field: value})


@pytest.mark.parametrize(
    ("klass", "set_id", "named"), [("daily", SET, ""), ("../daily", SET, "class"), ("daily", "../x", "set")]
)
def test_a_receipt_is_of_a_set(klass: str, set_id: str, named: str) -> None:
    def receipt() -> ExtraReceipt:
        return ExtraReceipt(1, set_id, klass, "0" * 64, part(), '"0x1"', NOW, NOW)

    if not named:
        assert receipt().extra == part()
        return
    with pytest.raises(ValueError, match=f"{named} is malformed"):
        receipt()


def test_attempts_have_names_of_their_own_that_tell_the_kind() -> None:
    assert extra_blob_name("cluster-state", "0a1b") == "extra-cluster-state.0a1b.json.zst.age"
    assert extra_receipt_name("cluster-state", "0a1b") == "extra-cluster-state.0a1b.receipt.json"
