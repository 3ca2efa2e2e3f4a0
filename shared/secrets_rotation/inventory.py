"""What the timer saw of every secret, kept for the status page, which asks the storage only. No value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp
from shared.secrets_rotation.model import SecretStatus

# Beside the journals, whose names are those of secrets.
_BLOB = "secrets-inventory.json"


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """One secret as it was seen."""

    name: str
    kind: str
    state: str
    homes: Sequence[str]  # where it is kept, as policy names them
    readers: Sequence[str]  # who has to run with a new one
    changed: datetime | None  # since when it is what it is; None if that cannot be seen
    due: datetime | None  # when it has to be exchanged; None without a limit
    rotated: str  # the last rotation in words, with who asked for it; empty if there was none
    has_limit: bool  # whether policy says how old it may get
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class SecretInventory:
    """All of them, and when that was."""

    at: datetime
    entries: tuple[InventoryEntry, ...]


def save_inventory(
    state: Blobs, secrets: Sequence[SecretStatus], limited: frozenset[str], now: datetime
) -> None:
    """Write over the one before. `limited` names the secrets that policy has a limit for."""
    entries = [asdict(_to_entry(one, one.name in limited)) for one in secrets]
    state.replace(_BLOB, encode_json({"at": now, "entries": entries}), etag=None)


def load_inventory(state: Blobs) -> SecretInventory | None:
    """The newest one; None before the first. Raises Corrupt."""
    try:
        fields = decode_json(state.read(_BLOB)[0], _BLOB)
    except NotFound:
        return None
    try:
        entries = tuple(_parse_entry(one) for one in fields["entries"])
        return SecretInventory(parse_timestamp(fields["at"]), entries)
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"{_BLOB} is not an inventory of secrets", value=type(error).__name__) from error


def _to_entry(one: SecretStatus, has_limit: bool) -> InventoryEntry:
    rotated = f"{one.last.step} {one.last.step_since:%Y-%m-%d} by {one.last.by}" if one.last else ""
    homes = tuple(str(each.home) for each in one.homes)
    return InventoryEntry(
        one.name, one.kind, str(one.state), homes, one.readers, one.changed, one.due, rotated, has_limit,
        one.reasons,
    )  # fmt: skip


def _parse_entry(fields: Any) -> InventoryEntry:
    times = {key: parse_optional_timestamp(fields[key]) for key in ("changed", "due")}
    return InventoryEntry(**{**fields, **times})
