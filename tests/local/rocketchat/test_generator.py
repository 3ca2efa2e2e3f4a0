"""The made-up Rocket.Chat database before it reaches a server: same for a seed, sized, whole, varied."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import subprocess
import sys
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from hypothesis import given, settings
from hypothesis import strategies as st

from local.rocketchat import oddities
from local.rocketchat.dice import ID_SIGNS, Dice, even_table, zipf_table
from local.rocketchat.files import CHUNK_BYTES, KINDS, FileBytes
from local.rocketchat.generate import generate_batches
from local.rocketchat.world import NOW
from shared.formats.documents import MAX_DOCUMENT_BYTES, tally_documents

ROOT = Path(__file__).resolve().parents[3]
ANY_DATE = CodecOptions[dict[str, object]](datetime_conversion=DatetimeConversion.DATETIME_MS)
MEGABYTES = 6.0

Made = dict[str, bytes]


def made_of(megabytes: float, seed: int = 1, **options: object) -> Made:
    parts: dict[str, list[bytes]] = defaultdict(list)
    for name, batch in generate_batches(megabytes, seed, **options):  # type: ignore[arg-type]
        parts[name].append(batch)
    return {name: b"".join(batches) for name, batches in parts.items()}


@pytest.fixture(scope="module")
def made() -> Made:
    return made_of(MEGABYTES)


def decoded(made: Made, name: str) -> list[dict[str, object]]:
    return bson.decode_all(made[name], ANY_DATE)


def test_equal_arguments_give_equal_bytes(made: Made) -> None:
    assert made_of(MEGABYTES) == made


def test_the_bytes_do_not_depend_on_the_order_of_hashes_in_a_process() -> None:
    script = (
        "import hashlib; from local.rocketchat.generate import generate_batches; h = hashlib.sha256()\n"
        "for name, batch in generate_batches(0.5): h.update(name.encode() + batch)\n"
        "print(h.hexdigest())"
    )
    # This process has a hash seed of its own, most likely a random one.
    elsewhere = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()
    here = hashlib.sha256()
    for name, batch in generate_batches(0.5):
        here.update(name.encode() + batch)
    assert elsewhere == here.hexdigest()


def test_another_seed_gives_other_people_rooms_messages_and_files(made: Made) -> None:
    other = made_of(MEGABYTES, 2)
    same = {name for name in made if made[name] == other[name]}
    # What is the same everywhere: fixed values, and the only documents without anything random in them.
    assert same <= {"odd_types", "rocketchat_roles", "migrations"}


def test_the_moment_moves_the_dates_and_leaves_the_ids(made: Made) -> None:
    later = made_of(MEGABYTES, now=NOW + timedelta(days=365))
    for name in ("rocketchat_uploads", "rocketchat_sessions"):
        before, after = decoded(made, name), decoded(later, name)
        assert [row["_id"] for row in before] == [row["_id"] for row in after]
        assert [row["_updatedAt"] for row in before] != [row["_updatedAt"] for row in after]


@pytest.mark.parametrize("megabytes", [6.0, 20.0], ids=["6 MB", "20 MB"])
def test_the_size_is_within_a_twentieth_of_what_was_asked_for(megabytes: float) -> None:
    total = sum(len(batch) for _, batch in generate_batches(megabytes))
    assert total == pytest.approx(megabytes * 1e6, rel=0.05)


def test_the_smallest_size_is_within_a_fifth_as_its_fixed_part_weighs_more() -> None:
    assert sum(len(batch) for _, batch in generate_batches(2)) == pytest.approx(2e6, rel=0.2)


def test_batches_hold_whole_documents_are_bounded_and_keep_a_collection_together() -> None:
    names: list[str] = []
    for name, batch in generate_batches(3, batch_bytes=300_000):
        assert tally_documents(batch).data_bytes == len(batch)
        assert len(batch) <= 300_000 or tally_documents(batch).documents == 1
        if not names or names[-1] != name:
            names.append(name)
    assert len(names) == len(set(names))


def test_no_id_comes_twice_in_a_collection(made: Made) -> None:
    for name, batch in made.items():
        ids = Counter(repr(document["_id"]) for document in bson.decode_all(batch, ANY_DATE))
        assert [found for found, count in ids.items() if count > 1] == [], name


def test_the_largest_document_is_at_the_limit_so_that_its_oplog_entry_is_above_it() -> None:
    sizes = [len(raw) for raw in oddities.raw_imports(_world(), 1, largest=True)]
    assert max(sizes) == oddities.LARGEST_BYTES == MAX_DOCUMENT_BYTES
    assert max(len(raw) for raw in oddities.raw_imports(_world(), 1, largest=False)) < 10_000


def _world() -> object:
    from local.rocketchat.world import build_world

    return build_world(1, 9)


def _value_types(raws: Iterator[bytes]) -> Iterator[tuple[int, int]]:
    """The type byte of `value` in each document, and the binary subtype or -1."""
    for raw in raws:
        at = raw.index(b"value\0")
        subtype = raw[at + len(b"value\0") + 4] if raw[at - 1] == 0x05 else -1
        yield raw[at - 1], subtype


def test_every_bson_type_and_binary_subtype_is_there() -> None:
    found = set(_value_types(oddities.every_type()))
    assert {kind for kind, _ in found} == {*range(0x01, 0x14), 0x7F, 0xFF}
    assert {subtype for kind, subtype in found if kind == 0x05} >= {0, 1, 2, 3, 4, 5, 7, 8, 9, 128, 255}


def test_hand_made_raw_documents_are_well_formed() -> None:
    raws = {bson.decode(raw, ANY_DATE)["_id"]: raw for raw in oddities.every_type()}
    assert {"undefined", "dbpointer", "symbol", "double nan payload"} <= raws.keys()
    assert bson.decode(raws["symbol"])["value"] == "sÿmbol"
    assert struct.pack("<Q", 0xFFF8_0000_DEAD_BEEF) in raws["double nan payload"]


def test_ids_of_all_types_are_there(made: Made) -> None:
    types = {type(document["_id"]).__name__ for document in decoded(made, "odd_ids")}
    numbers, texts = {"int", "Int64", "float", "Decimal128", "bool"}, {"str", "bytes", "Binary", "ObjectId"}
    assert types == numbers | texts | {"MinKey", "MaxKey", "NoneType", "dict", "DatetimeMS", "Timestamp"}


def test_messages_are_written_in_many_scripts(made: Made) -> None:
    scripts: Counter[str] = Counter()
    for document in decoded(made, "rocketchat_message"):
        scripts.update({unicodedata.name(sign, "? ?").split()[0] for sign in str(document["msg"])})
    wanted = (
        "LATIN",
        "CYRILLIC",
        "ARABIC",
        "HEBREW",
        "GREEK",
        "DEVANAGARI",
        "THAI",
        "CJK",
        "HIRAGANA",
        "HANGUL",
    )
    assert [script for script in wanted if scripts[script] < 3] == []
    assert any(ord(sign) > 0xFFFF for doc in decoded(made, "rocketchat_message") for sign in str(doc["msg"]))


def test_messages_are_of_every_kind(made: Made) -> None:
    fields: Counter[str] = Counter()
    for document in decoded(made, "rocketchat_message"):
        fields.update(name for name, value in document.items() if value)
    wanted = (
        "reactions mentions urls attachments tmid tcount tlm editedBy starred pinned translations location t "
        "bot file expireAt e2e md"
    )
    assert {name for name in wanted.split() if not fields[name]} == set()


def test_a_thread_counts_its_replies(made: Made) -> None:
    messages = decoded(made, "rocketchat_message")
    replies = Counter(document["tmid"] for document in messages if "tmid" in document)
    parents = {document["_id"]: document["tcount"] for document in messages if "tcount" in document}
    assert parents == replies
    assert len(parents) > 50


def test_text_compresses_as_talk_does_and_files_hardly(made: Made) -> None:
    def ratio(name: str) -> float:
        return len(made[name]) / len(gzip.compress(made[name], 6))

    assert 2.5 < ratio("rocketchat_message") < 6
    assert 1.0 <= ratio("rocketchat_uploads.chunks") < 1.4


def test_settings_have_values_of_every_type(made: Made) -> None:
    rows = decoded(made, "rocketchat_settings")
    assert len(rows) == pytest.approx(1_100, abs=20)
    types = {type(row.get("value")).__name__ for row in rows}
    assert types >= {"bool", "str", "int", "float", "list", "dict", "NoneType", "DatetimeMS"}


def test_uploads_have_the_sizes_at_which_chunking_errs(made: Made) -> None:
    lengths = [file["length"] for file in decoded(made, "rocketchat_uploads.files")]
    assert {0, 1, CHUNK_BYTES, CHUNK_BYTES + 1} <= set(lengths)


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from([kind[1] for kind in KINDS]), size=st.integers(0, 70_000))
def test_a_file_has_exactly_the_length_asked_for(kind: str, size: int) -> None:
    assert len(_files().make(kind, size)) == size


@cache
def _files() -> FileBytes:
    """Of a speaker whose words take a third of a second: not while tests are collected."""
    return FileBytes(1, "test")


def test_a_png_is_made_of_chunks_whose_checksums_are_right() -> None:
    content = _files().make("image/png", 50_000)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    at, kinds = 8, []
    while at < len(content) and kinds[-1:] != [b"IEND"]:
        (length,) = struct.unpack_from(">I", content, at)
        data = content[at + 4 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length) == (zlib.crc32(data),)
        kinds.append(data[:4])
        at += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 5_000), power=st.floats(0.0, 2.0))
def test_a_table_of_picks_leaves_nothing_out_and_prefers_the_first(count: int, power: float) -> None:
    for table in (zipf_table(range(count), power=power), even_table(range(count))):
        slots = Counter(table)
        assert len(table) == 65_536
        assert len(slots) == count
    slots = Counter(zipf_table(range(count), power=power))
    assert slots[0] >= slots[count - 1]


def test_ids_look_like_those_of_meteor() -> None:
    dice = Dice(1, "ids")
    ids = [dice.make_id() for _ in range(5_000)]
    assert len(set(ids)) == 5_000
    assert {len(made_id) for made_id in ids} == {17}
    assert set("".join(ids)) == set(ID_SIGNS)


def test_streams_of_chance_for_different_purposes_differ() -> None:
    assert Dice(1, "one").bytes(16) != Dice(1, "other").bytes(16)
    assert Dice(1, "one").bytes(16) != Dice(2, "one").bytes(16)
    assert Dice(1, "one").bytes(16) == Dice(1, "one").bytes(16)
