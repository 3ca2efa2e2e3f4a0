"""Backup sets as blobs in the container `backups`: listing them by name, reading and verifying their records.

Whoever can write to the container can put anything there. So nothing here says that a set is a backup because
of a name: `catalogue` does, by signatures, times and stored bytes.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeVar

from shared.formats.backupset import CLASSES, SET_ID, BackupPlan, Receipt, SetFailure, set_folder
from shared.formats.extra_parts import ExtraReceipt
from shared.formats.manifest import VerifiedManifest, VerifiedRecord, verify_manifest, verify_record
from shared.kernel.errors import Corrupt, GroundcrewError, NotFound
from shared.kernel.ports import BlobInfo, Blobs
from shared.kernel.timestamps import format_compact

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R", Receipt, ExtraReceipt)

MANIFEST, PLAN, FAILED = "manifest.json", "plan.json", "failed.json"
_ID_FORMAT = "%Y%m%dT%H%M%SZ"
_SET_BLOB = re.compile(rf"sets/({'|'.join(CLASSES)})/({SET_ID.pattern})/([^/]+)", re.ASCII)
# With an id of its own in the name: two workers may dump one part, and neither may write over the other's.
_RECEIPT = re.compile(r"part-\d{4,}\.[0-9A-Za-z-]+\.receipt\.json", re.ASCII)
_EXTRA_RECEIPT = re.compile(r"extra-[a-z0-9-]+\.[0-9A-Za-z-]+\.receipt\.json", re.ASCII)
# Whoever can write may have put a `failed.json` there first: ours then gets another name.
_FAILURE = re.compile(r"failed(\.[0-9a-f]+)?\.json", re.ASCII)
# A manifest of 100,000 namespaces has 60 MiB. More is not ours, and must not fill a worker's memory.
MAX_RECORD_BYTES = 128 << 20


def format_set_id(now: datetime) -> str:
    """`20261123T010000Z`: sorts by time, and is unique since `plan.json` is created only if absent."""
    return format_compact(now)


# Each file of a folder asks anew, and this is the costly part of a listing.
@lru_cache(maxsize=1 << 14)
def parse_set_id(set_id: str) -> datetime:
    """When a set was begun. Raises ValueError for what is no id."""
    return datetime.strptime(set_id, _ID_FORMAT).replace(tzinfo=UTC)


def next_set_id(set_id: str) -> str:
    """The id of a second later."""
    return format_set_id(parse_set_id(set_id) + timedelta(seconds=1))


def parse_folder(where: object) -> tuple[str, str]:
    """The class and the id that `sets/<class>/<id>/` names. Raises Corrupt for anything else."""
    match = _SET_BLOB.fullmatch(f"{where}{PLAN}") if isinstance(where, str) else None
    if match is None or not _is_id(match[2]):
        raise Corrupt("not the folder of a backup set", value=repr(where)[:80])
    return match[1], match[2]


def _is_id(text: str) -> bool:
    try:
        parse_set_id(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class SetInfo:
    """A set as a listing of names shows it. Says nothing about what it is worth."""

    klass: str
    id: str
    files: Mapping[str, BlobInfo]  # by their name below the folder

    @property
    def folder(self) -> str:
        """`sets/<class>/<id>/`."""
        return set_folder(self.klass, self.id)

    @property
    def reference(self) -> str:
        """`<class>/<id>`, as people name it."""
        return f"{self.klass}/{self.id}"

    @property
    def created(self) -> datetime:
        """When it was begun, from its id."""
        return parse_set_id(self.id)

    @property
    def stored_bytes(self) -> int:
        """Of all its files."""
        return sum(blob.stored_bytes for blob in self.files.values())

    @property
    def receipts(self) -> list[str]:
        """The files that are named like a receipt. What a receipt is of, it says itself."""
        return [name for name in sorted(self.files) if _RECEIPT.fullmatch(name)]

    @property
    def extra_receipts(self) -> list[str]:
        """The files that are named like a receipt of an extra part."""
        return [name for name in sorted(self.files) if _EXTRA_RECEIPT.fullmatch(name)]

    @property
    def failures(self) -> list[str]:
        """The files that are named like the record of a failure."""
        return [name for name in sorted(self.files) if _FAILURE.fullmatch(name)]


def list_sets(blobs: Blobs, prefix: str = "sets/") -> list[SetInfo]:
    """All folders named like a set, oldest first; other blobs are ignored."""
    by_set: dict[tuple[str, str], dict[str, BlobInfo]] = {}
    for blob in blobs.list(prefix):
        match = _SET_BLOB.fullmatch(blob.name)
        # The pattern alone takes a 31st of February.
        if match and _is_id(match[2]):
            klass, set_id, file = match.groups()
            # By id first: classes sort by name, sets by time.
            by_set.setdefault((set_id, klass), {})[file] = blob
    return [SetInfo(klass, set_id, files) for (set_id, klass), files in sorted(by_set.items())]


def read_info(blobs: Blobs, klass: str, set_id: str) -> SetInfo:
    """One set; without any files if there is none."""
    listed = list_sets(blobs, set_folder(klass, set_id))
    return listed[0] if listed else SetInfo(klass, set_id, {})


def read_plan(blobs: Blobs, where: str, trusted: Sequence[str]) -> VerifiedRecord[BackupPlan]:
    """`plan.json` of the set in the folder `where`. Raises NotFound, Corrupt, Refused for another's."""
    klass, set_id = parse_folder(where)
    verified = _read_record(blobs, BackupPlan, where + PLAN, trusted)
    _require_same_set(where + PLAN, (verified.record.klass, verified.record.set), (klass, set_id))
    return verified


def read_receipts(
    blobs: Blobs, info: SetInfo, plan: VerifiedRecord[BackupPlan], trusted: Sequence[str]
) -> list[Receipt]:
    """The receipts of this plan; `decide.choose_receipts` chooses among several for one part.

    What is not signed by `trusted`, or belongs to another plan, is logged and ignored: it is not ours.
    """
    return [*_read_own(Receipt, blobs, info, info.receipts, plan, trusted)]


def read_extra_receipts(
    blobs: Blobs, info: SetInfo, plan: VerifiedRecord[BackupPlan], trusted: Sequence[str]
) -> list[ExtraReceipt]:
    """The receipts of this plan's extra parts, as `read_receipts`."""
    return [*_read_own(ExtraReceipt, blobs, info, info.extra_receipts, plan, trusted)]


def _read_own(
    kind: type[R],
    blobs: Blobs,
    info: SetInfo,
    files: Sequence[str],
    plan: VerifiedRecord[BackupPlan],
    trusted: Sequence[str],
) -> Iterator[R]:
    for file in files:
        name = info.folder + file
        try:
            receipt = _read_record(blobs, kind, name, trusted).record
        except GroundcrewError as error:
            if not error.permanent:
                raise
            log.warning("backup.receipt_ignored", extra={"blob": name, "error": str(error)})
            continue
        # Of an earlier set in the same second: its part may be of other documents.
        if receipt.plan_sha256 != plan.sha256:
            log.warning("backup.foreign_receipt_ignored", extra={"blob": name, "error": "of another plan"})
            continue
        yield receipt


def read_manifest(blobs: Blobs, info: SetInfo, trusted: Sequence[str]) -> VerifiedManifest:
    """The manifest of a sealed set, its signature verified, and that it belongs to this folder.

    Raises NotFound for a set that was never sealed, Corrupt, Refused for an unknown signer.
    """
    name = info.folder + MANIFEST
    if MANIFEST not in info.files:
        raise NotFound(
            f"{info.folder} was never sealed: it is not a backup",
            hint="`groundcrew backups list` shows the sets that are.",
        )
    verified = verify_manifest(_read_small(blobs, name), name=name, trusted=trusted)
    # A manifest that was copied, with its valid signature, into another set's folder.
    _require_same_set(name, (verified.manifest.klass, verified.manifest.set), (info.klass, info.id))
    return verified


def read_failure(blobs: Blobs, info: SetInfo, trusted: Sequence[str]) -> SetFailure | None:
    """Why the set was given up; None if it was not, or if only others say so."""
    for file in info.failures:
        try:
            # Signed: whoever can write could call every good set a failed one.
            failure = _read_record(blobs, SetFailure, info.folder + file, trusted).record
            _require_same_set(info.folder + file, (failure.klass, failure.set), (info.klass, info.id))
        except GroundcrewError as error:
            if not error.permanent:
                raise
            log.warning("backup.failure_ignored", extra={"blob": info.folder + file, "error": str(error)})
            continue
        return failure
    return None


def _require_same_set(name: str, record: tuple[str, str], folder: tuple[str, str]) -> None:
    if record != folder:
        raise Corrupt(f"{name} belongs to another set", value="/".join(record))


def _read_record(blobs: Blobs, kind: type[T], name: str, trusted: Sequence[str]) -> VerifiedRecord[T]:
    return verify_record(kind, _read_small(blobs, name), name=name, trusted=trusted)


def _read_small(blobs: Blobs, name: str) -> bytes:
    """A record's bytes, in bounded memory. Raises Corrupt for what is too large to be one."""
    data = bytearray()
    for chunk in blobs.stream(name):
        data += chunk
        if len(data) > MAX_RECORD_BYTES:
            raise Corrupt(f"{name} is too large for a record", value=f"more than {MAX_RECORD_BYTES} bytes")
    return bytes(data)


def stream_stored(blobs: Blobs, name: str, *, chunk_bytes: int = 4 << 20) -> Iterator[bytes]:
    """The stored bytes of a part. Raises Corrupt if the blob does not exist."""
    try:
        yield from blobs.stream(name, chunk_bytes=chunk_bytes)
    except NotFound as error:
        raise Corrupt(f"{name} is missing", hint="The set cannot be restored completely.") from error


def stream_verified(blobs: Blobs, name: str, stored_bytes: int, sha256: str) -> Iterator[bytes]:
    """A part's stored bytes, hashed as they pass; raises Corrupt at the end if the hash differs.

    The last bytes come out before the check, so read it to its end before trusting any of it.
    """
    digest, size = hashlib.sha256(), 0
    for chunk in stream_stored(blobs, name):
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if size != stored_bytes:
        raise Corrupt(f"{name} has the wrong length", value=f"{size} bytes instead of {stored_bytes}")
    if digest.hexdigest() != sha256:
        raise Corrupt(f"{name} was changed", value="its SHA-256 is not the one in the manifest")
