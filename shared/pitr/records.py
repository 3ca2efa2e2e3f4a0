"""The capture's cursor, and what the status and the metrics read of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.formats.manifest import Signer, verify_record
from shared.formats.slices import CaptureCursor
from shared.kernel.errors import Corrupt, NotFound, Refused
from shared.kernel.ports import Blobs
from shared.mongodb.model import Timestamp

log = logging.getLogger(__name__)

CURSOR = "pitr/cursor.json"


@dataclass(frozen=True, slots=True)
class CaptureState:
    """How far the oplog is captured. `unknown` says why it cannot be told; then nothing else holds."""

    since: datetime | None = None  # from where on slices follow each other without a gap
    until: datetime | None = None  # the last entry that was captured
    updated: datetime | None = None  # when it was captured
    gap: str = ""  # what is missing, and no newer base has made up for; empty if nothing is
    branch: str = ""
    slices: int = 0
    unknown: str = ""

    @property
    def running(self) -> bool:
        """Whether anything was ever captured."""
        return self.until is not None


def read_capture_state(state: Blobs, trusted: Sequence[str]) -> CaptureState:
    """The state of the capture. `trusted` are the signers whose cursor counts; empty believes none.

    Raises Unavailable and its like if the storage does not answer.
    """
    try:
        cursor = load_cursor(state, trusted)
    except (Corrupt, Refused) as error:
        return CaptureState(unknown=str(error))
    if cursor is None:
        return CaptureState(unknown="nothing was captured yet")
    return CaptureState(
        since=to_datetime(cursor.first),
        until=to_datetime(cursor.end),
        updated=cursor.updated,
        gap=cursor.gap,
        branch=cursor.branch,
        slices=cursor.captured,
    )


def to_datetime(at: str) -> datetime:
    """The second of a position in the oplog."""
    return datetime.fromtimestamp(Timestamp.parse(at).seconds, UTC)


def load_cursor(state: Blobs, trusted: Sequence[str]) -> CaptureCursor | None:
    """The cursor; None before the first slice. Raises Corrupt, or Refused for one that is not ours."""
    try:
        data, _ = state.read(CURSOR)
    except NotFound:
        return None
    if not trusted:
        raise Refused(f"{CURSOR} is signed by an unknown signer")
    return verify_record(CaptureCursor, data, name=CURSOR, trusted=trusted).record


def save_cursor(state: Blobs, cursor: CaptureCursor, signer: Signer) -> None:
    """Write it over what was there."""
    # Without an etag: the lease of the capture keeps a second writer out.
    state.replace(CURSOR, signer.sign(cursor), etag=None)
