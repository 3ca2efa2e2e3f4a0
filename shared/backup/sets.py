"""Backup sets in the container `backups`: listing, finding, reading and checking them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.formats.backupset import BackupPlan, Receipt, decode_record, receipt_name, set_folder
from shared.formats.manifest import VerifiedManifest, verify_manifest
from shared.kernel.errors import Corrupt, NotFound, Refused, UsageError
from shared.kernel.ports import Blobs

log = logging.getLogger(__name__)

MANIFEST, PLAN, FAILED = "manifest.json", "plan.json", "failed.json"
CLASSES = ("daily", "weekly", "monthly", "manual")
_LINK_CANDIDATES = 10  # sets sealed within one second of each other are listed in any order
_ID_FORMAT = "%Y%m%dT%H%M%SZ"
_SET_BLOB = re.compile(rf"sets/({'|'.join(CLASSES)})/(\d{{8}}T\d{{6}}Z)/([^/]+)")


def format_set_id(now: datetime) -> str:
    """`20261123T010000Z`: sorts by time, and is unique since `plan.json` is created only if absent."""
    return now.strftime(_ID_FORMAT)


def parse_set_id(set_id: str) -> datetime:
    """When a set was begun. Raises ValueError for what is no id."""
    return datetime.strptime(set_id, _ID_FORMAT).replace(tzinfo=UTC)


def _is_id(text: str) -> bool:
    try:
        parse_set_id(text)
    except ValueError:
        return False
    return True


def next_set_id(set_id: str) -> str:
    """The id of a second later."""
    return format_set_id(parse_set_id(set_id) + timedelta(seconds=1))


@dataclass(frozen=True, slots=True)
class SetInfo:
    """A set as a listing of names shows it."""

    klass: str
    id: str
    files: frozenset[str]
    stored_bytes: int
    sealed_at: datetime | None  # when the manifest appeared

    @property
    def folder(self) -> str:
        """`sets/<class>/<id>/`."""
        return set_folder(self.klass, self.id)

    @property
    def created(self) -> datetime:
        """When it was begun, from its id."""
        return parse_set_id(self.id)

    @property
    def state(self) -> str:
        """`sealed`, `failed` or `open`. Only a sealed set is a backup."""
        if MANIFEST in self.files:
            return "sealed"
        return "failed" if FAILED in self.files else "open"


def list_sets(blobs: Blobs) -> list[SetInfo]:
    """All sets, oldest first; blobs that belong to none are ignored."""
    by_set: dict[tuple[str, str], list[tuple[str, int, datetime]]] = {}
    for blob in blobs.list("sets/"):
        match = _SET_BLOB.fullmatch(blob.name)
        if match and _is_id(match[2]):
            klass, set_id, file = match.groups()
            by_set.setdefault((set_id, klass), []).append((file, blob.stored_bytes, blob.last_modified))
    return [
        SetInfo(
            klass,
            set_id,
            frozenset(name for name, _, _ in files),
            sum(size for _, size, _ in files),
            next((at for name, _, at in files if name == MANIFEST), None),
        )
        for (set_id, klass), files in sorted(by_set.items())
    ]


def find_set(blobs: Blobs, reference: str) -> SetInfo:
    """The set named by its id, by `class/id`, or by `latest` (the newest sealed one).

    Raises NotFound, with the newest ids as a hint, or UsageError for a reference that matches several.
    """
    sets = list_sets(blobs)
    sealed = [s for s in sets if s.state == "sealed"]
    if reference == "latest":
        if not sealed:
            raise NotFound("there is no backup", hint="Create one: groundcrew backups create")
        return sealed[-1]
    matching = [s for s in sets if reference.strip("/") in (s.id, f"{s.klass}/{s.id}", s.folder.strip("/"))]
    if len(matching) > 1:
        choices = ", ".join(f"{s.klass}/{s.id}" for s in matching)
        raise UsageError(f"{reference} names several sets", value=choices, hint="Give class/id.")
    if not matching:
        hint = ", ".join(s.id for s in sealed[-3:]) or "none"
        raise NotFound("no such backup set", value=reference, hint=f"The newest are: {hint}.")
    return matching[0]


def read_plan(blobs: Blobs, where: str) -> BackupPlan:
    """`plan.json` of the set in the folder `where`."""
    name = where + PLAN
    return decode_record(BackupPlan, blobs.read(name)[0], name=name)


def read_receipts(blobs: Blobs, plan: BackupPlan) -> dict[int, Receipt]:
    """The receipts that exist, by the number of their part. Raises Corrupt."""
    where = set_folder(plan.klass, plan.set)
    receipts: dict[int, Receipt] = {}
    for index in range(len(plan.parts)):
        name = where + receipt_name(index)
        try:
            receipts[index] = decode_record(Receipt, blobs.read(name)[0], name=name)
        except NotFound:
            continue
    return receipts


def read_manifest(blobs: Blobs, info: SetInfo, trusted: Sequence[str]) -> VerifiedManifest:
    """The manifest of a sealed set, its signature checked, and that it belongs to this folder.

    Raises NotFound for a set that was never sealed, Corrupt, Refused.
    """
    name = info.folder + MANIFEST
    if info.state != "sealed":
        raise NotFound(
            f"{info.folder} was never sealed: it is not a backup",
            value=info.state,
            hint="`groundcrew backups list` shows the sets that are.",
        )
    checked = verify_manifest(blobs.read(name)[0], name=name, trusted=tuple(trusted))
    if (checked.manifest.klass, checked.manifest.set) != (info.klass, info.id):
        value = f"{checked.manifest.klass}/{checked.manifest.set}"
        raise Corrupt(f"{name} is the manifest of another set", value=value)
    return checked


def chain_head(blobs: Blobs, trusted: Sequence[str], *, exclude: str) -> VerifiedManifest | None:
    """The newest valid manifest that no other follows, to be named by the next one.

    `exclude` is the id of the set being sealed. A damaged manifest is logged and skipped: it must not keep
    tonight's set from being sealed.
    """
    sealed = [s for s in list_sets(blobs) if s.sealed_at is not None and s.id != exclude]
    newest = sorted(sealed, key=lambda s: (str(s.sealed_at), s.id))[-_LINK_CANDIDATES:]
    verified: list[VerifiedManifest] = []
    for info in newest:
        try:
            verified.append(read_manifest(blobs, info, trusted))
        except (Corrupt, Refused) as error:
            log.exception("backup.manifest_invalid", extra={"set": info.folder, "error": str(error)})
    followed = {(c.manifest.previous.klass, c.manifest.previous.set) for c in verified if c.manifest.previous}
    ends = [c for c in verified if (c.manifest.klass, c.manifest.set) not in followed]
    return ends[-1] if ends else None


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
