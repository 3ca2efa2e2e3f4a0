"""The calendar as it was made last, in one blob: for the pages, the feed, the metrics and the next run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from shared.calendar.growth import GrowthSummary, NamespaceGrowth
from shared.calendar.model import CalendarEntry, Deadline, DeadlineKind
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp

log = logging.getLogger(__name__)

_BLOB = "calendar/last.json"
# Of a deadline: JSON gives them back as text, and a comparison with a moment would fail.
_TIMES = ("at", "renews_at", "seen")


@dataclass(frozen=True, slots=True)
class LockoutCalendar:
    """One calendar.

    - `at`: when it was made.
    - `entries`: in order, see `build_calendar`.
    - `told`: by key the smallest threshold that people were told of.
    - `growth`: what grew how fast, for the metrics; None in records of before it was kept.
    """

    at: datetime
    entries: tuple[CalendarEntry, ...]
    told: Mapping[str, int] = field(default_factory=dict)
    growth: GrowthSummary | None = None


def load_calendar(state: Blobs) -> LockoutCalendar | None:
    """The last one; None before the first, and if the record cannot be read, which is logged."""
    try:
        fields = decode_json(state.read(_BLOB)[0], _BLOB)
        entries = tuple(map(_parse_entry, fields["entries"]))
        told = {str(key): int(threshold) for key, threshold in fields["told"].items()}
        return LockoutCalendar(
            parse_timestamp(fields["at"]), entries, told, _parse_growth(fields.get("growth"))
        )
    except NotFound:
        return None
    except (Corrupt, ValueError, TypeError, KeyError, AttributeError) as error:
        # It is made anew from its sources; people are told once more.
        log.warning("calendar.record_unreadable", extra={"blob": _BLOB, "error": type(error).__name__})
        return None


def save_calendar(state: Blobs, calendar: LockoutCalendar) -> None:
    """Write over the one before. The caller holds the lease."""
    entries = [asdict(entry) for entry in calendar.entries]
    growth = asdict(calendar.growth) if calendar.growth else None
    fields = {"at": calendar.at, "entries": entries, "told": dict(calendar.told), "growth": growth}
    state.replace(_BLOB, encode_json(fields), etag=None)


def _parse_growth(fields: Mapping[str, Any] | None) -> GrowthSummary | None:
    if fields is None:
        return None
    rows = tuple(NamespaceGrowth(**one) for one in fields["namespaces"])
    return GrowthSummary(rows, fields["others_bytes"], fields["captured_per_day"])


def _parse_entry(fields: Mapping[str, Any]) -> CalendarEntry:
    given = fields["deadline"]
    times = {name: parse_optional_timestamp(given.get(name)) for name in _TIMES}
    deadline = Deadline(**{**given, **times, "kind": DeadlineKind(given["kind"])})
    return CalendarEntry(
        deadline,
        fields["powered_days"],
        fields["threshold"],
        parse_optional_timestamp(fields.get("warns_at")),
    )
