"""The documents of a backup set: plan, receipts, manifest. JSON on the outside, frozen types within.

`plan.json` says what shall be dumped, a receipt which attempt at a part won and what it holds, and the
manifest, written last and only when every receipt is there, makes it a backup. Reading is strict: an
unknown or missing field, or a wrong type, raises Corrupt naming the blob and the field.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast, dataclass_transform

from shared.kernel.errors import Corrupt

FORMAT = 1

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def strict_record(cls: type[T]) -> type[T]:
    """A frozen dataclass whose JSON may have no other fields than its own."""
    decorated = dataclass(frozen=True, slots=True)(cls)
    decorated.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return decorated


@strict_record
class BackupSource:
    """The MongoDB that was dumped."""

    hosts: tuple[str, ...]
    server_version: str


@strict_record
class Piece:
    """A namespace, or a range of one, in a part.

    `metadata` is mongodump's: canonical Extended JSON of options, indexes, uuid. The bounds are BSON
    documents `{"_id": value}` in hexadecimal; empty is open.
    """

    db: str
    collection: str
    kind: str
    uuid: str
    metadata: str
    lower: str = ""
    upper: str = ""

    @property
    def name(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"


@strict_record
class PlannedPart:
    """One archive to be made: some pieces, or the oplog, or both for a small database."""

    pieces: tuple[Piece, ...]
    oplog: bool = False
    data_bytes: int = 0  # about, uncompressed, for the progress


@strict_record
class BackupPlan:
    """What a backup set shall hold, decided once."""

    format: int
    set: str
    klass: str
    created: datetime
    reason: str
    source: BackupSource
    oplog_start: str  # "seconds.ordinal"
    recipients: tuple[str, ...]
    level: int  # of zstd
    excluded: tuple[str, ...]
    parts: tuple[PlannedPart, ...]


@strict_record
class NamespaceCount:
    """What one part holds of a namespace."""

    db: str
    collection: str
    documents: int
    data_bytes: int
    content_hash: str  # 32 hex digits

    @property
    def name(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"


@strict_record
class OplogSlice:
    """The oplog entries start <= ts <= end, both inclusive."""

    start: str
    end: str
    entries: int
    data_bytes: int
    content_hash: str


@strict_record
class Receipt:
    """Which attempt at a part won, and what it is."""

    format: int
    set: str
    part: int
    blob: str  # its name below the set's folder
    stored_bytes: int
    plain_bytes: int
    sha256: str
    counts: tuple[NamespaceCount, ...]
    oplog: OplogSlice | None
    started: datetime
    finished: datetime


@strict_record
class StoredPart:
    """A part as the manifest names it."""

    blob: str
    stored_bytes: int
    plain_bytes: int
    sha256: str
    namespaces: tuple[str, ...]


@strict_record
class NamespaceEntry:
    """A namespace of the set, over all its parts."""

    db: str
    collection: str
    kind: str
    uuid: str
    metadata: str
    documents: int
    data_bytes: int
    content_hash: str

    @property
    def name(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"


@strict_record
class ChainLink:
    """The manifest before this one."""

    set: str
    klass: str
    sha256: str


@strict_record
class Manifest:
    """What a backup set holds. Its existence is what makes the set a backup."""

    format: int
    set: str
    klass: str
    created: datetime
    sealed: datetime
    reason: str
    tool: str
    source: BackupSource
    recipients: tuple[str, ...]
    excluded: tuple[str, ...]
    oplog: OplogSlice
    parts: tuple[StoredPart, ...]
    namespaces: tuple[NamespaceEntry, ...]
    previous: ChainLink | None


def record_to_json(value: Any) -> dict[str, Any]:
    """A dataclass of this module as plain JSON values; `klass` is written `class`."""
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(value), default=_format_iso))
    renamed: dict[str, Any] = _rename_key(fields, "klass", "class")
    return renamed


def encode_record(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8; so `jq -cSj .` reproduces the bytes."""
    return canonical_json(record_to_json(value))


def canonical_json(fields: object) -> bytes:
    """See `encode_record`."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode_record(kind: type[T], data: bytes | dict[str, Any], *, name: str) -> T:
    """Parse a document of this module strictly. Raises Corrupt naming the blob and the first bad field."""
    from pydantic import ValidationError

    try:
        fields = json.loads(data) if isinstance(data, bytes) else data
        if not isinstance(fields, dict):
            raise Corrupt(f"{name} is not a JSON object")
        if fields.get("format") != FORMAT:
            raise Corrupt(f"{name} is of another format", value=fields.get("format"))
        parsed: T = _adapter(cast("Any", kind)).validate_python(_rename_key(fields, "class", "klass"))
        return parsed
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Corrupt(f"{name} is malformed", value=f"{place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{name} is not JSON", value=error) from error


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _rename_key(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {(new if key == old else key): _rename_key(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_rename_key(item, old, new) for item in value]
    return value


def _format_iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def set_folder(klass: str, set_id: str) -> str:
    """Where a set lives in the container `backups`, with a slash at its end."""
    return f"sets/{klass}/{set_id}/"


def part_name(index: int, attempt: str, suffix: str) -> str:
    """`part-0003.<attempt>.archive.zst.age`: an attempt never writes over another."""
    return f"part-{index:04d}.{attempt}{suffix}"


def receipt_name(index: int) -> str:
    """`part-0003.receipt.json`."""
    return f"part-{index:04d}.receipt.json"


def names_of(parts: Sequence[PlannedPart]) -> set[str]:
    """All namespaces that a plan's parts hold."""
    return {piece.name for part in parts for piece in part.pieces}
