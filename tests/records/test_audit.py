"""The audit trail: whole, broken, foreign, cut off; and the search in it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.kernel.errors import Corrupt
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


def test_the_search_finds_by_who_and_by_every_word(trail: AuditTrail) -> None:
    assert [e.number for e in find_entries(trail.newest(10), about="rollback 3", most=5)] == [3]
    assert [e.number for e in find_entries(trail.newest(10), who="ANA", most=5)] == [1]
    assert [e.number for e in find_entries(trail.newest(10), about="rollback nothing", most=5)] == []
    assert [e.number for e in find_entries(trail.newest(10), most=2)] == [3, 2]
