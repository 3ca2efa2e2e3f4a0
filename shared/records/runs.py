"""Run records: what each job is doing or did, as blobs under `runs/`, for people and for `catch_up`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import timedelta

from shared.kernel.errors import NotFound
from shared.kernel.ports import Blobs, Clock
from shared.records.run_history import record_run
from shared.records.run_record import RunRecord, parse_run

log = logging.getLogger(__name__)

_SAVE_INTERVAL = timedelta(seconds=2)


class Runs:
    """Reads and writes run records in the container `groundcrew`."""

    def __init__(
        self, blobs: Blobs, clock: Clock, on_saved: Callable[[RunRecord], object] = lambda _run: None
    ) -> None:
        self._blobs, self._clock, self._on_saved = blobs, clock, on_saved

    def begin_run(self, job: str, run_id: str, summary: str, *, total: int = 0, unit: str = "") -> Progress:
        """Record that a run began; the result reports on it."""
        now = self._clock.now()
        run = RunRecord(job, run_id, "running", now, now, summary, total=total, unit=unit)
        self.save(run)
        return Progress(self, self._clock, run)

    def end_run(
        self, job: str, run_id: str, state: str, summary: str, error: str = "", **details: object
    ) -> RunRecord:
        """Record how a run ended that another worker may have begun."""
        try:
            run = self.load(job, run_id)
        except NotFound:
            run = self.begin_run(job, run_id, summary).run
        return Progress(self, self._clock, run).finish(state, summary, error, **details)

    def save(self, run: RunRecord) -> None:
        """Write the record over what was there; one that has ended is rolled up, too."""
        data = json.dumps(asdict(run), default=lambda at: at.isoformat(), ensure_ascii=False)
        self._blobs.replace(_blob_name(run.job, run.id), data.encode(), etag=None)
        record_run(self._blobs, run)
        self._on_saved(run)

    def load(self, job: str, run_id: str) -> RunRecord:
        """Raises NotFound or Corrupt."""
        return parse_run(self._blobs.read(_blob_name(job, run_id))[0], _blob_name(job, run_id))

    def list_runs(self, job: str, prefix: str = "") -> Iterator[RunRecord]:
        """The job's records whose id begins so, in the order of their ids."""
        for blob in self._blobs.list(_blob_name(job, prefix).removesuffix(".json")):
            yield parse_run(self._blobs.read(blob.name)[0], blob.name)


class Progress:
    """Reports on a run, at most every two seconds, so that reporting costs nothing."""

    def __init__(self, runs: Runs, clock: Clock, run: RunRecord) -> None:
        self._runs, self._clock, self.run = runs, clock, run
        self._saved = run.updated

    def advance(self, done: int, **details: object) -> None:
        """Note how far the run is."""
        now = self._clock.now()
        self.run = replace(self.run, done=done, updated=now, details={**self.run.details, **details})
        if now - self._saved >= _SAVE_INTERVAL:
            self._saved = now
            self._runs.save(self.run)
            log.info("run.progress", extra={"run": self.run.id, "done": done, "total": self.run.total})

    def finish(self, state: str, summary: str, error: str = "", **details: object) -> RunRecord:
        """Note how the run ended."""
        merged = {**self.run.details, **details}
        now = self._clock.now()
        self.run = replace(self.run, state=state, updated=now, summary=summary, error=error, details=merged)
        self._runs.save(self.run)
        return self.run


def _blob_name(job: str, run_id: str) -> str:
    return f"runs/{job}/{run_id}.json"
