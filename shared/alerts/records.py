"""What is known of alerts, in `alerts/known.json`, and of the heartbeat, in `alerts/heartbeat.json`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.alerts.model import Alert, KnownAlert
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp
from shared.notifications.model import Severity

log = logging.getLogger(__name__)

KNOWN, HEARTBEAT = "alerts/known.json", "alerts/heartbeat.json"


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
        known = {name: entry for name, one in fields.items() if (entry := _parse_known(one))}
        return known, etag

    def save(self, known: Mapping[str, KnownAlert], etag: str | None) -> bool:
        """Write over the version `etag`; False if it is another meanwhile."""
        data = encode_json({name: _encode_known(entry) for name, entry in known.items()})
        try:
            if etag is None:
                self._blobs.create(KNOWN, data)
            else:
                self._blobs.replace(KNOWN, data, etag=etag)
        except (AlreadyExists, Conflict):
            return False
        return True

    def list_firing(self) -> list[KnownAlert]:
        """What fires now as far as is known, the oldest first; those that were explained included."""
        firing = [entry for entry in self.load()[0].values() if entry.alert.firing]
        return sorted(firing, key=lambda entry: entry.alert.starts_at)

    def load_heartbeat(self) -> Heartbeat:
        """What is known of the heartbeat."""
        fields = self._read(HEARTBEAT)[0]
        return Heartbeat(
            parse_optional_timestamp(fields.get("at")), parse_optional_timestamp(fields.get("expected_since"))
        )

    def save_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Write over what was there: the newest of two that come together is as good as the other."""
        self._blobs.replace(HEARTBEAT, encode_json(heartbeat), etag=None)

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
