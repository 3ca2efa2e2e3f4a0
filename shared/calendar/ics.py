"""The calendar as a feed that phones subscribe to: iCalendar, RFC 5545."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from shared.calendar.decide import is_end
from shared.calendar.model import CalendarEntry
from shared.calendar.render import describe_entry

_FOLD_AT = 75  # octets without the line break, https://www.rfc-editor.org/rfc/rfc5545#section-3.1


def render_feed(entries: Sequence[CalendarEntry], made: datetime) -> str:
    """One all-day event for each end that is known. Ends of what renews itself in time are left out."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Groundcrew//Lock-out calendar//EN"]
    lines += ["METHOD:PUBLISH", "X-WR-CALNAME:Groundcrew", "REFRESH-INTERVAL;VALUE=DURATION:PT12H"]
    for entry in filter(is_end, entries):
        if entry.deadline.at is not None:
            lines += _event_lines(entry, entry.deadline.at, made)
    return "".join(f"{fold_line(line)}\r\n" for line in [*lines, "END:VCALENDAR"])


def _event_lines(entry: CalendarEntry, at: datetime, made: datetime) -> Iterator[str]:
    deadline = entry.deadline
    yield "BEGIN:VEVENT"
    # The same for as long as it is the same end, so that a changed date moves the event.
    yield f"UID:{sha256(deadline.key.encode()).hexdigest()[:32]}@groundcrew"
    yield f"DTSTAMP:{made.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    yield f"DTSTART;VALUE=DATE:{at:%Y%m%d}"
    yield f"DTEND;VALUE=DATE:{at + timedelta(days=1):%Y%m%d}"
    yield f"SUMMARY:{escape_text(f'{deadline.kind}: {deadline.name} ends')}"
    yield f"DESCRIPTION:{escape_text(describe_entry(entry))}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def escape_text(text: str) -> str:
    """A value of type TEXT, https://www.rfc-editor.org/rfc/rfc5545#section-3.3.11; without control signs."""
    for sign in ("\\", ";", ","):
        text = text.replace(sign, f"\\{sign}")
    text = text.replace("\r\n", "\n").replace("\n", "\\n")
    return "".join(sign for sign in text if sign >= " " and sign != "\x7f")


def fold_line(line: str) -> str:
    """The line in pieces of at most 75 octets, none of which cuts a character."""
    pieces: list[str] = []
    piece, size = "", 0
    for sign in line:
        octets = len(sign.encode())
        if size + octets > _FOLD_AT:
            pieces.append(piece)
            # The space that begins a folded line counts.
            piece, size = "", 1
        piece, size = piece + sign, size + octets
    return "\r\n ".join([*pieces, piece])
