"""What was done about each machine: one blob each under `power/machines/`, changed under its lease only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp
from shared.power.attempts import OUTCOMES, Act, Attempt
from shared.power.refresh import RefreshState
from shared.power.unplanned import StopCause, UnplannedStop

# Left out of the JSON where they are None, and read so: a record of before a field existed is read like one
# without it.
_TIMES = ("started", "quiesced", "scaled")


@dataclass(frozen=True, slots=True)
class PowerRecord:
    """What was done about one machine, as stored in `power/machines/<machine>.json`."""

    history: tuple[Attempt, ...] = ()  # oldest first, the newest 30
    started: datetime | None = None  # a start was requested then; the server is not healthy yet
    quiesced: datetime | None = None  # the guest's services were stopped then; not deallocated yet
    scaled: datetime | None = None  # its workloads were scaled to zero then; not put back yet
    up_for: str = ""  # id of the wish to run for which it was last seen running
    unplanned: UnplannedStop | None = None  # it went off after that
    held_for: str = ""  # the danger to its next start for which it was held up
    refresh: RefreshState = field(default_factory=RefreshState)  # of MicroK8s' snap
    node: Mapping[str, str] = field(default_factory=dict)  # kernel, host, snap, address as last seen


class PowerRecords:
    """Reads and writes `power/machines/<machine>.json`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def load(self, machine: str) -> PowerRecord:
        """The record; an empty one for a machine never dealt with. Raises Corrupt."""
        name = _record_name(machine)
        try:
            data = self._blobs.read(name)[0]
        except NotFound:
            return PowerRecord()
        return _parse_record(data, name)

    def save(self, machine: str, record: PowerRecord) -> None:
        """Write over what was there: the caller holds the lease `locks/power/<machine>`."""
        self._blobs.replace(_record_name(machine), encode_json(record), etag=None)

    def load_tags(self, kind: str) -> tuple[datetime, Mapping[str, Mapping[str, str]]] | None:
        """Tags by machine id as of a moment; None if they were never kept or cannot be read."""
        name = f"power/tags.{kind}.json"
        try:
            fields = decode_json(self._blobs.read(name)[0], name)
            return parse_timestamp(fields["at"]), dict(fields["tags"])
        except (NotFound, Corrupt, ValueError, TypeError, KeyError):
            return None

    def save_tags(self, kind: str, at: datetime, tags: Mapping[str, Mapping[str, str]]) -> None:
        """Keep tags by machine id: a listing of states has none."""
        data = {"at": at.isoformat(), "tags": dict(tags)}
        self._blobs.replace(f"power/tags.{kind}.json", encode_json(data), etag=None)


def _record_name(machine: str) -> str:
    return f"power/machines/{machine.lower()}.json"


def _parse_record(data: bytes, name: str) -> PowerRecord:
    fields = decode_json(data, name)
    try:
        return PowerRecord(
            tuple(_parse_attempt(entry) for entry in fields["history"]),
            up_for=str(fields.get("up_for") or ""),
            held_for=str(fields.get("held_for") or ""),
            unplanned=_parse_unplanned(fields.get("unplanned")),
            refresh=_parse_refresh(fields.get("refresh")),
            node={str(name): str(value) for name, value in fields.get("node", {}).items()},
            **{key: parse_timestamp(fields[key]) for key in _TIMES if fields.get(key)},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        hint = f"Delete {name}: the next tick begins a new one."
        raise Corrupt(f"{name} is not a record of power", value=error, hint=hint) from error


def _parse_refresh(fields: Mapping[str, Any] | None) -> RefreshState:
    if not fields:
        return RefreshState()
    times = {name: parse_timestamp(fields[name]) for name in ("window", "begun", "held") if fields.get(name)}
    return RefreshState(
        change=str(fields.get("change") or ""), before=str(fields.get("before") or ""), **times
    )


def _parse_unplanned(fields: Mapping[str, Any] | None) -> UnplannedStop | None:
    if not fields:
        return None
    at = fields.get("at")
    return UnplannedStop(
        parse_timestamp(fields["seen"]),
        StopCause(fields["cause"]),
        str(fields.get("by") or ""),
        parse_timestamp(at) if at else None,
    )


def _parse_attempt(fields: Mapping[str, Any]) -> Attempt:
    outcome = fields["outcome"]
    if outcome not in OUTCOMES:
        raise ValueError(f"{outcome!r} is no outcome")
    return Attempt(
        Act(fields["act"]),
        str(fields["decision"]),
        parse_timestamp(fields["at"]),
        outcome,
        str(fields["error"]),
        parse_timestamp(fields["stop_at"]) if fields.get("stop_at") else None,
    )
