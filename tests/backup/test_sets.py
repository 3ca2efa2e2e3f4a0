"""Folders and files of sets, by their names alone, and what is read of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from local.fakes.blobs import MemoryBlobs
from shared.backup import job as backup
from shared.backup.sets import (
    MANIFEST,
    PLAN,
    list_sets,
    next_set_id,
    parse_folder,
    parse_set_id,
    read_info,
    read_plan,
    read_receipts,
    stream_stored,
    stream_verified,
)
from shared.formats.manifest import Signer
from shared.kernel.errors import Corrupt, Unavailable
from tests.support.backup_world import World

SET = "20261123T010000Z"
FOLDER = f"sets/daily/{SET}/"


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


def drain(chunks: Iterator[bytes]) -> bytes:
    return b"".join(chunks)


def test_an_id_is_the_second_in_which_a_set_was_begun() -> None:
    assert parse_set_id(SET) == datetime(2026, 11, 23, 1, tzinfo=UTC)
    assert next_set_id("20261231T235959Z") == "20270101T000000Z"


@pytest.mark.parametrize("where", [FOLDER, f"sets/manual/{SET}/", f"sets/monthly/{SET}/"])
def test_a_folder_names_a_class_and_an_id(where: str) -> None:
    assert parse_folder(where) == (where.split("/")[1], SET)


@pytest.mark.parametrize(
    "where",
    [
        "",
        FOLDER.rstrip("/"),
        f"sets/../{SET}/",
        f"sets/other/{SET}/",
        "sets/daily/20260231T010000Z/",  # the pattern alone takes a 31st of February
        f"{FOLDER}x/",
        f"x/{FOLDER}",
        None,
        5,
        [FOLDER],
    ],
)
def test_what_is_no_folder_of_a_set_is_refused_with_what_it_is(where: object) -> None:
    with pytest.raises(Corrupt, match="not the folder of a backup set") as refused:
        parse_folder(where)
    assert refused.value.value == repr(where)


def test_a_folder_that_somebody_made_up_is_quoted_in_part() -> None:
    with pytest.raises(Corrupt) as refused:
        parse_folder("x" * 500)
    assert refused.value.value == repr("x" * 500)[:80]


def test_sets_are_listed_oldest_first_with_their_files_and_their_bytes(blobs: MemoryBlobs) -> None:
    blobs.create(f"sets/weekly/20261122T010000Z/{PLAN}", b"12")
    blobs.create(FOLDER + PLAN, b"123")
    blobs.create(FOLDER + MANIFEST, b"12345")
    for other in ("readme.txt", "sets/daily/20260231T010000Z/plan.json", "sets/daily/x", "sets/x/y/z"):
        blobs.create(other, b"not of a set")
    assert [(one.reference, one.stored_bytes) for one in list_sets(blobs, "")] == [
        ("weekly/20261122T010000Z", 2),
        (f"daily/{SET}", 8),
    ]
    assert sorted(list_sets(blobs, FOLDER)[0].files) == [MANIFEST, PLAN]


def test_a_set_that_is_not_there_has_no_files(blobs: MemoryBlobs) -> None:
    blobs.create(f"sets/daily/20261122T010000Z/{PLAN}", b"12")
    info = read_info(blobs, "daily", SET)
    assert (info.folder, info.files, info.stored_bytes) == (FOLDER, {}, 0)


def test_a_part_is_verified_by_its_length_and_its_hash(blobs: MemoryBlobs) -> None:
    blobs.create("part", b"the part")
    digest = hashlib.sha256(b"the part").hexdigest()
    assert drain(stream_verified(blobs, "part", 8, digest)) == b"the part"
    with pytest.raises(Corrupt, match="part has the wrong length: 8 bytes instead of 9"):
        drain(stream_verified(blobs, "part", 9, digest))
    with pytest.raises(Corrupt, match="part was changed"):
        drain(stream_verified(blobs, "part", 8, "0" * 64))
    with pytest.raises(Corrupt, match="gone is missing"):
        drain(stream_stored(blobs, "gone"))


def test_a_receipt_counts_for_the_plan_and_the_signer_that_it_is_of() -> None:
    world = World(part_bytes=400)
    world.seed()
    job = world.job()
    backup.run_nightly(job)
    folder = list_sets(world.backups)[0].folder
    backup.run_part(job, folder, 0)
    (info,) = list_sets(world.backups)
    plan = read_plan(world.backups, folder, job.own_signer)
    (receipt,) = read_receipts(world.backups, info, plan, job.own_signer)
    assert receipt.plan_sha256 == plan.sha256
    # Of an earlier set in the same second: its part may be of other documents.
    assert read_receipts(world.backups, info, replace(plan, sha256="0" * 64), job.own_signer) == []
    assert read_receipts(world.backups, info, plan, (Signer.generate().public_text(),)) == []

    class Away:
        def stream(self, _name: str) -> Iterator[bytes]:
            raise Unavailable("the storage does not answer")

    with pytest.raises(Unavailable):
        read_receipts(Away(), info, plan, job.own_signer)  # type: ignore[arg-type]
