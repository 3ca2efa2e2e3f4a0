"""Holds: work in flight that must not be interrupted by a stop, as blobs under `holds/`, each with an end.

A hold ends by being released or at its own end, whichever comes first, so that one whose owner died costs
hours, not a machine that runs for ever. A blob that cannot be read holds too, for a while: interrupting a
backup is worse than paying for an evening.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import BlobInfo, Blobs, Clock
from shared.kernel.timestamps import parse_timestamp
from shared.records.hold import Hold

log = logging.getLogger(__name__)

_PREFIX = "holds/"
_UNREADABLE_HOLD = timedelta(hours=2)
_SWEEP_AFTER = timedelta(days=1)


class Holds:
    """The holds in the container `groundcrew`. They apply to all machines, since the chat lives on all."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    def add_hold(self, name: str, what: str, lasting: timedelta, *, needs_up: bool = False) -> Hold:
        """Begin a hold or renew it; `name` identifies the work (`backup/<set>`), `what` is for people.

        With `needs_up` the machine is started for it, too.
        """
        now = self._clock.now()
        hold = Hold(what, now, now + lasting, needs_up)
        self._blobs.replace(_blob_name(name), encode_json(hold), etag=None)
        log.info("hold.put", extra={"hold": name, "until": hold.until.isoformat()})
        return hold

    def release_hold(self, name: str) -> None:
        """The work is done. Releasing a hold that does not exist is fine."""
        self._blobs.delete(_blob_name(name))

    def list_in_force(self) -> tuple[Hold, ...]:
        """The holds that apply now; those that ended more than a day ago are deleted."""
        now, active = self._clock.now(), []
        for blob in self._blobs.list(_PREFIX):
            hold = self._read_hold(blob)
            if hold is None:
                continue
            if hold.until > now:
                active.append(hold)
            elif now - hold.until > _SWEEP_AFTER:
                self._blobs.delete(blob.name)
        return tuple(active)

    def _read_hold(self, blob: BlobInfo) -> Hold | None:
        try:
            return _parse_hold(self._blobs.read(blob.name)[0], blob.name)
        except NotFound:
            return None
        except Corrupt as error:
            log.warning("hold.unreadable", extra={"blob": blob.name, "error": str(error)})
            return Hold(f"unreadable {blob.name}", blob.last_modified, blob.last_modified + _UNREADABLE_HOLD)


def _blob_name(name: str) -> str:
    return f"{_PREFIX}{name.strip('/')}.json"


def _parse_hold(data: bytes, name: str) -> Hold:
    fields = decode_json(data, name)
    try:
        return Hold(
            str(fields["what"]),
            parse_timestamp(fields["since"]),
            parse_timestamp(fields["until"]),
            fields["needs_up"] is True,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{name} is not a hold", value=error) from error
