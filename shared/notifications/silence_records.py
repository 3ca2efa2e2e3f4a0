"""Silences on record, in `notifications/routes.json` beside the routes.

One file for both, so that the page about everything learns of them without a call more to the storage.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, NotFound, Unavailable
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_timestamp
from shared.notifications.history import ROUTES
from shared.notifications.silence import Silence, add_silence, select_in_force

log = logging.getLogger(__name__)

SILENCES = "_silences"  # no route is called so
_ATTEMPTS = 10


class SilenceRecords:
    """Reads and writes them in the container `groundcrew`; `limit` is how long policy lets one last."""

    def __init__(self, blobs: Blobs, clock: Clock, limit: timedelta) -> None:
        self._blobs, self._clock, self.limit = blobs, clock, limit

    def list_in_force(self) -> tuple[Silence, ...]:
        """Those that mute now. Raises what the storage raises."""
        return select_in_force(parse_silences(self._read_fields()[0]), self._clock.now(), self.limit)

    def add(self, silence: Silence) -> None:
        """Begin one, in place of another of the same thing. Raises Unavailable."""
        self._update(lambda silences: add_silence(silences, silence))

    def end(self, what: str) -> Silence:
        """End the one of that thing; returns it. Raises NotFound, Unavailable."""
        ended: list[Silence] = []

        def change(silences: tuple[Silence, ...]) -> tuple[Silence, ...]:
            ended[:] = [one for one in silences if one.what == what]
            return tuple(one for one in silences if one.what != what)

        self._update(change)
        if not ended:
            raise NotFound(
                "nothing of that name is silenced", value=what, hint="`status` lists the silences."
            )
        return ended[0]

    def _update(self, change: Callable[[tuple[Silence, ...]], tuple[Silence, ...]]) -> None:
        for _ in range(_ATTEMPTS):
            fields, etag = self._read_fields()
            silences = parse_silences(fields)
            # Those that have ended are of no use to anybody: the audit trail has them.
            after = change(select_in_force(silences, self._clock.now(), self.limit))
            data = encode_json({**fields, SILENCES: [asdict(one) for one in after]})
            try:
                if etag is None:
                    self._blobs.create(ROUTES, data)
                else:
                    self._blobs.replace(ROUTES, data, etag=etag)
            except (AlreadyExists, Conflict):
                continue
            return
        raise Unavailable(f"{ROUTES} keeps changing", hint="Try again.")

    def _read_fields(self) -> tuple[dict[str, Any], str | None]:
        try:
            data, etag = self._blobs.read(ROUTES)
        except NotFound:
            return {}, None
        try:
            return decode_json(data, ROUTES), etag
        except Corrupt as error:
            # What cannot be read mutes nothing.
            log.warning("silence.record_unreadable", extra={"blob": ROUTES, "error": str(error)})
            return {}, etag


def parse_silences(fields: Mapping[str, Any]) -> tuple[Silence, ...]:
    """Those in the file, whether in force or not; entries that are none are left out."""
    entries = fields.get(SILENCES, ())
    parsed = map(_parse_silence, entries if isinstance(entries, list) else ())
    return tuple(one for one in parsed if one)


def _parse_silence(fields: Mapping[str, Any]) -> Silence | None:
    try:
        return Silence(
            str(fields["what"]),
            fields["critical"] is True,
            parse_timestamp(fields["since"]),
            parse_timestamp(fields["until"]),
            str(fields["by"])[:100],
            str(fields["reason"])[:200],
            str(fields.get("alertmanager_id", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
