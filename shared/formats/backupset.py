"""The documents of a backup set: plan, receipts, manifest. JSON on the outside, frozen types within.

`plan.json` says what shall be dumped, a receipt what an attempt at a part stored, and the manifest, written
last and only when every part has a receipt, makes it a backup. All are signed (see `manifest`). Reading is
strict: an unknown or missing field, or a wrong type, raises Corrupt naming the blob and the field.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import ClassVar

from shared.formats.extra_parts import ExtraPart
from shared.formats.set_place import CLASSES as CLASSES
from shared.formats.set_place import FILE_NAME
from shared.formats.set_place import SET_ID as SET_ID
from shared.formats.set_place import require_place as require_place
from shared.formats.strict_json import FORMAT, require_form, strict_record

# Of a manifest that names parts which are no archives. Readers of before refuse it by its number, which they
# say, rather than as a malformed one of their own.
FORMAT_WITH_EXTRA_PARTS = 2

_HASH = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
OPTIME = re.compile(r"\d{1,10}\.\d{1,10}", re.ASCII)


@strict_record
class BackupSource:
    """The MongoDB that was dumped."""

    hosts: tuple[str, ...]  # `host:port` of the replica set's members, as the server named them
    server_version: str  # X.Y.Z, which decides what mongorestore expects in the archive


@strict_record
class Piece:
    """A namespace, or a range of one, in a part.

    `metadata` is mongodump's: canonical Extended JSON of options, indexes, uuid. The bounds are BSON
    documents `{"_id": value}` in hexadecimal; empty is open.
    """

    db: str
    collection: str
    kind: str  # `collection`, `view` or `timeseries`
    uuid: str  # notices one that was dropped and made anew meanwhile; empty where there is none, as of views
    metadata: str
    lower: str = ""  # from this `_id` on, itself included
    upper: str = ""  # up to this `_id`, itself excluded

    @property
    def name(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"

    def __post_init__(self) -> None:
        require_form(_HEX, lower=self.lower, upper=self.upper)


@strict_record
class PlannedPart:
    """One archive to be made: some pieces, or the oplog, or both for a small database."""

    pieces: tuple[Piece, ...]  # none in the oplog's own part
    oplog: bool = False  # whether this part ends with the oplog
    data_bytes: int = 0  # about, uncompressed, for the progress


@strict_record
class BackupPlan:
    """What a backup set shall hold, decided once."""

    format: int  # FORMAT; another one is refused, never guessed at
    set: str  # its id, which is the second at which it was begun
    klass: str  # one of CLASSES; decides how long it is kept
    created: datetime  # aware, UTC; the id says the same
    reason: str  # who or what asked for it, for people
    source: BackupSource
    oplog_start: str  # "seconds.ordinal"
    recipients: tuple[str, ...]  # public keys that every part is encrypted to; more cannot be added later
    level: int  # of zstd
    excluded: tuple[str, ...]  # names of the namespaces that policy left out, for whoever misses one
    parts: tuple[PlannedPart, ...]  # in the order in which they are dumped, the oplog's last

    def __post_init__(self) -> None:
        require_place(self.klass, self.set)
        require_form(OPTIME, oplog_start=self.oplog_start)


@strict_record
class NamespaceCount:
    """What one part holds of a namespace."""

    db: str
    collection: str
    documents: int  # of this part alone
    data_bytes: int  # uncompressed BSON
    content_hash: str  # 32 hex digits

    @property
    def name(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"

    def __post_init__(self) -> None:
        require_form(_HASH, content_hash=self.content_hash)


@strict_record
class OplogSlice:
    """The oplog entries start <= ts <= end, both inclusive."""

    start: str  # `seconds.ordinal` at which the dump began
    end: str  # of the last entry, read after the last document
    entries: int
    data_bytes: int  # uncompressed BSON
    content_hash: str  # 32 hex digits, the sum over the entries

    def __post_init__(self) -> None:
        require_form(OPTIME, start=self.start, end=self.end)
        require_form(_HASH, content_hash=self.content_hash)


@strict_record
class Receipt:
    """One complete attempt at a part: what was stored, and for which plan.

    Signed, so that nobody but the writer can put a part into a set. `plan_sha256` binds it to the plan, and
    so to the set's class, namespaces and recipients.
    """

    format: int
    set: str  # of which it is a part
    klass: str  # the plan's; with the id the blob's folder
    part: int  # its number in the plan
    plan_sha256: str  # of the blob of `plan.json`
    blob: str  # its name below the set's folder
    etag: str  # of the blob as it was committed; any later write gives it another
    stored_bytes: int
    plain_bytes: int  # before compression and encryption
    sha256: str  # of the stored bytes
    counts: tuple[NamespaceCount, ...]  # one entry per namespace in the part
    oplog: OplogSlice | None  # in the part that holds it
    after: tuple[str, ...]  # of the oplog's own part: the blobs of all others, read before the oplog's end
    started: datetime  # of this attempt, which may be the third
    finished: datetime  # the earliest complete attempt is the one that counts

    def __post_init__(self) -> None:
        require_place(self.klass, self.set)
        require_form(FILE_NAME, blob=self.blob)


@strict_record
class StoredPart:
    """A part as the manifest names it."""

    blob: str  # its name below the set's folder
    stored_bytes: int  # compressed and encrypted, as storage counts
    plain_bytes: int  # of the archive in it
    sha256: str  # of the stored bytes, so that they can be checked without a key
    namespaces: tuple[str, ...]  # in it, so that a restore of one collection reads no other part

    def __post_init__(self) -> None:
        require_form(FILE_NAME, blob=self.blob)


@strict_record
class NamespaceEntry:
    """A namespace of the set, over all its parts."""

    db: str
    collection: str
    kind: str  # `collection`, `view` or `timeseries`
    uuid: str  # of the source's collection; a restored one gets a new one
    metadata: str  # canonical Extended JSON of options and indexes, as mongodump writes it
    documents: int  # over all its parts
    data_bytes: int  # uncompressed BSON
    content_hash: str  # sum of its parts' hashes, modulo 2^128

    @property
    def name(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"

    def __post_init__(self) -> None:
        require_form(_HASH, content_hash=self.content_hash)


@strict_record
class ChainLink:
    """The manifest before this one."""

    set: str
    klass: str
    sha256: str  # of its whole blob: who changes it breaks every later link

    def __post_init__(self) -> None:
        require_place(self.klass, self.set)


@strict_record
class Manifest:
    """What a backup set holds. A valid signature of a trusted signer is what makes the set a backup."""

    format: int
    set: str
    klass: str
    created: datetime  # when the plan was made
    sealed: datetime  # when the last of its parts was finished, the same whoever seals it
    reason: str  # the plan's
    tool: str  # name and version of what dumped it
    source: BackupSource  # the plan's
    recipients: tuple[str, ...]  # whose keys open it, for whoever looks for the right key years later
    excluded: tuple[str, ...]  # the plan's: what it does not hold
    oplog: OplogSlice  # that brings all parts to one point in time
    parts: tuple[StoredPart, ...]  # all that a restore reads
    namespaces: tuple[NamespaceEntry, ...]  # all that a restore has to equal
    previous: ChainLink | None  # None where the chain begins
    extra_parts: tuple[ExtraPart, ...] = ()  # what the set holds besides the database; only in format 2

    FORMATS: ClassVar = (FORMAT, FORMAT_WITH_EXTRA_PARTS)
    # So that a set without such parts is written as it always was, and every older reader takes it.
    LEFT_OUT_IF_EMPTY: ClassVar = ("extra_parts",)

    def __post_init__(self) -> None:
        require_place(self.klass, self.set)
        if (self.format == FORMAT_WITH_EXTRA_PARTS) != bool(self.extra_parts):
            raise ValueError(f"format {self.format} does not fit {len(self.extra_parts)} extra parts")

    @property
    def stored_parts(self) -> tuple[StoredPart | ExtraPart, ...]:
        """All blobs that the set is made of beside its records."""
        return (*self.parts, *self.extra_parts)


@strict_record
class SetFailure:
    """Why a set was given up, in `failed.json`; signed."""

    format: int
    set: str
    klass: str
    at: datetime  # when it was given up
    error: str  # for people: what made it fail

    def __post_init__(self) -> None:
        require_place(self.klass, self.set)


@strict_record
class SealRecord:
    """That a set was sealed, kept apart from the sets themselves; signed."""

    format: int
    set: str
    klass: str
    sealed: datetime  # when its manifest was written
    sha256: str  # of the manifest's blob
    previous: ChainLink | None  # as in the manifest

    def __post_init__(self) -> None:
        require_place(self.klass, self.set)


def set_folder(klass: str, set_id: str) -> str:
    """Where a set lives in the container `backups`, with a slash at its end."""
    return f"sets/{klass}/{set_id}/"


def part_name(index: int, attempt: str, suffix: str) -> str:
    """`part-0003.<attempt>.archive.zst.age`: an attempt never writes over another."""
    return f"part-{index:04d}.{attempt}{suffix}"


def receipt_name(index: int, attempt: str) -> str:
    """`part-0003.<attempt>.receipt.json`: nobody can take the name before the attempt is over."""
    return f"part-{index:04d}.{attempt}.receipt.json"
