"""Sets in storage, some of them expired, for retention by the app."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan, with_faults
from shared.backup.catalogue import SetCatalogue
from shared.formats.backupset import OplogSlice
from shared.formats.slices import SliceRecord, slice_name
from shared.formats.strict_json import FORMAT
from shared.policy.backup import BackupRetention
from shared.prune.deps import PruneDeps
from tests.support.signed_sets import SIGNER, put_plan, put_sealed

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Site:
    """A young set, two expired ones, and a slice of one of these."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.blobs, self.state = MemoryBlobs(self.clock), MemoryBlobs(self.clock)
        for days in (30, 20, 1):
            begun = NOW - timedelta(days=days)
            self.clock.set(begun)
            at = f"{int(begun.timestamp())}.1"
            put_plan(self.blobs, begun)
            put_sealed(self.blobs, begun, oplog=OplogSlice("1.1", at, 0, 0, "0" * 32))
        at = f"{int((NOW - timedelta(days=19)).timestamp())}.1"
        record = SliceRecord(
            FORMAT, "20260101T000000Z-0000", at, "0" * 32, at, "0" * 32, False, 1, 1, "0" * 64
        )
        self.slice = slice_name(record, SIGNER)
        self.blobs.create(self.slice, b"x")
        self.clock.set(NOW)

    def deps(
        self, plan: FaultPlan | None = None, remover: object = None, *, deletes: bool = True
    ) -> PruneDeps:
        plan = plan or FaultPlan()
        catalogue = SetCatalogue(with_faults(self.blobs, plan, "blobs"), self.clock, (SIGNER.public_text(),))
        return PruneDeps(
            catalogue,
            lambda: remover or with_faults(self.blobs, plan, "remover"),  # type: ignore[arg-type,return-value]
            with_faults(self.state, plan, "state"),
            self.clock,
            BackupRetention(minimum=1),
            deletes,
        )

    def names(self) -> list[str]:
        return [blob.name for blob in self.blobs.list()]
