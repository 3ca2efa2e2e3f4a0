"""The ledger: when each machine was paid for, as changes in one small blob a month and machine.

Written only when something changes, so an idle fleet writes nothing but the first entry of each month.
Noting the same thing twice changes nothing.
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


class UsageLedger:
    """Reads and writes `ledger/<machine>/<year>-<month>.json`; months are in UTC."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def record_state(self, machine: str, now: datetime, *, on: bool, since: datetime | None = None) -> bool:
        """What is seen now; whether that was news.

        `since` is when the machine came into this state, where that is known: it is believed if it lies
        between the change before and now, in the same month. Raises Conflict if others keep writing.
        """
        name = _month_blob(machine, now)
        for _ in range(_ATTEMPTS):
            changes, etag = self._read_changes(name)
            last_at, last_on = changes[-1] if changes else (None, None)
            if last_on is on or (last_at is not None and last_at >= now):
                return False
            credible = since is not None and last_at is not None and last_at < since <= now
            at = since if credible else now
            data = encode_json(
                {"machine": machine, "changes": [(str(a), o) for a, o in (*changes, (at, on))]}
            )
            try:
                if etag is None:
                    self._blobs.create(name, data)
                else:
                    self._blobs.replace(name, data, etag=etag)
            except (AlreadyExists, Conflict):
                continue
            return True
        raise Conflict(f"{name} keeps changing", hint="It is tried again at the next tick.")

    def list_intervals(self, machine: str, since: datetime, until: datetime) -> list[Interval]:
        """The whole span without gaps: on, off, or not known; neighbours differ."""
        changes = [
            one
            for month in _iter_months(since, until)
            for one in self._read_changes(_month_blob(machine, month))[0]
        ]
        on: bool | None = None
        begin, intervals = since, list[Interval]()
        for at, now_on in changes:
            if at >= until:
                break
            if now_on is not on and at > begin:
                intervals.append(Interval(begin, at, on))
                begin = at
            on = now_on
        return [*intervals, Interval(begin, until, on)] if begin < until else intervals

    def sum_hours(self, machine: str, since: datetime, until: datetime) -> tuple[timedelta, timedelta]:
        """For how long it was paid for, and for how long nobody knows."""
        parts = self.list_intervals(machine, since, until)
        on = sum((part.length for part in parts if part.on), timedelta())
        return on, sum((part.length for part in parts if part.on is None), timedelta())

    def _read_changes(self, name: str) -> tuple[list[tuple[datetime, bool]], str | None]:
        try:
            data, etag = self._blobs.read(name)
        except NotFound:
            return [], None
        try:
            return [(parse_timestamp(at), bool(on)) for at, on in decode_json(data, name)["changes"]], etag
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{name} is not a ledger", value=error) from error


def _month_blob(machine: str, at: datetime) -> str:
    return f"ledger/{machine.lower()}/{at:%Y-%m}.json"


def _iter_months(since: datetime, until: datetime) -> Iterator[datetime]:
    """A moment in each month from the one before `since` (what was then may still be) to `until`."""
    month = (since.replace(day=1) - timedelta(days=1)).replace(day=1)
    while month <= until:
        yield month
        month = (month + timedelta(days=32)).replace(day=1)
