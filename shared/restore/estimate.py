"""How long a restore will take: from what is to be done and a restore that was timed. Pure.

A step whose pace nobody has measured stays unknown; it is never counted as nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.formats.backupset import NamespaceEntry, StoredPart
from shared.kernel.durations import format_duration

# Taken where no drill is on record, and then named as an assumption: from the first document inserted to the
# last one compared. Deliberately slow: who plans with it is not surprised by a small virtual machine's disk.
ASSUMED_BYTES_PER_SECOND = 10_000_000
_ASSUMED_STEPS = ("Restoring documents", "Verifying documents")

# What each step's time grows with, by the name under which the step reports its progress. What a step costs
# apart from that is not worth a model: a connection, a listing.
_MEASURES = {
    "Verifying stored bytes": "stored_bytes",
    "Creating collections": "namespaces",
    "Restoring documents": "data_bytes",
    "Verifying documents": "data_bytes",
    "Replaying the oplog": "oplog_bytes",
    "Building indexes": "data_bytes",
}
# Captured slices carry no size before compression, so the time of their replay is not known beforehand.
_TAIL_STEPS = ("Verifying slices", "Replaying the oplog")


@dataclass(frozen=True, slots=True)
class RestoreSize:
    """How much a restore has to do."""

    namespaces: int
    documents: int
    data_bytes: int  # before compression
    stored_bytes: int  # downloaded to be checked, and again to be restored
    oplog_bytes: int  # of the set's own window, before compression


@dataclass(frozen=True, slots=True)
class TimedRestore:
    """A restore that was timed: a drill that proved its set."""

    label: str  # which set
    ended: datetime
    size: RestoreSize
    seconds: Mapping[str, float]  # by step


@dataclass(frozen=True, slots=True)
class TimingRecord:
    """The newest restore that was timed; None with the reason if there is none to be read."""

    timed: TimedRestore | None = None
    reason: str = "no proven drill is on record"


@dataclass(frozen=True, slots=True)
class RestoreEstimate:
    """What a restore has to do and how long it is expected to take.

    `steps` are the durations that are known, by step; `unknown` the steps whose duration is not. `basis` is
    a clause that says where the durations come from.
    """

    size: RestoreSize
    basis: str
    steps: Mapping[str, timedelta] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @property
    def known(self) -> timedelta:
        """The sum of what is known; the restore takes longer if a step is unknown."""
        return sum(self.steps.values(), timedelta())

    def describe(self) -> str:
        """One line: how long, by what, and what is not known."""
        least = "at least " if self.unknown else ""
        text = f"expected duration: {least}about {_format_about(self.known)}, {self.basis}"
        return f"{text}; unknown: {_join_steps(self.unknown)}" if self.unknown else text


def measure_size(
    entries: Iterable[NamespaceEntry], parts: Iterable[StoredPart], oplog_bytes: int
) -> RestoreSize:
    """The size of a restore of these namespaces from these parts."""
    entries = tuple(entries)
    return RestoreSize(
        namespaces=len(entries),
        documents=sum(entry.documents for entry in entries),
        data_bytes=sum(entry.data_bytes for entry in entries),
        stored_bytes=sum(part.stored_bytes for part in parts),
        oplog_bytes=oplog_bytes,
    )


def estimate_restore(size: RestoreSize, record: TimingRecord, *, has_tail: bool) -> RestoreEstimate:
    """Scale each step of the timed restore to `size`; without one, assume a pace for the documents.

    With `has_tail` captured slices are replayed on top of the set, for a time that is not known.
    """
    tail = _TAIL_STEPS if has_tail else ()
    if record.timed is None:
        pace = f"if {ASSUMED_BYTES_PER_SECOND // 1_000_000} MB of documents are restored a second"
        documents = timedelta(seconds=size.data_bytes / ASSUMED_BYTES_PER_SECOND)
        steps = dict.fromkeys(_ASSUMED_STEPS, documents / len(_ASSUMED_STEPS))
        unknown = [step for step in (*_MEASURES, *tail) if step not in steps]
        basis = f"{pace}, which is assumed: {record.reason}"
    else:
        scaled = {step: _scale_step(step, size, record.timed) for step in _MEASURES if step not in tail}
        steps = {step: length for step, length in scaled.items() if length is not None}
        unknown = [*(step for step, length in scaled.items() if length is None), *tail]
        basis = _describe_timed(record.timed)
    return RestoreEstimate(size, basis, steps, tuple(dict.fromkeys(unknown)))


def _scale_step(step: str, size: RestoreSize, timed: TimedRestore) -> timedelta | None:
    amount, basis = (int(getattr(each, _MEASURES[step])) for each in (size, timed.size))
    if not amount:
        return timedelta()
    if step not in timed.seconds or not basis:
        return None  # nothing of the kind was timed
    return timedelta(seconds=timed.seconds[step] * amount / basis)


def _describe_timed(timed: TimedRestore) -> str:
    took = timedelta(seconds=sum(timed.seconds.get(step, 0.0) for step in _MEASURES))
    return (
        f"at the pace of the drill of {timed.label} on {timed.ended:%Y-%m-%d}"
        f" ({timed.size.data_bytes / 1e6:.1f} MB of documents in {_format_about(took)};"
        " another server may differ)"
    )


def describe_progress(
    step: str, done: int, total: int, elapsed: timedelta, estimate: RestoreEstimate, ended: Iterable[str]
) -> str:
    """One line while a step runs: how far it is, and how long it and the steps after it will take."""
    share = min(done / total, 1.0) if total else 0.0
    remaining = f"about {_format_about(elapsed * (1 - share) / share)} left" if share else "time left unknown"
    over = {step, *ended}
    later = [length for name, length in estimate.steps.items() if name not in over]
    unknown = [name for name in estimate.unknown if name not in over]
    text = f"{step}: {share:.0%} after {format_duration(elapsed)}, {remaining}"
    if later or unknown:
        text += f"; the steps after it: about {_format_about(sum(later, timedelta()))}"
    return f"{text}, and {_join_steps(unknown)}, unknown" if unknown else text


def _join_steps(steps: Iterable[str]) -> str:
    return ", ".join(step[0].lower() + step[1:] for step in steps)


def _format_about(length: timedelta) -> str:
    # `0 s` would promise more than anybody knows.
    return format_duration(max(length, timedelta(seconds=1)))
