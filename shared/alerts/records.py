"""What is known of alerts, and of the heartbeat of who sends them, in `alerts/known.json`.

One blob for both: the status page then asks the storage once. Each is written under the blob's etag and
leaves the other as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from shared.alerts.model import Alert, KnownAlert
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, NotFound, Unavailable
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp
from shared.notifications.model import Severity

log = logging.getLogger(__name__)

KNOWN = "alerts/known.json"
# Where the heartbeat was until 0.3. Read until the first one is written to the new place.
_OLD_HEARTBEAT = "alerts/heartbeat.json"
# No fingerprint: what others send cannot take its place, since it is written over alerts of this name.
_HEARTBEAT = "_heartbeat"
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When Alertmanager's Watchdog last came (None: never), and since when it is expected."""

    at: datetime | None = None
    expected_since: datetime | None = None


class AlertRecords:
    """Reads and writes both in the container `groundcrew`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def load(self) -> tuple[dict[str, KnownAlert], str | None]:
        """The alerts by fingerprint, and the etag to save them under; entries that are none are left out."""
        fields, etag = self._read(KNOWN)
        return _parse_all(fields), etag

    def save(self, known: Mapping[str, KnownAlert], etag: str | None) -> bool:
        """Write over the version `etag`; False if it is another meanwhile."""
        fields, current = self._read(KNOWN)
        if current != etag:
            return False
        alerts = {name: _encode_known(entry) for name, entry in known.items()}
        heartbeat = {name: value for name, value in fields.items() if name == _HEARTBEAT}
        return self._write({**alerts, **heartbeat}, etag)

    def list_firing(self) -> list[KnownAlert]:
        """What fires now as far as is known, the oldest first; those that were explained included."""
        firing = [entry for entry in self.load()[0].values() if entry.alert.firing]
        return sorted(firing, key=lambda entry: entry.alert.starts_at)

    def load_heartbeat(self) -> Heartbeat:
        """What is known of the heartbeat."""
        fields = self._read(KNOWN)[0].get(_HEARTBEAT)
        if fields is None:
            fields = self._read(_OLD_HEARTBEAT)[0]
        return _parse_heartbeat(fields)

    def save_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Write over what was there: the newest of two that come together is as good as the other.

        Raises Unavailable if others keep writing; a sender sends again, and a tick comes back.
        """
        for _ in range(_ATTEMPTS):
            fields, etag = self._read(KNOWN)
            if self._write({**fields, _HEARTBEAT: asdict(heartbeat)}, etag):
                return
        raise Unavailable("the record of alerts keeps changing", value=KNOWN, hint="The next one is stored.")

    def _write(self, fields: Mapping[str, Any], etag: str | None) -> bool:
        data = encode_json(fields)
        try:
            if etag is None:
                self._blobs.create(KNOWN, data)
            else:
                self._blobs.replace(KNOWN, data, etag=etag)
        except (AlreadyExists, Conflict):
            return False
        return True

    def _read(self, name: str) -> tuple[dict[str, Any], str | None]:
        try:
            data, etag = self._blobs.read(name)
        except NotFound:
            return {}, None
        try:
            return decode_json(data, name), etag
        except Corrupt as error:
            # Nothing is known then: alerts are told again rather than not at all.
            log.warning("alerts.record_unreadable", extra={"blob": name, "error": str(error)})
            return {}, etag


def _encode_known(entry: KnownAlert) -> dict[str, Any]:
    alert = {name: getattr(entry.alert, name) for name in Alert.__dataclass_fields__}
    return {"alert": alert, "seen_at": entry.seen_at, "told_at": entry.told_at, "muted": entry.muted}


def _parse_all(fields: Mapping[str, Any]) -> dict[str, KnownAlert]:
    parsed = ((name, _parse_known(one)) for name, one in fields.items() if name != _HEARTBEAT)
    return {name: entry for name, entry in parsed if entry}


def _parse_heartbeat(fields: Any) -> Heartbeat:
    """Nothing is known of one that is none: it is expected from now on then."""
    try:
        times = (parse_optional_timestamp(fields.get(name)) for name in ("at", "expected_since"))
        return Heartbeat(*times)
    except (ValueError, TypeError, AttributeError):
        return Heartbeat()


def _parse_known(fields: Any) -> KnownAlert | None:
    try:
        alert = dict(fields["alert"])
        return KnownAlert(
            Alert(
                str(alert["fingerprint"]),
                alert["firing"] is True,
                str(alert["name"]),
                Severity(alert["severity"]),
                str(alert["summary"]),
                str(alert["details"]),
                str(alert["hint"]),
                parse_timestamp(alert["starts_at"]),
                str(alert["source"]),
                {str(name): str(value) for name, value in alert["labels"].items()},
                tuple(map(str, alert["targets"])),
            ),
            parse_timestamp(fields["seen_at"]),
            parse_optional_timestamp(fields["told_at"]),
            str(fields["muted"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
