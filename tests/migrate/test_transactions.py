"""Open transactions are held back, and what was changed is noted by its `_id`."""

from __future__ import annotations

import bson

from shared.migrate.touched import MOST_IDS, TouchedDocuments
from shared.migrate.transactions import TransactionCarry
from shared.mongodb.model import Timestamp
from shared.mongodb.oplog import Operation, unpack_operations

LSID = {"id": bson.Binary(bytes(16), 4)}


def entry(second: int, op: str = "i", ns: str = "rocketchat.message", o=None, **more) -> bytes:
    document = {"ts": bson.Timestamp(second, 1), "op": op, "ns": ns, "o": o or {"_id": second}, **more}
    return bson.encode(document)


def part(second: int, number: int, *, first: bool = False, **flags) -> bytes:
    before = bson.Timestamp(0, 0) if first else bson.Timestamp(second - 1, 1)
    ops = [{"op": "i", "ns": "rocketchat.message", "o": {"_id": f"t{second}"}}]
    more = {"lsid": LSID, "txnNumber": bson.Int64(number), "prevOpTime": {"ts": before, "t": bson.Int64(1)}}
    return entry(second, "c", "admin.$cmd", {"applyOps": ops, **flags}, **more)


def test_what_belongs_to_no_open_transaction_is_released_at_once_and_in_order() -> None:
    carry, entries = (
        TransactionCarry(),
        [entry(1), entry(2, "n", "", {"msg": "noop"}), part(3, 1, first=True)],
    )
    assert carry.release_entries(entries) == entries
    assert carry.oldest is None


def test_the_parts_of_a_transaction_go_in_front_of_its_end_whatever_lies_between() -> None:
    carry = TransactionCarry()
    begun, other = part(1, 1, first=True, partialTxn=True), part(2, 2, first=True, partialTxn=True)
    assert carry.release_entries([begun, entry(3), other]) == [entry(3)]
    assert carry.oldest == Timestamp(1, 1)
    more, end = part(4, 1, partialTxn=True), part(5, 1)
    assert carry.release_entries([more, end]) == [begun, more, end]
    assert carry.oldest == Timestamp(2, 1)
    assert carry.release_entries([part(6, 2)]) == [other, part(6, 2)]
    assert carry.oldest is None


def test_a_prepared_transaction_waits_for_its_commit_or_its_end() -> None:
    session = {"lsid": LSID, "txnNumber": bson.Int64(1)}
    for command in ("commitTransaction", "abortTransaction"):
        carry = TransactionCarry()
        prepared = part(1, 1, first=True, prepare=True)
        end = entry(2, "c", "admin.$cmd", {command: 1}, **session)
        assert carry.release_entries([prepared]) == []
        assert carry.release_entries([end]) == [prepared, end]
        inserted = [one for one in unpack_operations([prepared, end]) if one is not None]
        assert len(inserted) == (1 if command == "commitTransaction" else 0)


def touched(*operations: Operation | None) -> TouchedDocuments:
    made = TouchedDocuments()
    made.add_operations(operations)
    return made


def operation(op: str, collection: str, o, o2=None) -> Operation:
    return Operation(op, "rocketchat", collection, bson.encode(o), bson.encode(o2) if o2 else b"", "1.1")


def test_writes_are_noted_by_their_ids_of_any_type_and_updates_by_whose_they_are() -> None:
    made = touched(
        operation("i", "message", {"_id": "a", "v": 1}),
        operation("u", "message", {"$v": 2, "diff": {}}, {"_id": 7}),
        operation("d", "message", {"_id": {"x": 1}}),
        None,
    )
    assert made.ids == {"rocketchat.message": {bson.encode({"_id": one}) for one in ("a", 7, {"x": 1})}}
    assert (made.count, made.whole) == (3, set())


def test_what_has_no_ids_of_its_own_is_read_as_a_whole() -> None:
    made = touched(
        operation("i", "system.buckets.weather", {"_id": 1}),
        operation("i", "log", {"v": 1}),
        operation("c", "cap", {"convertToCapped": "cap", "size": 4096}),
        operation("c", "old", {"renameCollection": "rocketchat.old", "to": "rocketchat.new"}),
        operation("c", "c", {"create": "c"}),
        operation("i", "system.views", {"_id": "rocketchat.v"}),
    )
    assert made.whole == {f"rocketchat.{name}" for name in ("weather", "log", "cap", "old", "new")}
    assert made.ids == {}


def test_of_a_namespace_that_changes_all_the_time_the_ids_are_not_remembered_without_end() -> None:
    made = TouchedDocuments()
    made.merge(TouchedDocuments({"db.c": {n.to_bytes(4, "big") for n in range(MOST_IDS)}}))
    assert (made.count, made.whole) == (MOST_IDS, set())
    made.merge(TouchedDocuments({"db.c": {b"one more"}}))
    assert (made.count, made.whole) == (0, {"db.c"})
    made.merge(TouchedDocuments({"db.c": {b"and another"}}))
    assert made.count == 0


def test_what_is_taken_is_forgotten_and_can_be_given_back() -> None:
    made = touched(operation("i", "message", {"_id": "a"}))
    made.whole.add("rocketchat.log")
    taken = made.take()
    assert (made.ids, made.whole, taken.count) == ({}, set(), 1)
    made.merge(taken)
    assert (made.count, made.whole) == (1, {"rocketchat.log"})
