"""What the last scan found, in one blob: for the next scan, the status page and the metrics."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from shared.certificates.model import CertificateEntry, CertificateState, SourceKind
from shared.certificates.outlook import WakeRecord
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp

log = logging.getLogger(__name__)

_BLOB = "certificates/last.json"
_TIMES = ("not_before", "not_after", "renews_at", "seen", "since", "overdue_since")


@dataclass(frozen=True, slots=True)
class CertificateScan:
    """One scan: when it was, what it found, and the renewals that a machine is held up for."""

    at: datetime  # when it began to look
    entries: tuple[CertificateEntry, ...]
    wakes: Mapping[str, WakeRecord] = field(default_factory=dict)  # by the key of what is to be renewed

    @property
    def by_key(self) -> dict[str, CertificateEntry]:
        """The entries by their keys."""
        return {entry.key: entry for entry in self.entries}


def load_last_scan(state: Blobs) -> CertificateScan | None:
    """The last scan; None before the first, and if the record cannot be read, which is logged."""
    try:
        return _parse_scan(state.read(_BLOB)[0])
    except NotFound:
        return None
    except Corrupt as error:
        log.warning("certificates.record_unreadable", extra={"blob": _BLOB, "error": str(error)})
        return None


def save_scan(state: Blobs, scan: CertificateScan) -> None:
    """Write over the scan before."""
    entries = [asdict(entry) for entry in scan.entries]
    wakes = {key: asdict(wake) for key, wake in scan.wakes.items()}
    # Under the lease of the scan, so that there is no other writer.
    state.replace(_BLOB, encode_json({"at": scan.at, "entries": entries, "wakes": wakes}), etag=None)


def _parse_scan(data: bytes) -> CertificateScan:
    fields = decode_json(data, _BLOB)
    try:
        entries = tuple(map(_parse_entry, fields["entries"]))
        wakes = {
            str(key): WakeRecord(parse_timestamp(one["since"]), parse_timestamp(one["until"]))
            for key, one in fields["wakes"].items()
        }
        return CertificateScan(parse_timestamp(fields["at"]), entries, wakes)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"{_BLOB} is not a scan", value=type(error).__name__) from error


def _parse_entry(fields: Mapping[str, Any]) -> CertificateEntry:
    times = {name: parse_optional_timestamp(fields.get(name)) for name in _TIMES}
    return CertificateEntry(
        kind=SourceKind(fields["kind"]),
        name=str(fields["name"]),
        state=CertificateState(fields["state"]),
        reasons=tuple(map(str, fields["reasons"])),
        excused=fields.get("excused") is True,
        # A record of before this field: then a finding says what is wrong.
        valid=fields.get("valid") is not False,
        **times,
    )
