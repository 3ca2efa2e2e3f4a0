"""What the newest drift check of a release found: for the status, the metrics and `catch_up`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp


@dataclass(frozen=True, slots=True)
class DriftCheck:
    """One check."""

    at: datetime  # when it was made
    objects: int | None  # how many differ from what was deployed; None if nothing was compared
    skipped: str = ""  # why nothing was compared
    unread: tuple[str, ...] = ()  # kinds that may not be read, each with the reason


def save_drift_check(state: Blobs, namespace: str, release: str, check: DriftCheck) -> None:
    """Write over the check before."""
    state.replace(_blob_name(namespace, release), encode_json(check), etag=None)


def load_drift_check(state: Blobs, namespace: str, release: str) -> DriftCheck | None:
    """The newest check; None before the first. Raises Corrupt."""
    name = _blob_name(namespace, release)
    try:
        fields = decode_json(state.read(name)[0], name)
    except NotFound:
        return None
    try:
        objects = fields["objects"]
        return DriftCheck(
            parse_timestamp(fields["at"]),
            None if objects is None else int(objects),
            str(fields["skipped"]),
            tuple(map(str, fields["unread"])),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{name} is not a drift check", value=type(error).__name__) from error


def _blob_name(namespace: str, release: str) -> str:
    return f"deploys/drift/{namespace}-{release}.last.json"
