"""Runs that have ended, as the roll-ups of `run_history` hold them: values, and how they add up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from shared.kernel.errors import Corrupt
from shared.kernel.redact import mask_forms
from shared.kernel.timestamps import parse_timestamp
from shared.records.run_record import RunRecord

_MAX_SUMMARY, _MAX_ERROR = 200, 300
_PART = re.compile(r"\.part-\d+")  # a run of a part of a backup set: the set's own run tells how it ended
ENDED = ("done", "failed", "skipped")
# As many as somebody reads at night. They stand in the totals, so that a look reads no day for them.
RECENT = 40


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run that has ended, or several in a row that ended alike.

    - `id`: of the first of them; `newest_id`: of the last.
    - `count`: how many there were; `seconds`: how long all of them took; `longest_seconds`: the longest.
    """

    job: str
    id: str
    state: str  # one of ENDED
    started: datetime
    ended: datetime  # of the last
    summary: str = ""
    error: str = ""
    stored_bytes: int = 0
    restore_seconds: float = 0.0  # that a drill measured (RTO)
    data_loss_seconds: float = 0.0  # that a drill measured (RPO)
    count: int = 1
    seconds: float = 0.0
    longest_seconds: float = 0.0
    newest_id: str = ""


@dataclass(frozen=True, slots=True)
class DayTotals:
    """The runs of one job on one day."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    longest_seconds: float = 0.0
    stored_bytes: int = 0
    restore_seconds: float = 0.0  # the longest
    data_loss_seconds: float = 0.0  # the longest


@dataclass(frozen=True, slots=True)
class JobNewest:
    """The newest run of a job, and its newest that succeeded and that failed; None for none on record."""

    run: RunEntry | None = None
    success: RunEntry | None = None
    failure: RunEntry | None = None


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Totals by day (`2026-11-27`) and job, the newest runs by job, and the newest of all."""

    days: Mapping[str, Mapping[str, DayTotals]] = field(default_factory=dict)
    newest: Mapping[str, JobNewest] = field(default_factory=dict)
    recent: tuple[RunEntry, ...] | None = None  # the newest last; None where totals do not hold them yet


def is_part(run_id: str) -> bool:
    """Whether the run is of a part of a backup set, and not of the set."""
    return bool(_PART.search(run_id))


def to_entry(run: RunRecord) -> RunEntry | None:
    """The entry of a run that has ended; None for one that has not, and for a part of another run."""
    if run.state not in ENDED or is_part(run.id):
        return None
    entry = build_entry(run.job, run.id, run.state, run.started, run.updated, run.summary, run.error)
    return replace(
        entry,
        stored_bytes=int(_measure(run, "stored_bytes")),
        restore_seconds=_measure(run, "restore_seconds"),
        data_loss_seconds=_measure(run, "data_loss_seconds"),
    )


def _measure(run: RunRecord, name: str) -> float:
    """A number among the details; 0 if the run measured no such thing."""
    value = run.details.get(name)
    return value if isinstance(value, int | float) and value >= 0 else 0


def build_entry(
    job: str, run_id: str, state: str, started: datetime, ended: datetime, summary: str, error: str
) -> RunEntry:
    """The entry of one run. Its texts are shown to people who may look, so secrets are masked in them."""
    seconds = max(0.0, (ended - started).total_seconds())
    texts = (mask_forms(summary)[:_MAX_SUMMARY], mask_forms(error)[:_MAX_ERROR])
    return RunEntry(
        job, run_id, state, started, ended, *texts,
        seconds=seconds, longest_seconds=seconds, newest_id=run_id,
    )  # fmt: skip


def sum_by_job(entries: Iterable[RunEntry]) -> dict[str, DayTotals]:
    """The totals of some entries by job."""
    totals: dict[str, DayTotals] = {}
    for entry in entries:
        before = totals.get(entry.job, DayTotals())
        totals[entry.job] = replace(
            before,
            **{entry.state: getattr(before, entry.state) + entry.count},
            seconds=round(before.seconds + entry.seconds, 3),
            longest_seconds=max(before.longest_seconds, entry.longest_seconds),
            stored_bytes=before.stored_bytes + entry.stored_bytes,
            restore_seconds=max(before.restore_seconds, entry.restore_seconds),
            data_loss_seconds=max(before.data_loss_seconds, entry.data_loss_seconds),
        )
    return totals


def merge_day(fields: dict[str, Any], new: Iterable[RunEntry]) -> dict[str, Any]:
    runs = parse_entries(fields, "the day") if fields else []
    for entry in sorted(new, key=lambda one: one.ended):
        runs = _merge_entry(runs, entry)
    return {"runs": [_entry_fields(entry) for entry in runs]}


def _merge_entry(runs: list[RunEntry], entry: RunEntry) -> list[RunEntry]:
    for index, known in enumerate(runs):
        if known.job == entry.job and entry.id in (known.id, known.newest_id):
            # Rolled up before. A record may have been written once more, with another end; one that was
            # counted among others stays counted.
            return runs if known.count > 1 else [*runs[:index], entry, *runs[index + 1 :]]
    latest = max((i for i, one in enumerate(runs) if one.job == entry.job), default=None)
    if latest is not None and _is_repetition(runs[latest], entry):
        runs = [*runs]
        runs[latest] = _count_up(runs[latest], entry)
        return runs
    return sorted([*runs, entry], key=lambda one: (one.ended, one.job, one.id))


def _is_repetition(known: RunEntry, entry: RunEntry) -> bool:
    """Whether it ended as the one before. What stored something is a run of its own."""
    alike = (known.state, known.summary, known.error) == (entry.state, entry.summary, entry.error)
    return alike and not known.stored_bytes and not entry.stored_bytes and known.ended <= entry.ended


def _count_up(known: RunEntry, entry: RunEntry) -> RunEntry:
    return replace(
        known,
        ended=entry.ended,
        count=known.count + 1,
        seconds=round(known.seconds + entry.seconds, 3),
        longest_seconds=max(known.longest_seconds, entry.longest_seconds),
        newest_id=entry.id,
    )


def renew_newest(fields: Mapping[str, Any], entry: RunEntry) -> dict[str, Any]:
    kinds = ["run", *{"done": ["success"], "failed": ["failure"]}.get(entry.state, [])]
    renewed = dict(fields)
    for kind in kinds:
        if kind not in renewed or parse_timestamp(renewed[kind]["ended"]) <= entry.ended:
            renewed[kind] = _entry_fields(entry)
    return renewed


def renew_recent(recent: Iterable[Any], days: Mapping[date, Iterable[RunEntry]]) -> list[dict[str, Any]]:
    """The newest runs, the newest last: those on record, with the whole of some days anew.

    Of these days nothing on record is kept: a run that was counted up since stands there once.
    """
    others = [entry for entry in map(_parse_entry, recent) if entry.ended.date() not in days]
    merged = [*others, *(entry for entries in days.values() for entry in entries)]
    merged.sort(key=lambda one: (one.ended, one.job, one.id))
    return [_entry_fields(one) for one in merged[-RECENT:]]


def to_numbers(totals: DayTotals) -> tuple[float, ...]:
    return tuple(getattr(totals, name) for name in DayTotals.__dataclass_fields__)


def _entry_fields(entry: RunEntry) -> dict[str, Any]:
    """As JSON has it: what is as by default is left out, since there are thousands of them."""
    fields = {name: getattr(entry, name) for name in RunEntry.__dataclass_fields__}
    fields |= {"started": entry.started.isoformat(), "ended": entry.ended.isoformat()}
    return {name: value for name, value in fields.items() if value not in ("", 0, 0.0)}


def parse_entries(fields: Mapping[str, Any], name: str) -> list[RunEntry]:
    try:
        return [_parse_entry(one) for one in fields["runs"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"{name} is not a roll-up of runs", value=type(error).__name__) from error


def _parse_entry(fields: Mapping[str, Any]) -> RunEntry:
    if fields["state"] not in ENDED:
        raise ValueError(f"{fields['state']!r} is no state of a run that has ended")
    times = {name: parse_timestamp(fields[name]) for name in ("started", "ended")}
    return RunEntry(**{**fields, **times})


def parse_totals(fields: Mapping[str, Any], name: str) -> RunTotals:
    try:
        days = {
            date.fromisoformat(day).isoformat(): {job: DayTotals(*totals) for job, totals in jobs.items()}
            for day, jobs in fields["days"].items()
        }
        newest = {
            job: JobNewest(**{kind: _parse_entry(one) for kind, one in kinds.items()})
            for job, kinds in fields["newest"].items()
        }
        recent = tuple(map(_parse_entry, fields["recent"])) if "recent" in fields else None
        return RunTotals(days, newest, recent)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"{name} is not a roll-up of runs", value=type(error).__name__) from error
