"""Looks up how long the newest proven drill took, and says during a restore how long it will still take."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, Lock, Thread
from types import TracebackType

from shared.backup.catalogue import SetCatalogue
from shared.backup.proofs import read_drill_records
from shared.formats.proofs import PROVEN, DrillProof
from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Blobs, Reporter
from shared.restore.estimate import (
    RestoreEstimate,
    TimedRestore,
    TimingRecord,
    describe_progress,
    measure_size,
)

log = logging.getLogger(__name__)

_NOTE_EVERY = timedelta(minutes=1)


def read_timing(state: Blobs, catalogue: SetCatalogue) -> TimingRecord:
    """The newest proven drill of a set that is still stored. What cannot be read is no reason not to restore.

    Drills of a moment are left out: how much captured oplog they replayed is not on record.
    """
    try:
        records = read_drill_records(state, catalogue.trusted, catalogue.clock)
        for proof in records.proofs:
            whole_set = proof.outcome == PROVEN and not proof.slices
            if whole_set and (timed := _find_timed(catalogue, proof)):
                return TimingRecord(timed)
    except GroundcrewError as error:
        log.warning("restore.timing_unreadable", extra={"error": str(error)})
        return TimingRecord(reason="the drills on record cannot be read")
    return TimingRecord()


def _find_timed(catalogue: SetCatalogue, proof: DrillProof) -> TimedRestore | None:
    label = f"{proof.klass}/{proof.set}"
    try:
        verified = catalogue.find(label).verified
    except GroundcrewError:
        return None  # it has expired
    # A set of the same name with other content is not the one that the drill timed.
    if verified is None or verified.sha256 != proof.manifest_sha256:
        return None
    manifest = verified.manifest
    size = measure_size(manifest.namespaces, manifest.parts, manifest.oplog.data_bytes)
    return TimedRestore(label, proof.ended, size, {phase.name: phase.seconds for phase in proof.phases})


class EstimateReporter:
    """A `Reporter` that adds, once a minute, how long the restore will still take. Parts report at once.

    A context manager: within it the minute passes also while a step reports nothing, such as the build of one
    large index. What it wraps hears of that as progress of 0, so that the hold on the machine is renewed.
    """

    def __init__(
        self,
        reporter: Reporter,
        now: Callable[[], datetime],
        estimate: RestoreEstimate,
        every: timedelta = _NOTE_EVERY,
    ) -> None:
        self._reporter, self._now, self._estimate, self._every = reporter, now, estimate, every
        self._lock, self._over = Lock(), Event()
        self._ticker = Thread(target=self._tick, name="restore-progress", daemon=True)
        self._ended: list[str] = []
        self._step, self._total, self._done = "", 0, 0
        self._began = self._noted = now()

    def __enter__(self) -> EstimateReporter:
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._ticker.join()

    def _tick(self) -> None:
        while not self._over.wait(self._every.total_seconds()):
            self.advance(0)

    def phase(self, name: str, total: int) -> None:
        """See `Reporter`."""
        with self._lock:
            self._ended.append(self._step)
            self._step, self._total, self._done = name, total, 0
            self._began = self._noted = self._now()
        self._reporter.phase(name, total)

    def advance(self, amount: int) -> None:
        """See `Reporter`."""
        self._reporter.advance(amount)
        with self._lock:
            self._done += amount
            now = self._now()
            if not self._step or now - self._noted < self._every:
                return
            self._noted = now
            text = describe_progress(
                self._step, self._done, self._total, now - self._began, self._estimate, self._ended
            )
        self._reporter.note(text)

    def note(self, text: str) -> None:
        """See `Reporter`."""
        self._reporter.note(text)
