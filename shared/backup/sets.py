"""Backup sets as they lie in the container `backups`: finding, reading and checking them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.formats.backupset import Plan, Receipt, folder, load, receipt_name
from shared.formats.manifest import Checked, check
from shared.kernel.errors import Corrupt, NotFound, Refused, UsageError
from shared.kernel.ports import Blobs

log = logging.getLogger(__name__)

MANIFEST, PLAN, FAILED = "manifest.json", "plan.json", "failed.json"
CLASSES = ("daily", "weekly", "monthly", "manual")
_LINK_CANDIDATES = 10  # sets sealed within one second of each other are listed in any order
_ID_FORMAT = "%Y%m%dT%H%M%SZ"
_PLACE = re.compile(rf"sets/({'|'.join(CLASSES)})/(\d{{8}}T\d{{6}}Z)/([^/]+)")


def new_id(now: datetime) -> str:
    """`20261123T010000Z`: sorts by time, and is unique since `plan.json` is created only if absent."""
    return now.strftime(_ID_FORMAT)


def begun(set_id: str) -> datetime:
    """When a set was begun. Raises ValueError for what is no id."""
    return datetime.strptime(set_id, _ID_FORMAT).replace(tzinfo=UTC)


def _is_id(text: str) -> bool:
    try:
        begun(text)
    except ValueError:
        return False
    return True


def next_id(set_id: str) -> str:
    """The id of a second later."""
    return new_id(begun(set_id) + timedelta(seconds=1))


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
        return folder(self.klass, self.id)

    @property
    def created(self) -> datetime:
        """When it was begun, from its id."""
        return begun(self.id)

    @property
    def state(self) -> str:
        """`sealed`, `failed` or `open`. Only a sealed set is a backup."""
        if MANIFEST in self.files:
            return "sealed"
        return "failed" if FAILED in self.files else "open"


def list_sets(blobs: Blobs) -> list[SetInfo]:
    """All sets, oldest first; blobs that are not part of one are left alone."""
    found: dict[tuple[str, str], list[tuple[str, int, datetime]]] = {}
    for blob in blobs.list("sets/"):
        place = _PLACE.fullmatch(blob.name)
        if place and _is_id(place[2]):
            klass, set_id, file = place.groups()
            found.setdefault((set_id, klass), []).append((file, blob.stored_bytes, blob.last_modified))
    return [
        SetInfo(
            klass,
            set_id,
            frozenset(name for name, _, _ in files),
            sum(size for _, size, _ in files),
            next((at for name, _, at in files if name == MANIFEST), None),
        )
        for (set_id, klass), files in sorted(found.items())
    ]


def find(blobs: Blobs, reference: str) -> SetInfo:
    """The set named by its id, by `class/id`, or by `latest` (the newest sealed one).

    Raises NotFound, with the newest ids as a hint, or UsageError for a reference that fits several.
    """
    sets = list_sets(blobs)
    sealed = [s for s in sets if s.state == "sealed"]
    if reference == "latest":
        if not sealed:
            raise NotFound("there is no backup", hint="Make one: groundcrew backups create")
        return sealed[-1]
    fitting = [s for s in sets if reference.strip("/") in (s.id, f"{s.klass}/{s.id}", s.folder.strip("/"))]
    if len(fitting) > 1:
        choices = ", ".join(f"{s.klass}/{s.id}" for s in fitting)
        raise UsageError(f"{reference} names several sets", value=choices, hint="Give class/id.")
    if not fitting:
        hint = ", ".join(s.id for s in sealed[-3:]) or "none"
        raise NotFound("no such backup set", value=reference, hint=f"The newest are: {hint}.")
    return fitting[0]


def read_plan(blobs: Blobs, where: str) -> Plan:
    """`plan.json` of the set in the folder `where`."""
    name = where + PLAN
    return load(Plan, blobs.read(name)[0], name=name)


def read_receipts(blobs: Blobs, plan: Plan) -> dict[int, Receipt]:
    """The receipts there are, by part."""
    where = folder(plan.klass, plan.set)
    found: dict[int, Receipt] = {}
    for index in range(len(plan.parts)):
        name = where + receipt_name(index)
        try:
            found[index] = load(Receipt, blobs.read(name)[0], name=name)
        except NotFound:
            continue
    return found


def read_manifest(blobs: Blobs, info: SetInfo, trusted: Sequence[str]) -> Checked:
    """The manifest of a sealed set, its signature checked, and that it belongs to this folder.

    Raises NotFound for a set that was never sealed, Corrupt, Refused.
    """
    name = info.folder + MANIFEST
    if info.state != "sealed":
        raise NotFound(
            f"{info.folder} was never sealed: it is no backup",
            value=info.state,
            hint="`groundcrew backups list` shows the sets that are.",
        )
    checked = check(blobs.read(name)[0], name=name, trusted=tuple(trusted))
    if (checked.manifest.klass, checked.manifest.set) != (info.klass, info.id):
        value = f"{checked.manifest.klass}/{checked.manifest.set}"
        raise Corrupt(f"{name} is the manifest of another set", value=value)
    return checked


def newest_link(blobs: Blobs, trusted: Sequence[str], *, but: str) -> Checked | None:
    """The sound manifest that nobody follows yet, to be named by the next one; `but` is the set being sealed.

    A damaged one is told and passed over: it must not keep tonight's backup from being one.
    """
    sealed = [s for s in list_sets(blobs) if s.sealed_at is not None and s.id != but]
    newest = sorted(sealed, key=lambda s: (str(s.sealed_at), s.id))[-_LINK_CANDIDATES:]
    found: list[Checked] = []
    for info in newest:
        try:
            found.append(read_manifest(blobs, info, trusted))
        except (Corrupt, Refused) as error:
            log.exception("sets.manifest_damaged", extra={"set": info.folder, "error": str(error)})
    followed = {(c.manifest.previous.klass, c.manifest.previous.set) for c in found if c.manifest.previous}
    ends = [c for c in found if (c.manifest.klass, c.manifest.set) not in followed]
    return ends[-1] if ends else None


def stored(blobs: Blobs, name: str, *, chunk_bytes: int = 4 << 20) -> Iterator[bytes]:
    """The stored bytes of a part that must be there: raises Corrupt if it is not."""
    try:
        yield from blobs.stream(name, chunk_bytes=chunk_bytes)
    except NotFound as error:
        raise Corrupt(f"{name} is missing", hint="The set cannot be restored whole.") from error


def pinned(blobs: Blobs, name: str, stored_bytes: int, sha256: str) -> Iterator[bytes]:
    """A part's stored bytes, hashed on their way; raises Corrupt at their end if they are not those.

    So the last bytes are given out before the check: consume it whole before you trust any of it.
    """
    digest, size = hashlib.sha256(), 0
    for chunk in stored(blobs, name):
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if size != stored_bytes:
        raise Corrupt(f"{name} has the wrong length", value=f"{size} bytes instead of {stored_bytes}")
    if digest.hexdigest() != sha256:
        raise Corrupt(f"{name} was changed", value="its SHA-256 is not the manifest's")
