"""A year of runs in a few small blobs, rolled up as each run ends: what the status page reads.

`rollups/runs/<day>.json` has every run that ended on that day (UTC); one that did the same as the one before
it is counted there. `rollups/runs/totals.json` has the sums of each of the last 400 days and jobs, the newest
run, success and failure of each job, and the newest runs of all. The sums of a day are always computed anew
from its blob, so that a worker that was killed between the two leaves nothing that the next run of the day
does not mend. Both are written under their etag, so that two writers lose nothing. `rebuild_history` makes
them from the records.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, GroundcrewError, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp
from shared.records.rollup import (
    RECENT,
    RunEntry,
    RunTotals,
    merge_day,
    parse_entries,
    parse_totals,
    renew_newest,
    renew_recent,
    sum_by_job,
    to_entry,
    to_numbers,
)
from shared.records.run_record import RunRecord, parse_run

log = logging.getLogger(__name__)

_PREFIX = "rollups/runs/"
_TOTALS = f"{_PREFIX}totals.json"
_DAY_BLOB = re.compile(rf"{_PREFIX}(\d{{4}}-\d\d-\d\d)\.json", re.ASCII)
_ATTEMPTS = 20  # writers of one day are few: each of them wins after a handful at the most
_KEPT_AT, _INTERVAL = "rollups/kept.json", timedelta(days=1)
KEPT_FOR = timedelta(days=400)  # a year, and the month in which somebody looks back at it


class RunHistory:
    """Reads and writes the roll-ups in the container `groundcrew`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def add(self, *entries: RunEntry) -> None:
        """Roll up runs that have ended; adding one again changes nothing. Raises Conflict, Unavailable."""
        by_day: dict[date, list[RunEntry]] = {}
        for entry in entries:
            by_day.setdefault(entry.ended.date(), []).append(entry)
        for day, ended in sorted(by_day.items()):
            self._update(_day_blob(day), partial(merge_day, new=ended))
        # The days are read after the totals and before those are written under their etag: what another
        # writer adds to a day meanwhile, it also brings into the totals itself.
        self._update(_TOTALS, partial(self._merge_totals, days=[*by_day]))

    def list_days(self) -> list[date]:
        """The days that are on record, the oldest first."""
        matches = [_DAY_BLOB.fullmatch(blob.name) for blob in self._blobs.list(_PREFIX)]
        return [date.fromisoformat(match[1]) for match in matches if match]

    def delete_before(self, day: date) -> int:
        """Delete the days before; their totals stay a while. How many there were."""
        old = [one for one in self.list_days() if one < day]
        for one in old:
            self._blobs.delete(_day_blob(one))
        return len(old)

    def load_day(self, day: date) -> list[RunEntry]:
        """The runs that ended on that day, in the order of their ends. Raises Corrupt."""
        try:
            fields = decode_json(self._blobs.read(_day_blob(day))[0], _day_blob(day))
        except NotFound:
            return []
        return parse_entries(fields, _day_blob(day))

    def load_totals(self) -> RunTotals:
        """The totals of a year; empty if nothing is on record. Raises Corrupt."""
        try:
            return parse_totals(decode_json(self._blobs.read(_TOTALS)[0], _TOTALS), _TOTALS)
        except NotFound:
            return RunTotals()

    def load_recent(self, totals: RunTotals, today: date) -> tuple[RunEntry, ...]:
        """The newest runs, the newest last; of today and yesterday where the totals are of an old version."""
        if totals.recent is not None:
            return totals.recent
        return (*self.load_day(today - timedelta(days=1)), *self.load_day(today))[-RECENT:]

    def _merge_totals(self, fields: dict[str, Any], days: Iterable[date]) -> dict[str, Any]:
        if not fields:
            days = self.list_days()
        elif parse_totals(fields, _TOTALS).recent is None:  # Corrupt is not added to, but made anew
            days = {*days, *self.list_days()[-2:]}  # of a version that did not have the newest runs there
        totals, newest = dict(fields.get("days", {})), dict(fields.get("newest", {}))
        ended = {day: self.load_day(day) for day in days}
        for day, entries in ended.items():
            totals[day.isoformat()] = {job: list(to_numbers(one)) for job, one in sum_by_job(entries).items()}
            for entry in entries:
                newest[entry.job] = renew_newest(newest.get(entry.job, {}), entry)
        retained = sorted(totals)[-KEPT_FOR.days :]
        recent = renew_recent(fields.get("recent", ()), ended)
        return {"days": {day: totals[day] for day in retained}, "newest": newest, "recent": recent}

    def _update(self, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        for _ in range(_ATTEMPTS):
            try:
                data, etag = self._blobs.read(name)
                before: dict[str, Any] = decode_json(data, name)
            except NotFound:
                before, etag = {}, ""
            except Corrupt as error:
                # Nothing is lost by beginning anew: the run records are the truth.
                log.warning("history.rollup_unreadable", extra={"blob": name, "error": str(error)})
                before = {}
            try:
                after = change(before)
            except Corrupt as error:
                log.warning("history.rollup_replaced", extra={"blob": name, "error": str(error)})
                after = change({})
            if after == before:
                return
            try:
                if etag:
                    self._blobs.replace(name, encode_json(after), etag=etag)
                else:
                    self._blobs.create(name, encode_json(after))
            except (AlreadyExists, Conflict):
                continue
            return
        raise Conflict(f"{name} keeps changing", hint="The next run of the day brings it up to date.")


def record_run(blobs: Blobs, run: RunRecord) -> None:
    """Roll up a run if it has ended. A failure is logged only: the run's own record is the truth."""
    entry = to_entry(run)
    if entry is None:
        return
    try:
        RunHistory(blobs).add(entry)
    except GroundcrewError as error:
        log.warning("history.not_rolled_up", extra={"run": f"{run.job}/{run.id}", "error": str(error)})


def keep_history(blobs: Blobs, now: datetime) -> str:
    """Once a day: roll up what a worker that was killed could not, and delete days that are too old."""
    try:
        last = parse_timestamp(decode_json(blobs.read(_KEPT_AT)[0], _KEPT_AT)["at"])
    except (NotFound, Corrupt, ValueError, KeyError):
        last = now - KEPT_FOR
    if now - last < _INTERVAL:
        return "nothing to do: looked after less than a day ago"
    # An hour more, since the storage's clock is not ours.
    count = rebuild_history(blobs, last - timedelta(hours=1))
    deleted = RunHistory(blobs).delete_before((now - KEPT_FOR).date())
    blobs.replace(_KEPT_AT, encode_json({"at": now}), etag=None)
    return f"{count} runs are rolled up, {deleted} days deleted"


def rebuild_history(blobs: Blobs, since: datetime) -> int:
    """Roll up every run record that was written since then; how many had ended. May be repeated."""
    entries: list[RunEntry] = []
    for blob in blobs.list("runs/"):
        if blob.last_modified < since or not blob.name.endswith(".json"):
            continue
        try:
            entry = to_entry(parse_run(blobs.read(blob.name)[0], blob.name))
        except (Corrupt, NotFound) as error:
            log.warning("history.record_unreadable", extra={"blob": blob.name, "error": str(error)})
            continue
        if entry is not None:
            entries.append(entry)
    RunHistory(blobs).add(*entries)
    return len(entries)


def _day_blob(day: date) -> str:
    return f"{_PREFIX}{day.isoformat()}.json"
