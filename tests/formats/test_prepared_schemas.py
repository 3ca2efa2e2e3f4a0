"""A packed schema judges a record as the one that pydantic makes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, ValidationError

from local.stack import ROOT
from shared.formats import backupset, cluster_state, erasures, proofs, rehearsals, slices
from shared.formats.prepared_schemas import build_validator, pack_schemas
from shared.formats.strict_json import RECORDS

MODULES = (backupset, cluster_state, erasures, proofs, rehearsals, slices)
SEAL = b'{"format": 1, "set": "a", "klass": "daily"}'


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "packed"
    pack_schemas(RECORDS, path)
    return path


def complaints(validator: object, text: bytes) -> object:
    """The fields that are complained about, and how; or what was read."""
    try:
        return validator.validate_json(text, strict=True)  # type: ignore[attr-defined]
    except ValidationError as error:
        return [(one["loc"], one["type"], one["msg"]) for one in error.errors(include_url=False)]


@pytest.mark.parametrize("text", [b"{}", b'{"format": "1", "more": 2}', b"[]", SEAL, b"{"])
def test_every_record_is_refused_with_the_same_words(packed: Path, text: bytes) -> None:
    assert len(RECORDS) > 20
    for kind in RECORDS:
        prepared = build_validator(kind, packed)
        assert isinstance(prepared, SchemaValidator)
        assert complaints(prepared, text) == complaints(TypeAdapter(kind), text)


def test_what_a_class_checks_itself_is_checked(packed: Path) -> None:
    text = b'{"db": "a", "collection": "b", "kind": "view", "uuid": "", "metadata": "", "lower": "%s"}'
    piece = build_validator(backupset.Piece, packed)
    assert complaints(piece, text % b"ab") == backupset.Piece("a", "b", "view", "", "", "ab")
    assert complaints(piece, text % b"zz") == complaints(TypeAdapter(backupset.Piece), text % b"zz")
    with pytest.raises(ValidationError, match="lower is malformed"):
        piece.validate_json(text % b"zz")


def test_nothing_in_the_file_differs_from_process_to_process(packed: Path) -> None:
    assert b"shared.formats.backupset.Piece" in packed.read_bytes()
    assert re.findall(rb"[\w.]+:\d{6,}", packed.read_bytes()) == []


@pytest.mark.parametrize("fault", ["absent", "empty", "cut", "of another Python", "of another shape"])
def test_a_file_that_cannot_be_used_is_as_none(packed: Path, fault: str) -> None:
    content = packed.read_bytes()
    packed.unlink()
    faulty = {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "of another Python": b"\0\0\0\0" + content[4:],
        "of another shape": content[:4] + b"N.",
    }
    if fault in faulty:
        packed.write_bytes(faulty[fault])
    assert isinstance(build_validator(backupset.SealRecord, packed), TypeAdapter)


def test_with_it_a_record_is_read_without_pydantic(packed: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from shared.formats.prepared_schemas import build_validator\n"
        "from shared.formats.backupset import BackupSource\n"
        f"validator = build_validator(BackupSource, Path({str(packed)!r}))\n"
        "print(type(validator).__name__, 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "SchemaValidator False\n"
