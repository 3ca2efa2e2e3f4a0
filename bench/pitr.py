"""Any second: the plan of a moment among many slices and sets, and an idle tick of the capture."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, with_faults
from local.fakes.mongodb import MemoryDatabase
from local.fakes.notifications import MemoryNotifications
from shared.backup.catalogue import SetCatalogue
from shared.backup.sets import MANIFEST, PLAN, format_set_id
from shared.formats.agekeys import generate_identity, parse_recipient
from shared.formats.backupset import BackupSource, Manifest, OplogSlice, StoredPart, set_folder
from shared.formats.manifest import Signer
from shared.formats.slices import SliceRecord, slice_name
from shared.formats.strict_json import FORMAT
from shared.mongodb.model import Timestamp
from shared.pitr.capture import capture_oplog
from shared.pitr.catalogue import SliceCatalogue
from shared.pitr.deps import CaptureDeps
from shared.pitr.moment import LAST_ORDINAL
from shared.policy import BackupPolicy

SLICES, SETS, EVERY = 100_000, 5_000, 300  # a slice every five minutes, for most of a year
_PAGE = 5_000  # names that a listing returns at once
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def run() -> dict[str, Any]:
    """`plan_seconds` and `plan_calls` of a moment in the last day, `idle_calls` of a tick."""
    signer, clock = Signer.generate(), ManualClock(_BEGIN + timedelta(seconds=EVERY * SLICES))
    blobs = MemoryBlobs(clock)
    _fill(blobs, signer, clock)
    counted = _CountedCalls()
    catalogue = SetCatalogue(counted.wrap(blobs), clock, (signer.public_text(),))
    until = Timestamp(int(clock.now().timestamp()) - 1000, LAST_ORDINAL)
    gc.collect()
    began = time.perf_counter()
    found = SliceCatalogue(catalogue).plan(until)
    seconds = time.perf_counter() - began
    return {
        "pitr": {
            "plan_seconds": seconds,
            "plan_calls": counted.calls,
            "plan_slices": len(found.slices),
            "slices": SLICES,
            "sets": SETS,
        },
        "capture": {"idle_calls": _count_idle_calls()},
    }


class _CountedCalls:
    """Counts what would be asked of Azure: a call for each page of a listing, and each blob that is read."""

    calls = 0

    def wrap(self, blobs: MemoryBlobs) -> Any:
        counted = self

        class Counting:
            def __getattr__(self, name: str) -> Any:
                counted.calls += 1
                return getattr(blobs, name)

            def list(self, prefix: str = "") -> Any:
                names = [*blobs.list(prefix)]
                counted.calls += max(1, -(-len(names) // _PAGE))
                return iter(names)

        return Counting()


def _fill(blobs: MemoryBlobs, signer: Signer, clock: ManualClock) -> None:
    """Slices without content, which a plan does not read, and sets of one part spread over the same time."""
    base = int(_BEGIN.timestamp())
    now = clock.now()
    for number in range(SLICES):
        record = SliceRecord(
            FORMAT, "20260101T000000Z-0000", f"{base + number * EVERY}.1", f"{number:032x}",
            f"{base + (number + 1) * EVERY}.1", f"{number + 1:032x}", False, 1, 1, "0" * 64,
        )  # fmt: skip
        blobs.create(slice_name(record, signer), b"x")
    empty = Manifest(
        FORMAT, "20260101T000000Z", "daily", now, now, "bench", "bench", BackupSource(("h:1",), "8.0.4"),
        ("age1",), (), OplogSlice("1.1", "1.1", 0, 0, "0" * 32),
        (StoredPart("part-0000.a.archive.zst.age", 1, 1, "0" * 64, ()),), (), None,
    )  # fmt: skip
    for number in range(SETS):
        begun = _BEGIN + timedelta(seconds=EVERY * SLICES / SETS * (number + 0.5))
        clock.set(begun)
        set_id, end = format_set_id(begun), f"{int(begun.timestamp())}.1"
        folder = set_folder("daily", set_id)
        oplog = replace(empty.oplog, end=end)
        manifest = replace(empty, set=set_id, created=begun, sealed=begun, oplog=oplog)
        blobs.create(folder + PLAN, b"{}")
        blobs.create(folder + "part-0000.a.archive.zst.age", b"x")
        blobs.create(folder + "part-0000.a.receipt.json", b"{}")
        blobs.create(folder + MANIFEST, signer.sign(manifest))
    clock.set(now)


def _count_idle_calls() -> int:
    """Of a tick that finds no new entry: to storage and to MongoDB."""
    clock, database, plan = ManualClock(), MemoryDatabase(), FaultPlan()
    signer, recipient = Signer.generate(), generate_identity(post_quantum=False)[1]
    blobs, state = MemoryBlobs(clock), MemoryBlobs(clock)

    def deps(plan: FaultPlan) -> CaptureDeps:
        catalogue = SetCatalogue(with_faults(blobs, plan, "blobs"), clock, (signer.public_text(),))
        return CaptureDeps(
            connect=lambda: with_faults(database, plan, "database"),
            catalogue=catalogue,
            state=with_faults(state, plan, "state"),
            clock=clock,
            recipients={recipient: parse_recipient(recipient)},
            signer=signer,
            notifications=MemoryNotifications(clock),
            begin_backup=lambda reason: reason,
            policy=BackupPolicy(),
        )

    capture_oplog(deps(FaultPlan()))
    capture_oplog(deps(plan))
    return len(plan.steps)
