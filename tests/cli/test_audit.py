"""`groundcrew audit verify`: a head that was noted elsewhere shows what was cut off."""

from __future__ import annotations

import pytest

from cli.audit import check_head
from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.kernel.errors import Corrupt, UsageError
from shared.records.audit import AuditTrail


def test_a_trail_that_was_cut_off_or_written_anew_is_not_the_one_that_was_noted() -> None:
    blobs, clock = MemoryBlobs(), ManualClock()
    trail = AuditTrail(blobs, clock)
    trail.append("ana", "a", "b", "c")
    trail.append("bob", "a", "b", "c")
    number, digest = trail.head()
    check_head(trail.hash_of, f"{number}:{digest}")
    check_head(trail.hash_of, f"{number}:{digest.upper()}")
    trail.append("eve", "a", "b", "c")
    check_head(trail.hash_of, f"{number}:{digest}")
    blobs.delete("audit/0000000003.json")
    blobs.delete("audit/0000000002.json")
    with pytest.raises(Corrupt, match="ends before entry 2"):
        check_head(trail.hash_of, f"{number}:{digest}")
    blobs.delete("audit-head.json")  # what the last writer noted is written anew as well
    trail.append("eve", "a", "b", "c")
    with pytest.raises(Corrupt, match="not the one that was noted"):
        check_head(trail.hash_of, f"{number}:{digest}")


@pytest.mark.parametrize("text", ["", "x:y", "3", "3:", ":ab", "²:ab"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a head"):
        check_head(AuditTrail(MemoryBlobs(), ManualClock()).hash_of, text)
