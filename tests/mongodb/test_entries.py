"""One entry of the oplog from raw BSON: what it is about, and what is no entry."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import Int64

from shared.kernel.errors import Corrupt
from shared.mongodb.entries import (
    apply_ops_entries,
    command_name,
    is_internal,
    is_true,
    malformed_entry,
    parse_entry,
    read_timestamp,
)
from shared.mongodb.model import Timestamp


def entry(**fields: Any) -> bytes:
    return bson.encode({"op": "i", "ns": "rc.c", "o": {"_id": 1}, **fields})


def test_the_time_of_an_entry_is_its_seconds_and_its_ordinal() -> None:
    assert read_timestamp(entry(ts=bson.Timestamp(1_700_000_000, 7))) == Timestamp(1_700_000_000, 7)
    assert read_timestamp(entry(ts=bson.Timestamp(2**32 - 1, 2**32 - 1))) == Timestamp(2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize("fields", [{}, {"ts": 5}, {"ts": Int64(5)}, {"ts": None}])
def test_an_entry_without_a_time_is_corrupt(fields: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match="an oplog entry has no timestamp"):
        read_timestamp(entry(**fields))


def test_the_fields_of_an_entry_are_taken_as_they_are() -> None:
    parsed = parse_entry(entry(op="u", o2={"_id": 7}, lsid={"id": 1}, txnNumber=Int64(3)), "1.1")
    assert (parsed.op, parsed.namespace) == ("u", "rc.c")
    assert (bson.decode(parsed.o), bson.decode(parsed.o2)) == ({"_id": 1}, {"_id": 7})
    assert parsed.transaction == bson.encode({"id": 1}) + (3).to_bytes(8, "little")
    bare = parse_entry(bson.encode({"op": "n"}), "1.1")
    assert (bare.op, bare.namespace, bare.o, bare.o2, bare.transaction) == ("n", "", b"", b"", b"")


@pytest.mark.parametrize("op", ["i", "u", "d", "c"])
@pytest.mark.parametrize("o", [None, 5, [1], "x"])
def test_a_write_without_a_document_is_malformed_and_its_time_is_named(op: str, o: object) -> None:
    with pytest.raises(Corrupt, match=r"an oplog entry is malformed: 7\.1"):
        parse_entry(entry(op=op, o=o), "7.1")
    assert parse_entry(entry(op="n", o=o), "7.1").o == b""


NULL_TIME, EARLIER = {"ts": bson.Timestamp(0, 0), "t": Int64(-1)}, {"ts": bson.Timestamp(5, 0), "t": Int64(1)}


@pytest.mark.parametrize(
    ("fields", "continues"),
    [
        ({"prevOpTime": EARLIER}, True),
        ({"prevOpTime": {"ts": bson.Timestamp(0, 1)}}, True),
        ({"prevOpTime": EARLIER, "multiOpType": 0}, True),
        ({"prevOpTime": EARLIER, "multiOpType": Int64(0)}, True),
        ({"prevOpTime": EARLIER, "multiOpType": 1}, False),  # retryable writes that share an entry
        ({"prevOpTime": NULL_TIME}, False),
        ({"prevOpTime": {}}, False),
        ({"prevOpTime": {"ts": 5}}, False),
        ({"prevOpTime": [bson.Timestamp(5, 0)]}, False),
        ({"prevOpTime": None}, False),
        ({}, False),
        ({"op": "i", "prevOpTime": EARLIER}, False),
    ],
)
def test_a_command_goes_on_with_a_transaction_that_an_earlier_entry_began(
    fields: dict[str, Any], continues: bool
) -> None:
    assert parse_entry(entry(**{"op": "c", **fields}), "").continues is continues


def test_the_entries_within_a_command_are_all_handed_out() -> None:
    inner = [{"op": "i", "o": {"_id": number}} for number in range(3)]
    body = bson.encode({"applyOps": inner})
    assert [bson.decode(one) for one in apply_ops_entries(body, "1.1")] == inner
    assert list(apply_ops_entries(bson.encode({"applyOps": []}), "1.1")) == []


@pytest.mark.parametrize(
    "body", [{}, {"applyOps": 1}, {"applyOps": {"0": {}}}, {"applyOps": [{}, 5]}, {"applyOps": [[]]}]
)
def test_what_cannot_be_read_within_a_command_is_never_passed_over(body: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match=r"malformed: 7\.1"):
        list(apply_ops_entries(bson.encode(body), "7.1"))


def test_a_command_is_its_first_field() -> None:
    assert command_name(bson.encode({"drop": "c", "create": "d"})) == "drop"
    with pytest.raises(Corrupt, match=r"an oplog entry is malformed$"):
        command_name(bson.encode({}))
    assert (malformed_entry("1.1").value, malformed_entry("").value) == ("1.1", None)


@pytest.mark.parametrize(
    ("value", "true"), [(True, True), (False, False), (1, False), ("true", False), (None, False)]
)
def test_only_true_is_true(value: object, true: bool) -> None:
    assert is_true(bson.encode({"other": True, "partialTxn": value}), b"partialTxn") is true
    assert not is_true(bson.encode({"other": True}), b"partialTxn")


@pytest.mark.parametrize(
    ("namespace", "internal"),
    [
        ("", True),
        ("config.transactions", True),
        ("config", True),
        ("local.oplog.rs", True),
        ("__mdb_internal_search.x", True),
        ("admin.system.users", True),
        ("admin.$cmd", False),
        ("admin.notes", False),
        ("configuration.x", False),
        ("rc.config", False),
        ("rc.admin.system.users", False),
        ("localhost.x", False),
    ],
)
def test_the_servers_own_affairs_are_told_by_their_database(namespace: str, internal: bool) -> None:
    assert is_internal(namespace) is internal
