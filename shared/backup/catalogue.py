"""What the sets in storage are worth: the one place that says which is the newest good backup.

Health, the gates of a deploy, power, `latest`, retention and the status ask here. A set is good if a trusted
signer signed its manifest, its time is plausible, its parts are stored with their sizes, and the seal log
does not say otherwise. What is not ours is listed as foreign and takes part in nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.backup.seals import SealLog
from shared.backup.sets import (
    MANIFEST,
    PLAN,
    SetInfo,
    list_sets,
    parse_set_id,
    read_failure,
    read_manifest,
    read_plan,
)
from shared.formats.backupset import ChainLink, Manifest, SealRecord, set_folder
from shared.formats.manifest import VerifiedManifest
from shared.kernel.errors import Corrupt, NotFound, Refused, UsageError
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import format_minute

MANUAL = "manual"  # the class of sets that people ask for
# By how much the clocks of a worker, of the storage and of a reader may differ.
CLOCK_SKEW = timedelta(minutes=15)


class SetState(StrEnum):
    """What a set is worth. Only a sealed one is a backup."""

    SEALED = "sealed"  # signed by a trusted signer, and all of it is stored
    OPEN = "open"  # being made
    FAILED = "failed"  # given up, with the reason on record
    DAMAGED = "damaged"  # ours, but something of it was changed or is missing
    FOREIGN = "foreign"  # not signed by a trusted signer
    MISDATED = "misdated"  # dated after now, or after it was stored


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A set, what it is worth, and why if it is not good."""

    info: SetInfo
    state: SetState
    problem: str = ""
    verified: VerifiedManifest | None = None  # the manifest of a sealed set

    @property
    def manifest(self) -> Manifest:
        """Of a sealed set. Raises NotFound for any other, with the reason."""
        return self._sealed.manifest

    @property
    def link(self) -> ChainLink:
        """By which the next set's manifest names this one. Raises NotFound if it is not sealed."""
        return ChainLink(self.info.id, self.info.klass, self._sealed.sha256)

    @property
    def _sealed(self) -> VerifiedManifest:
        if self.verified is None:
            raise NotFound(
                f"{self.info.folder} is {self.state}: it is not a backup", value=self.problem or None
            )
        return self.verified

    @property
    def sealed_at(self) -> datetime | None:
        """When the storage took the manifest of a sealed set."""
        return self.info.files[MANIFEST].last_modified if self.state is SetState.SEALED else None


@dataclass(frozen=True, slots=True)
class NightlyProgress:
    """How far the nightly backup is."""

    begun: datetime | None  # of the newest set that is a backup, or may become one
    sealed_at: datetime | None  # of the newest good one


@dataclass(frozen=True)
class SetCatalogue:
    """Reads sets and says what they are worth.

    `trusted` are the public keys of the signers to accept. Empty accepts any, which only a person at a
    command line may decide, and must be told. Without `seals` sets are not compared with the seal log.
    """

    blobs: Blobs
    clock: Clock
    trusted: Sequence[str]
    seals: SealLog | None = None

    def entries(self, *, since: datetime | None = None) -> list[CatalogueEntry]:
        """All sets, oldest first; with `since` those begun from then on."""
        infos = [info for info in list_sets(self.blobs) if since is None or info.created >= since]
        return [self.examine(info) for info in infos]

    def newest_first(self, *, manual: bool = True, until: datetime | None = None) -> Iterator[CatalogueEntry]:
        """The sets, newest first, each examined when it is asked for; with `until` those begun by then."""
        for info in reversed(list_sets(self.blobs)):
            if (manual or info.klass != MANUAL) and (until is None or info.created <= until):
                yield self.examine(info)

    def newest_good(self, *, manual: bool = True) -> CatalogueEntry | None:
        """The newest good backup; None if there is none."""
        for info in reversed(list_sets(self.blobs)):
            # Without a manifest nothing is sealed: an open or a failed set is not read to learn that.
            if MANIFEST in info.files and (manual or info.klass != MANUAL):
                entry = self.examine(info)
                if entry.state is SetState.SEALED:
                    return entry
        return None

    def newer_problems(self, entry: CatalogueEntry) -> list[str]:
        """Why sets newer than this one are no backups, for whoever is given it as the latest."""
        problems: list[str] = []
        for newer in self.newest_first():
            if newer.info == entry.info:
                break
            if newer.state in (SetState.DAMAGED, SetState.FOREIGN, SetState.MISDATED):
                problems.append(f"{newer.info.folder} is {newer.state}: {newer.problem}")
        head = self.head_problem()
        return [*problems, head] if head and head not in problems else problems

    def nightly_progress(self) -> NightlyProgress:
        """How far the nightly backup is; reads no further back than to the newest good set."""
        begun: datetime | None = None
        for entry in self.newest_first(manual=False):
            if begun is None and entry.state in (SetState.SEALED, SetState.OPEN):
                begun = entry.info.created
            if entry.state is SetState.SEALED:
                return NightlyProgress(begun, entry.sealed_at)
        return NightlyProgress(begun, None)

    def find(self, reference: str) -> CatalogueEntry:
        """The set named by its id, by `class/id`, by its folder, or by `latest` (the newest good one).

        Raises NotFound, with the newest good ids as a hint, or UsageError for a reference to several.
        """
        if reference == "latest":
            if newest := self.newest_good():
                return newest
            raise NotFound("there is no backup", hint="Create one: groundcrew backups create")
        names = reference.strip("/")
        matching = [s for s in list_sets(self.blobs) if names in (s.id, s.reference, s.folder.strip("/"))]
        if len(matching) > 1:
            choices = ", ".join(s.reference for s in matching)
            raise UsageError(f"{reference} names several sets", value=choices, hint="Give class/id.")
        if not matching:
            raise NotFound(
                "no such backup set", value=reference, hint=f"The newest are: {self._newest_ids()}."
            )
        return self.examine(matching[0])

    def _newest_ids(self) -> str:
        sealed = (e.info.id for e in self.newest_first() if e.state is SetState.SEALED)
        return ", ".join(id_ for _, id_ in zip(range(3), sealed, strict=False)) or "none"

    def examine(self, info: SetInfo) -> CatalogueEntry:
        """What one set is worth. Raises Unavailable and its like if that cannot be found out."""
        if MANIFEST in info.files:
            return self._examine_sealed(info)
        return self._examine_open(info)

    def _examine_sealed(self, info: SetInfo) -> CatalogueEntry:
        try:
            verified = read_manifest(self.blobs, info, self.trusted)
        except (Corrupt, Refused, NotFound) as error:
            # Its plan tells a manifest of ours that was damaged from a set that never was ours.
            if not self._is_ours(info):
                return CatalogueEntry(info, SetState.FOREIGN, str(error))
            failure = read_failure(self.blobs, info, self.trusted)
            if failure is not None:
                return CatalogueEntry(info, SetState.FAILED, failure.error)
            return CatalogueEntry(info, SetState.DAMAGED, str(error))
        if problem := self._misdated(info, MANIFEST, verified.manifest.created):
            return CatalogueEntry(info, SetState.MISDATED, problem)
        if problem := _stored_problem(info, verified.manifest) or self._seal_problem(info, verified.sha256):
            return CatalogueEntry(info, SetState.DAMAGED, problem)
        return CatalogueEntry(info, SetState.SEALED, "", verified)

    def _examine_open(self, info: SetInfo) -> CatalogueEntry:
        if problem := self._seal_problem(info, ""):
            return CatalogueEntry(info, SetState.DAMAGED, problem)
        try:
            plan = read_plan(self.blobs, info.folder, self.trusted).record
        except (Corrupt, Refused, NotFound) as error:
            return CatalogueEntry(info, SetState.FOREIGN, str(error))
        if problem := self._misdated(info, PLAN, plan.created):
            return CatalogueEntry(info, SetState.MISDATED, problem)
        failure = read_failure(self.blobs, info, self.trusted)
        if failure is not None:
            return CatalogueEntry(info, SetState.FAILED, failure.error)
        return CatalogueEntry(info, SetState.OPEN)

    def _is_ours(self, info: SetInfo) -> bool:
        if self.seals is not None and self.seals.find(info.klass, info.id):
            return True
        try:
            read_plan(self.blobs, info.folder, self.trusted)
        except (Corrupt, Refused, NotFound):
            return False
        return True

    def _misdated(self, info: SetInfo, file: str, created: datetime) -> str:
        """Why the time cannot be right; a wrong one must not become right by waiting.

        The storage's clock is not the writer's: a set cannot be stored before it was begun.
        """
        if info.created > self.clock.now() + CLOCK_SKEW:
            return f"dated in the future: {info.id}"
        if info.created > info.files[file].last_modified + CLOCK_SKEW:
            return f"dated {info.id}, but stored at {format_minute(info.files[file].last_modified)}"
        if abs(created - info.created) > CLOCK_SKEW:
            return f"dated {info.id}, but {file} says {format_minute(created)}"
        return ""

    def _seal_problem(self, info: SetInfo, sha256: str) -> str:
        """How the set differs from its entry in the seal log; empty if it does not, or has none."""
        record = self.seals.find(info.klass, info.id) if self.seals is not None else None
        if record is None:
            return ""
        if record.sha256 == sha256:
            return _rewritten_part(info)
        what = "its manifest is missing" if not sha256 else "its manifest is another"
        return f"{info.folder} was sealed at {format_minute(record.sealed)}, but {what}"

    def missing(self, retained_since: Mapping[str, datetime]) -> list[str]:
        """Sets of the seal log that are not stored, or have no manifest any more, although policy keeps them.

        `retained_since` says for each class since when all sets must exist. Without a seal log nothing can be
        said, and nothing is.
        """
        if self.seals is None:
            return []
        stored = {(info.klass, info.id): MANIFEST in info.files for info in list_sets(self.blobs)}
        missing = [place for place in self.seals.places() if not stored.get(place)]
        retained = [
            (k, i) for k, i in missing if k in retained_since and parse_set_id(i) >= retained_since[k]
        ]
        # Only for these entries are read: what is not signed is no entry.
        records = [record for klass, set_id in retained if (record := self.seals.find(klass, set_id))]
        return [_describe_missing(record, stored.get((record.klass, record.set))) for record in records]

    def head_problem(self) -> str:
        """What is wrong with the set that was sealed last according to the seal log; empty if nothing is.

        Expired sets are no problem, but the newest never expires: it is missing because it was deleted.
        """
        head = self.seals.head() if self.seals is not None else None
        if head is None:
            return ""
        where = set_folder(head.klass, head.set)
        info = next(iter(list_sets(self.blobs, where)), None)
        if info is None:
            return f"{where}, sealed at {format_minute(head.sealed)}, is missing"
        entry = self.examine(info)
        return "" if entry.state is SetState.SEALED else f"{where} is {entry.state}: {entry.problem}"


def _describe_missing(record: SealRecord, stored: bool | None) -> str:
    where = set_folder(record.klass, record.set)
    lost = "is missing" if stored is None else "has no manifest any more"
    return f"{where} was sealed at {format_minute(record.sealed)} and {lost}"


def _rewritten_part(info: SetInfo) -> str:
    """Which part was written after the manifest, where the set was made; a copy's times say nothing."""
    sealed_at = info.files[MANIFEST].last_modified
    later = [name for name, blob in info.files.items() if blob.last_modified > sealed_at and _is_part(name)]
    return f"{info.folder}{min(later)} was written after the set was sealed" if later else ""


def _is_part(name: str) -> bool:
    return name.startswith(("part-", "extra-")) and name.endswith(".age")


def _stored_problem(info: SetInfo, manifest: Manifest) -> str:
    """Which part of a sealed set is not stored with its size; its bytes are what `verify` reads."""
    for part in manifest.stored_parts:
        blob = info.files.get(part.blob)
        if blob is None:
            return f"{info.folder}{part.blob} is missing"
        if blob.stored_bytes != part.stored_bytes:
            return f"{info.folder}{part.blob} has {blob.stored_bytes} bytes instead of {part.stored_bytes}"
    return ""
