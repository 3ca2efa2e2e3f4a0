"""What follows a set's own oplog: each captured entry once, of the same history, up to the moment."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.reporter import ListReporter
from shared.formats.agekeys import generate_identity, parse_identities, parse_recipient
from shared.formats.envelope import PartWriter
from shared.formats.manifest import Signer
from shared.formats.slices import SliceRecord, StoredSlice, slice_name
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Corrupt
from shared.mongodb.model import Timestamp
from shared.pitr.plan import Base, MomentPlan
from shared.pitr.tail import OplogTail

SIGNER = Signer.generate()
SECRET, RECIPIENT = generate_identity(post_quantum=False)
OTHER, _ = generate_identity(post_quantum=False)
LATE = Timestamp(99, 1)
BASE = Base("daily/20261123T010000Z", Timestamp(10, 1), datetime(2026, 11, 23, 1, tzinfo=UTC))


def entry(second: int, ordinal: int = 1, **fields: Any) -> bytes:
    written = {"op": "i", "ns": "rocketchat.c", "o": {"_id": second}}
    return bson.encode({"ts": bson.Timestamp(second, ordinal), **written, **fields})


def command(second: int, name: str, **fields: Any) -> bytes:
    return entry(second, op="c", ns="rocketchat.$cmd", o={"drop": name}, **fields)


class Tail:
    """Slices in storage, and what is read of them."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.slices: list[StoredSlice] = []

    def put(self, start: int, end: int, *entries: bytes, content: bytes | None = None) -> StoredSlice:
        sealed: list[bytes] = []
        writer = PartWriter(sealed.append, [parse_recipient(RECIPIENT)], level=1, threads=0)
        writer.write(b"".join(entries) if content is None else content)
        writer.finish()
        data = b"".join(sealed)
        record = SliceRecord(
            FORMAT, "20261123T000000Z-0a1b", f"{start}.1", "0" * 32, f"{end}.1", "0" * 32,
            False, len(entries), len(data), hashlib.sha256(data).hexdigest(),
        )  # fmt: skip
        stored = StoredSlice(slice_name(record, SIGNER), record)
        self.blobs.create(stored.name, data)
        self.slices.append(stored)
        return stored

    def reader(self, until: Timestamp = LATE, secret: str = SECRET) -> OplogTail:
        plan = MomentPlan(BASE, tuple(self.slices), until)
        return OplogTail(self.blobs, plan, parse_identities(secret) if secret else [])

    def join(self, own: Sequence[bytes] = (), **options: Any) -> list[tuple[int, int]]:
        """The times of all entries, in their order."""
        joined = [bson.decode(one)["ts"] for one in self.reader(**options).join_entries(own)]
        return [(at.time, at.inc) for at in joined]


OWN = [entry(9), entry(10)]


@pytest.fixture
def tail() -> Tail:
    return Tail()


def seconds(*times: int) -> list[tuple[int, int]]:
    return [(second, 1) for second in times]


def test_the_captured_entries_follow_the_sets_own_once_each(tail: Tail) -> None:
    tail.put(8, 12, *map(entry, (8, 9, 10, 11, 12)))
    tail.put(12, 14, *map(entry, (12, 13, 14)))
    tail.put(14, 15, *map(entry, (14, 15)))
    assert tail.join(OWN) == seconds(9, 10, 11, 12, 13, 14, 15)


@pytest.mark.parametrize(("until", "last"), [((13, 1), 13), ((13, 0), 12), ((12, 1), 12), ((10, 1), 10)])
def test_nothing_after_the_moment_is_replayed_and_all_up_to_it_is(
    tail: Tail, until: tuple[int, int], last: int
) -> None:
    tail.put(8, 12, *map(entry, (8, 9, 10, 11, 12)))
    tail.put(12, 14, *map(entry, (12, 13, 14)))
    assert tail.join(OWN, until=Timestamp(*until)) == seconds(*range(9, last + 1))


def test_entries_of_one_time_all_come(tail: Tail) -> None:
    twin = entry(11, o={"_id": "twin"})
    tail.put(10, 11, entry(10), entry(11), twin, entry(11, 2))
    tail.put(11, 12, entry(11), twin, entry(11, 2), entry(11, 3), entry(12))
    assert tail.join(OWN) == [*seconds(9, 10, 11, 11), (11, 2), (11, 3), (12, 1)]


def test_without_slices_the_sets_own_oplog_is_all(tail: Tail) -> None:
    assert tail.join(OWN) == seconds(9, 10)
    assert tail.join() == []


# Of the same history.


def test_another_entry_in_the_place_of_the_sets_last_is_another_history(tail: Tail) -> None:
    tail.put(8, 12, entry(8), entry(10, o={"_id": "another"}), entry(11))
    with pytest.raises(Corrupt, match="not of the history that the backup is of") as refused:
        tail.join(OWN)
    assert "the last entry of daily/20261123T010000Z, at 10.1, is not in it" in str(refused.value)


def test_slices_that_end_without_the_sets_last_entry_are_of_another_history(tail: Tail) -> None:
    tail.put(8, 10, entry(8), entry(9))
    with pytest.raises(Corrupt, match="not of the history"):
        tail.join(OWN)


def test_of_several_entries_at_its_time_one_is_the_sets_last(tail: Tail) -> None:
    tail.put(8, 11, entry(8), entry(10, o={"_id": "twin"}), entry(10), entry(11))
    assert tail.join(OWN) == seconds(9, 10, 11)


@pytest.mark.parametrize("start", [10, 11])
def test_a_slice_that_does_not_reach_back_to_before_it_is_not_compared(tail: Tail, start: int) -> None:
    # The bound itself may have been left out of the slice by policy.
    tail.put(start, 12, entry(12))
    assert tail.join(OWN) == seconds(9, 10, 12)


def test_a_set_without_entries_has_none_to_compare(tail: Tail) -> None:
    tail.put(8, 12, entry(8), entry(11))
    assert tail.join() == seconds(11)


def test_of_commands_only_what_is_around_them_is_compared(tail: Tail) -> None:
    tail.put(8, 12, command(10, "b"), entry(11))
    # Policy may have left out another part of it by then.
    assert tail.join([command(10, "a")]) == seconds(10, 11)
    with pytest.raises(Corrupt, match="not of the history"):
        tail.join([command(10, "a", t=bson.Int64(2))])


# What a slice holds.


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (entry(11)[:-1], "a slice ends within a document"),
        (entry(11) + b"\1\0\0", "a slice ends within a document: 3 bytes are left over"),
        (entry(11) + b"\4\0\0\0", "a slice holds no BSON documents"),
        (b"\0" * 64, "a slice holds no BSON documents"),
        (b"\5\0\0\0\0", "no timestamp"),
    ],
)
def test_a_slice_that_holds_something_else_is_corrupt(tail: Tail, content: bytes, told: str) -> None:
    tail.put(10, 12, content=content)
    with pytest.raises(Corrupt, match=told):
        tail.join(OWN)


def test_a_slice_of_many_large_entries_is_cut_between_them(tail: Tail) -> None:
    tail.put(10, 30, *(entry(second, o={"data": bytes(300_000)}) for second in range(11, 30)))
    assert tail.join(OWN) == seconds(*range(9, 30))


def test_every_stored_byte_is_read_and_a_changed_slice_is_named(tail: Tail) -> None:
    one, two = tail.put(8, 12, entry(12)), tail.put(12, 14, entry(14))
    reporter, total = ListReporter(), one.record.stored_bytes + two.record.stored_bytes
    tail.reader().check_stored(reporter)
    assert (reporter.phases, reporter.done) == ([("Verifying slices", total)], [total])
    data = tail.blobs.read(two.name)[0]
    tail.blobs.replace(two.name, data[:-1] + bytes([data[-1] ^ 1]), etag=None)
    with pytest.raises(Corrupt, match="was changed") as refused:
        tail.reader().check_stored(ListReporter())
    assert two.name in str(refused.value)
    with pytest.raises(Corrupt):
        tail.join(OWN[:1])


def test_a_key_that_opens_nothing_is_told_before_anything_is_restored(tail: Tail) -> None:
    tail.reader(secret=OTHER).check_key()
    tail.put(8, 12, entry(10), entry(12))
    tail.reader().check_key()
    for check in (lambda: tail.reader(secret=OTHER).check_key(), lambda: tail.join(OWN, secret=OTHER)):
        with pytest.raises(Corrupt, match="is not encrypted to the key given") as refused:
            check()
        assert "groundcrew keys rewrap --slices" in str(refused.value)
    # Without a key only the bytes are looked at.
    tail.reader(secret="").check_stored(ListReporter())
