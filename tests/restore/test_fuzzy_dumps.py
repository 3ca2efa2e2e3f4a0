"""Dumps of a database that goes on changing: documents met twice, capped collections that turn over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import bson
import pytest

from local.fakes.mongodb import MemoryDatabase
from shared.backup.job import run_nightly
from shared.formats.documents import TalliedBatch
from shared.mongodb.model import IdRange, InsertResult, Namespace
from shared.mongodb.oplog import Operation
from shared.restore.duplicates import RefusedDuplicates, find_reinserted
from tests.support.backup_world import World


class NaturalSource(MemoryDatabase):
    """Reads `c0` in natural order: what is inserted anew while it is read is met at the end.

    `during` is called after the first batch and returns what the scan will meet at its end.
    """

    during: Callable[[NaturalSource], list[dict[str, object]]] | None = None

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        again: list[dict[str, object]] = []
        for batch in super().read_batches(namespace, within):
            yield batch
            if namespace.name == "rocketchat.c0" and (act := self.during):
                self.during = None
                again = act(self)
        yield from (TalliedBatch.of(bson.encode(document)) for document in again)


def dump(during: Callable[[NaturalSource], list[dict[str, object]]]) -> World:
    source = NaturalSource()
    world = World(database=source)
    world.seed()
    source.during = during
    run_nightly(world.job())
    world.work(world.job())
    world.verify()
    return world


SECOND_LIFE = {"_id": 0, "msg": "second life"}


def reinsert(source: MemoryDatabase) -> list[dict[str, object]]:
    source.delete("rocketchat", "c0", 0)
    source.write("rocketchat", "c0", SECOND_LIFE)
    source.write("rocketchat", "c1", {"_id": 1, "msg": "edited during the dump"})
    return [SECOND_LIFE]


def test_a_document_that_was_inserted_anew_while_it_was_dumped_is_proven() -> None:
    world = dump(reinsert)
    target = MemoryDatabase("target:27017")
    result = world.restore(target)
    assert result.proven
    assert target.contents() == world.database.contents()
    assert [note.split(":")[0] for note in result.notes] == ["rocketchat.c0"]


def invent(source: MemoryDatabase) -> list[dict[str, object]]:
    """A document met twice without a word of it in the oplog."""
    source.write("rocketchat", "c1", {"_id": 1, "msg": "edited during the dump"})
    return [SECOND_LIFE]


def test_a_duplicate_that_the_oplog_does_not_explain_differs_and_the_others_are_made_consistent() -> None:
    world = dump(invent)
    target = MemoryDatabase("target:27017")
    result = world.restore(target)
    assert not result.proven
    assert {v.name: v.differences for v in result.verdicts if not v.equal} == {
        "rocketchat.c0": (
            "1 documents occur twice in the backup, and its oplog does not say why",
            "its oplog entries were not replayed",
        )
    }
    assert result.problems == []
    assert target.contents()["rocketchat.c1"] == world.database.contents()["rocketchat.c1"]


def delete_only(source: MemoryDatabase) -> list[dict[str, object]]:
    source.delete("rocketchat", "c0", 0)
    return [SECOND_LIFE]


def test_a_duplicate_that_was_only_deleted_in_the_window_is_not_explained() -> None:
    assert not dump(delete_only).restore(MemoryDatabase("target:27017")).proven


def refuse(document: dict[str, object]) -> RefusedDuplicates:
    refused = RefusedDuplicates()
    refused.add(bson.encode(document))
    return refused


def insert(collection: str, document: dict[str, object]) -> Operation:
    return Operation("i", "rc", collection, bson.encode(document), b"", "1.1")


@pytest.mark.parametrize(
    ("refused", "inserted", "same"),
    [
        (1, 1.0, True),
        (bson.Int64(2**53), float(2**53), True),
        (bson.Int64(2**53 + 1), float(2**53), False),
        (bson.Decimal128("1.50"), 1.5, True),
        (float("nan"), bson.Decimal128("NaN"), True),
        (0.0, -0.0, True),
        (1, True, False),
        (1, "1", False),
        ("a", "a", True),
    ],
)
def test_a_number_is_the_same_id_whatever_its_type(refused: object, inserted: object, same: bool) -> None:
    # Of two copies the target may refuse either, and both `_id`s are one for its index.
    duplicates = refuse({"_id": refused})
    found = find_reinserted([insert("c", {"_id": inserted})], {"rc.c": duplicates})
    assert (found["rc.c"] == duplicates.ids) is same


def test_a_bucket_of_a_time_series_that_was_inserted_anew_is_explained_by_the_buckets_name() -> None:
    duplicates = refuse({"_id": 1})
    operations = [None, insert("system.buckets.temperatures", {"_id": 1})]
    assert find_reinserted(operations, {"rc.temperatures": duplicates})["rc.temperatures"] == duplicates.ids


class Altering(MemoryDatabase):
    """A target that alters the document that stays of two."""

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        changed = [
            bson.encode({"_id": 0, "msg": "message 0/0 — 犬"}) if bson.decode(one)["_id"] == 0 else one
            for one in documents
        ]
        return super().insert_documents(db, collection, changed if collection == "c0" else documents)


def test_an_explained_duplicate_hides_no_other_difference() -> None:
    result = dump(reinsert).restore(Altering("target:27017"))
    assert not result.proven
    assert "with other content" in str([v.differences for v in result.verdicts])


def capped_world(source: MemoryDatabase) -> World:
    world = World(database=source)
    world.seed(1)
    options = {"capped": True, "size": 100_000, "max": 10}
    source.create_collection(Namespace("rocketchat", "log", options=options))
    for number in range(10):
        source.write("rocketchat", "log", {"_id": number})
    return world


class TurningSource(MemoryDatabase):
    """A capped collection is written to when its first batch was read."""

    armed = True

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        for batch in super().read_batches(namespace, within):
            yield batch
            if namespace.name == "rocketchat.log" and self.armed:
                self.armed = False
                for number in range(100, 105):
                    self.write("rocketchat", "log", {"_id": number})


class Unordered(MemoryDatabase):
    """A target that keeps another document of the capped collection than the newest."""

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        return super().insert_documents(db, collection, documents[::-1])


@pytest.mark.parametrize(
    ("target", "proven"), [(MemoryDatabase, True), (Unordered, False)], ids=["newest", "others"]
)
def test_a_capped_collection_is_proven_by_what_its_cap_keeps(
    target: type[MemoryDatabase], proven: bool
) -> None:
    source = TurningSource()
    world = capped_world(source)
    run_nightly(world.job())
    world.work(world.job())
    manifest_counts = world.restore(MemoryDatabase("count:1")).manifest.namespaces
    assert [n.documents for n in manifest_counts if n.collection == "log"] == [13]
    result = world.restore(target("target:27017"))
    assert result.proven is proven
    assert [v.name for v in result.verdicts if not v.equal] == ([] if proven else ["rocketchat.log"])
