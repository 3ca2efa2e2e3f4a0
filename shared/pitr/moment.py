"""A moment in the oplog as people give it. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from shared.kernel.errors import UsageError
from shared.kernel.timestamps import format_rfc3339
from shared.mongodb.model import Timestamp

LAST_ORDINAL = (1 << 32) - 1
_POSITION = re.compile(r"(\d{1,10})[,.](\d{1,10})", re.ASCII)
_HINT = "Write 2026-11-23T10:15:00Z, 2026-11-23T11:15:00+01:00, or a position such as 1795819500,3."


def parse_moment(text: str) -> Timestamp:
    """The last position that belongs to it: a second includes all of it, a position itself.

    Raises UsageError for a time without a zone, which two people would read differently.
    """
    # First: `1795819500.3` would be no ISO time anyway, and a position is what runbooks quote from logs.
    if match := _POSITION.fullmatch(text.strip()):
        seconds, ordinal = int(match[1]), int(match[2])
        if max(seconds, ordinal) > LAST_ORDINAL:
            raise UsageError("no position in an oplog", value=text[:40], hint=_HINT)
        return Timestamp(seconds, ordinal)
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError("not a moment", value=text[:40], hint=_HINT) from error
    if at.tzinfo is None:
        raise UsageError("the time has no zone", value=text[:40], hint=_HINT)
    try:
        seconds = int(at.astimezone(UTC).timestamp())
    except (OverflowError, ValueError) as error:
        raise UsageError("no moment of an oplog", value=text[:40], hint=_HINT) from error
    if not 0 <= seconds <= LAST_ORDINAL:
        raise UsageError("no moment of an oplog", value=text[:40], hint=_HINT)
    return Timestamp(seconds, LAST_ORDINAL)


def format_moment(at: Timestamp) -> str:
    """For people: the second in UTC, and the ordinal unless all of the second is meant."""
    second = format_rfc3339(datetime.fromtimestamp(at.seconds, UTC))
    return second if at.ordinal == LAST_ORDINAL else f"{second} ({at.seconds},{at.ordinal})"
