"""The audit trail: whole, broken, foreign, cut off; and the search in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.kernel.errors import Corrupt
from shared.kernel.ports import BlobInfo
from shared.records.audit import AuditTrail
from shared.records.audit_search import find_entries


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs(ManualClock(datetime(2026, 11, 23, 9, tzinfo=UTC)))


@pytest.fixture
def trail(blobs: MemoryBlobs) -> AuditTrail:
    trail = AuditTrail(blobs, ManualClock(datetime(2026, 11, 23, 9, tzinfo=UTC)))
    trail.append("ana", "power.order_added", "every", "off until 22:00")
    trail.append("groundcrew", "backup.seal", "daily/1", "sealed")
    trail.append("bob", "chat.rollback", "rollback 3", "done")
    return trail


def test_a_whole_trail_is_verified_to_its_head(trail: AuditTrail) -> None:
    assert [entry.number for entry in trail.verify()] == [1, 2, 3]
    number, digest = trail.head()
    assert (number, digest) == (3, trail.hash_of(3))


def test_a_changed_entry_breaks_the_chain_behind_it(trail: AuditTrail, blobs: MemoryBlobs) -> None:
    data = blobs.read("audit/0000000002.json")[0]
    blobs.replace("audit/0000000002.json", data.replace(b"sealed", b"failed"), etag=None)
    with pytest.raises(Corrupt, match="broken at audit/0000000003"):
        list(trail.verify())


def test_a_removed_entry_breaks_the_chain(trail: AuditTrail, blobs: MemoryBlobs) -> None:
    blobs.delete("audit/0000000002.json")
    with pytest.raises(Corrupt, match="broken at audit/0000000003"):
        list(trail.verify())


@pytest.mark.parametrize("content", [b"not json", b"[]", b'{"number": 4}'])
def test_an_unreadable_entry_is_named(trail: AuditTrail, blobs: MemoryBlobs, content: bytes) -> None:
    blobs.create("audit/0000000004.json", content)
    with pytest.raises(Corrupt, match=r"audit/0000000004\.json"):
        list(trail.verify())
    assert [entry.number for entry in trail.newest(10)] == [3, 2, 1]


def test_a_foreign_file_beside_the_entries_is_named_and_keeps_nobody_from_writing(
    trail: AuditTrail, blobs: MemoryBlobs
) -> None:
    blobs.create("audit/zzz.json", b"{}")
    assert trail.append("ana", "x", "y", "z") == 4
    with pytest.raises(Corrupt, match=r"audit/zzz\.json is no entry"):
        list(trail.verify())


class CountingBlobs(MemoryBlobs):
    """Counts the calls that cost money and time."""

    def __init__(self) -> None:
        super().__init__(ManualClock(datetime(2026, 11, 23, 9, tzinfo=UTC)))
        self.calls: list[str] = []

    def read(self, name: str) -> tuple[bytes, str]:
        self.calls.append(f"read {name}")
        return super().read(name)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        self.calls.append(f"list {prefix}")
        return super().list(prefix)

    def create(self, name: str, data: bytes) -> BlobInfo:
        self.calls.append(f"create {name}")
        return super().create(name, data)

    def replace(self, name: str, data: bytes, *, etag: str | None) -> BlobInfo:
        self.calls.append(f"replace {name}")
        return super().replace(name, data, etag=etag)


def test_appending_and_reading_the_newest_cost_the_same_however_long_the_trail_is() -> None:
    blobs = CountingBlobs()
    trail = AuditTrail(blobs, ManualClock())
    for number in range(1, 131):
        assert trail.append("ana", "x", str(number), "done") == number
    assert blobs.calls[-4:] == [
        "read audit-head.json", "read audit/0000000129.json", "create audit/0000000130.json",
        "replace audit-head.json",
    ]  # fmt: skip
    blobs.calls.clear()
    assert [entry.subject for entry in trail.newest(2)] == ["130", "129"]
    assert not any(call.startswith("list") for call in blobs.calls)
    assert len(list(trail.verify())) == 130


@pytest.mark.parametrize(
    "head", [b"", b"[]", b'{"number": true}', b'{"number": -1}', b'{"number": "3"}', b'{"number": 1}', None]
)
def test_a_head_that_is_no_help_keeps_nobody_from_writing(
    trail: AuditTrail, blobs: MemoryBlobs, head: bytes | None
) -> None:
    blobs.delete("audit-head.json")
    if head is not None:
        blobs.create("audit-head.json", head)
    assert trail.head()[0] == 3
    assert trail.append("ana", "x", "y", "z") == 4
    assert [entry.number for entry in trail.verify()] == [1, 2, 3, 4]
    assert trail.head() == (4, trail.hash_of(4))


def test_a_head_that_is_far_behind_is_made_up_for_by_one_listing() -> None:
    blobs = CountingBlobs()
    trail = AuditTrail(blobs, ManualClock())
    for _ in range(120):
        trail.append("ana", "x", "y", "z")
    blobs.replace("audit-head.json", b'{"number": 1}', etag=None)
    blobs.calls.clear()
    assert trail.head()[0] == 120
    assert trail.append("ana", "x", "y", "z") == 121
    assert len(blobs.calls) < 220
    assert len(list(trail.verify())) == 121


def test_what_was_cut_off_is_named_and_put_on_record_by_the_next_entry(
    trail: AuditTrail, blobs: MemoryBlobs
) -> None:
    blobs.delete("audit/0000000003.json")
    with pytest.raises(Corrupt, match="ends at entry 2"):
        list(trail.verify())
    assert trail.append("ana", "x", "y", "z") == 4
    entries = list(trail.verify())
    assert (entries[2].actor, entries[2].outcome) == (
        "groundcrew", "entry 3 is missing: the trail was cut off behind entry 2",
    )  # fmt: skip
    assert entries[3].actor == "ana"


def test_an_entry_that_calls_itself_another_breaks_the_trail(trail: AuditTrail, blobs: MemoryBlobs) -> None:
    name = "audit/0000000003.json"  # the last: no entry behind it names its hash
    blobs.replace(name, blobs.read(name)[0].replace(b'"number": 3', b'"number": 4'), etag=None)
    with pytest.raises(Corrupt, match=f"broken at {name}"):
        list(trail.verify())


def test_an_entry_behind_a_gap_breaks_the_trail_though_it_names_the_one_before(
    trail: AuditTrail, blobs: MemoryBlobs
) -> None:
    blobs.create("audit/0000000005.json", blobs.read("audit/0000000003.json")[0])
    blobs.delete("audit/0000000003.json")
    with pytest.raises(Corrupt, match="broken at audit/0000000005"):
        list(trail.verify())


@pytest.mark.parametrize("noted", [1, 2])
def test_entries_behind_the_one_that_the_head_notes_are_found_one_by_one(
    trail: AuditTrail, blobs: MemoryBlobs, noted: int
) -> None:
    # As a worker leaves it that died before it could note what it wrote.
    blobs.replace("audit-head.json", f'{{"number": {noted}}}'.encode(), etag=None)
    assert trail.head() == (3, trail.hash_of(3))
    assert [entry.number for entry in trail.newest(2)] == [3, 2]
    assert trail.append("ana", "x", "y", "z") == 4
    assert [entry.number for entry in trail.verify()] == [1, 2, 3, 4]


def test_the_only_entry_is_missed_too(blobs: MemoryBlobs) -> None:
    trail = AuditTrail(blobs, ManualClock())
    assert trail.head() == (0, "")
    assert list(trail.verify()) == []
    assert trail.append("ana", "x", "y", "z") == 1
    blobs.delete("audit/0000000001.json")
    with pytest.raises(Corrupt, match="the audit trail ends at entry 0"):
        list(trail.verify())
    assert trail.append("ana", "x", "y", "z") == 2
    assert next(trail.verify()).outcome.startswith("entry 1 is missing")


def test_an_entry_says_who_did_what_to_what_and_when(trail: AuditTrail) -> None:
    first = next(trail.verify())
    assert (first.actor, first.action, first.subject, first.outcome) == (
        "ana", "power.order_added", "every", "off until 22:00",
    )  # fmt: skip
    assert (first.at, first.previous) == ("2026-11-23T09:00:00+00:00", "")


def test_the_search_finds_by_who_and_by_every_word(trail: AuditTrail) -> None:
    assert [e.number for e in find_entries(trail.newest(10), about="rollback 3", most=5)] == [3]
    assert [e.number for e in find_entries(trail.newest(10), who="ANA", most=5)] == [1]
    assert [e.number for e in find_entries(trail.newest(10), about="rollback nothing", most=5)] == []
    assert [e.number for e in find_entries(trail.newest(10), most=2)] == [3, 2]
