"""The ledger: when each machine was paid for, as changes in one small blob a month and machine.

Written when something changes and once an hour, so that it says until when somebody looked: what was while
nobody did is unknown, not what it was before. Noting the same thing twice changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_SEEN_INTERVAL = timedelta(hours=1)
# A shorter pause is one of lost ticks, in which what was before is believed to have gone on.
_GAP = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Interval:
    """A span in which a machine was paid for (`on`), or was not, or nobody looked (None)."""

    since: datetime
    until: datetime
    on: bool | None

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class LedgerMonth:
    """A month on record: each change with its time (None: nobody looked from then on), and the last look."""

    changes: tuple[tuple[datetime, bool | None], ...] = ()
    seen: datetime | None = None

    def is_stale(self, now: datetime) -> bool:
        """Whether the last look has to be written anew."""
        return self.seen is None or now - self.seen >= _SEEN_INTERVAL


class UsageLedger:
    """Reads and writes `ledger/<machine>/<year>-<month>.json`; months are in UTC."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def record_state(self, machine: str, now: datetime, *, on: bool, since: datetime | None = None) -> bool:
        """What is seen now; whether that was news.

        `since` is when the machine came into this state, where that is known: it is believed if it lies
        between the change before and now, in the same month, and it says of a time in which nobody looked
        that nothing happened in it. Raises Conflict if others keep writing.
        """
        name = _month_blob(machine, now)
        for _ in range(_ATTEMPTS):
            month, etag = self._read_month(name)
            # A month begins with what is seen in it; until when somebody looked is in the one before.
            before = month if etag else self._read_month(_month_blob(machine, _previous_month(now)))[0]
            changes = _extend_changes(month, before, now, on=on, since=since)
            if not changes and not month.is_stale(now):
                return False
            data = encode_json(
                {
                    "machine": machine,
                    "changes": [(str(at), state) for at, state in (*month.changes, *changes)],
                    "seen": str(now),
                }
            )
            try:
                if etag is None:
                    self._blobs.create(name, data)
                else:
                    self._blobs.replace(name, data, etag=etag)
            except (AlreadyExists, Conflict):
                continue
            return bool(changes)
        raise Conflict(f"{name} keeps changing", hint="It is tried again at the next tick.")

    def list_intervals(self, machine: str, since: datetime, until: datetime) -> list[Interval]:
        """The whole span without gaps: on, off, or not known; neighbours differ."""
        months = [self._read_month(_month_blob(machine, month))[0] for month in _iter_months(since, until)]
        changes = [one for month in months for one in month.changes]
        if (
            last_seen_at := max((month.seen for month in months if month.seen), default=None)
        ) and until - last_seen_at > _GAP:
            changes.append((last_seen_at, None))
        on: bool | None = None
        begin, intervals = since, list[Interval]()
        for at, now_on in changes:
            if at >= until:
                break
            if now_on is not on and at > begin:
                intervals.append(Interval(begin, at, on))
                begin = at
            on = now_on
            # Seen only for a moment: the unknown before and after it are one.
            if intervals and intervals[-1].on is on and intervals[-1].until == begin:
                begin = intervals.pop().since
        return [*intervals, Interval(begin, until, on)] if begin < until else intervals

    def sum_hours(self, machine: str, since: datetime, until: datetime) -> tuple[timedelta, timedelta]:
        """For how long it was paid for, and for how long nobody knows."""
        parts = self.list_intervals(machine, since, until)
        on = sum((part.length for part in parts if part.on), timedelta())
        return on, sum((part.length for part in parts if part.on is None), timedelta())

    def _read_month(self, name: str) -> tuple[LedgerMonth, str | None]:
        try:
            data, etag = self._blobs.read(name)
        except NotFound:
            return LedgerMonth(), None
        try:
            fields = decode_json(data, name)
            changes = [
                (parse_timestamp(at), None if on is None else bool(on)) for at, on in fields["changes"]
            ]
            # Before version 0.3 nobody wrote until when somebody looked: then what was last is believed.
            last_seen_at = parse_timestamp(fields["seen"]) if fields.get("seen") else None
            return LedgerMonth(tuple(changes), last_seen_at), etag
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{name} is not a ledger", value=error) from error


def _extend_changes(
    month: LedgerMonth, before: LedgerMonth, now: datetime, *, on: bool, since: datetime | None
) -> list[tuple[datetime, bool | None]]:
    """The changes that a look adds to a month; `before` is the newest month on record, often the same."""
    last_at, last_on = month.changes[-1] if month.changes else (None, None)
    if last_at is not None and last_at >= now:
        return []
    last_seen_at = before.seen
    if last_seen_at is not None and now - last_seen_at > _GAP:
        newest_on = before.changes[-1][1] if before.changes else None
        # Azure's newest operation ended before the last look: so it has been in this state all the time.
        if not (newest_on is on and since is not None and since <= last_seen_at):
            return [
                (last_seen_at, None),
                (since if since is not None and last_seen_at < since <= now else now, on),
            ]
    if last_on is on:
        return []
    credible = since is not None and last_at is not None and last_at < since <= now
    return [(since if credible and since else now, on)]


def _month_blob(machine: str, at: datetime) -> str:
    return f"ledger/{machine.lower()}/{at:%Y-%m}.json"


def _previous_month(at: datetime) -> datetime:
    return (at.replace(day=1) - timedelta(days=1)).replace(day=1)


def _iter_months(since: datetime, until: datetime) -> Iterator[datetime]:
    """A moment in each month from the one before `since` (what was then may still be) to that after `until`.

    The next one says from when on nobody looked, if that was over its beginning.
    """
    month = _previous_month(since)
    while month <= until + timedelta(days=32):
        yield month
        month = (month + timedelta(days=32)).replace(day=1)
