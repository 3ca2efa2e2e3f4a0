"""What a restore deletes again: which documents belong to what was erased on purpose. Pure.

Backups cannot be changed, and people have a right to be forgotten. Both hold if a restore deletes again what
was erased since. Which collections hold what is Rocket.Chat's: deleteUser.ts, deleteMessage.ts and
deleteRoom.ts in apps/meteor/app/lib/server/functions of its repository.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from shared.formats.erasures import ERASURE_KINDS, Erasure

UPLOADS, AVATARS = "rocketchat_uploads", "rocketchat_avatars"
_RECEIPTS, _TRASH = "rocketchat_message_read_receipt", "rocketchat__trash"

# By kind: (collection, field that holds the id). Messages have their edited versions in `parent`, and deleted
# documents lie in the trash.
_DOCUMENTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "user": (
        ("users", "_id"),
        ("usersSessions", "_id"),
        ("rocketchat_subscription", "u._id"),
        ("rocketchat_sessions", "userId"),
        (_RECEIPTS, "userId"),
        (_TRASH, "_id"),
    ),
    "messages": (("rocketchat_message", "u._id"), (_TRASH, "u._id")),
    "room": (
        ("rocketchat_message", "rid"),
        ("rocketchat_subscription", "rid"),
        ("rocketchat_room", "_id"),
        (_RECEIPTS, "roomId"),
        (_TRASH, "rid"),
        (_TRASH, "_id"),
    ),
    "message": (
        ("rocketchat_message", "_id"),
        ("rocketchat_message", "parent"),
        (_RECEIPTS, "messageId"),
        (_TRASH, "_id"),
    ),
    "upload": (),
}
# A room holds a copy of its newest message.
_LAST_MESSAGE: Mapping[str, str] = {"message": "lastMessage._id", "messages": "lastMessage.u._id"}
# By kind where the ids of its files are: (collection, wanted field, field that holds the id, their bucket).
_FILES: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "user": ((AVATARS, "_id", "userId", AVATARS),),
    "messages": (
        ("rocketchat_message", "file._id", "u._id", UPLOADS),
        ("rocketchat_message", "files._id", "u._id", UPLOADS),
        (UPLOADS, "_id", "userId", UPLOADS),
    ),
    "room": ((UPLOADS, "_id", "rid", UPLOADS),),
    "message": (
        ("rocketchat_message", "file._id", "_id", UPLOADS),
        ("rocketchat_message", "files._id", "_id", UPLOADS),
    ),
    "upload": (),
}


@dataclass(frozen=True, slots=True)
class FileLookup:
    """Where ids of files are that belong to what was erased: `wanted`, where `field` is in `ids`."""

    collection: str
    wanted: str
    field: str
    ids: tuple[str, ...]
    bucket: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """The documents whose `field` is in `ids` are deleted; with `unset` they only lose that field."""

    collection: str
    field: str
    ids: tuple[str, ...]
    unset: str = ""


@dataclass(frozen=True, slots=True)
class LedgerReading:
    """What the erasure ledger says; with `reason` it could not be read, and nothing is known."""

    entries: tuple[Erasure, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()  # blobs that are no entries of ours, and why
    reason: str = ""

    def describe(self) -> str:
        """One line for the plan of a restore; empty if there is nothing to say."""
        if self.reason:
            return f"what was erased on purpose comes back: {self.reason}"
        if not self.entries:
            return ""
        kinds = Counter(entry.kind for entry in self.entries)
        listed = ", ".join(f"{kinds[kind]} {kind}" for kind in ERASURE_KINDS if kinds[kind])
        return f"deleted again afterwards, by the erasure ledger: {listed}"


@dataclass
class ErasedAgain:
    """What a restore has deleted again, by `db.collection`."""

    entries: int = 0
    deleted: dict[str, int] = field(default_factory=dict)
    unset: int = 0  # copies of messages that rooms held

    def describe(self) -> str:
        """One line."""
        chunks = sum(count for name, count in self.deleted.items() if name.endswith(".chunks"))
        documents = sum(self.deleted.values()) - chunks
        return (
            f"deleted again by {self.entries} entries of the erasure ledger: {documents} documents,"
            f" {chunks} chunks of files, {self.unset} copies in rooms"
        )


def plan_lookups(entries: Iterable[Erasure]) -> list[FileLookup]:
    """The files to be found before anything is deleted: the documents that name them are among what goes."""
    by_kind = _ids_by_kind(entries)
    return [
        FileLookup(collection, wanted, name, ids, bucket)
        for kind, ids in by_kind.items()
        for collection, wanted, name, bucket in _FILES[kind]
    ]


def plan_deletions(entries: Collection[Erasure], files: Mapping[str, Collection[str]]) -> list[Deletion]:
    """All that goes. `files` are the ids that the lookups found, by bucket."""
    by_kind = _ids_by_kind(entries)
    deletions = [
        Deletion("rocketchat_room", name, by_kind[kind], unset="lastMessage")
        for kind, name in _LAST_MESSAGE.items()
        if kind in by_kind
    ]
    deletions += [
        Deletion(collection, name, ids)
        for kind, ids in by_kind.items()
        for collection, name in _DOCUMENTS[kind]
    ]
    for bucket in (UPLOADS, AVATARS):
        named = by_kind.get("upload", ()) if bucket == UPLOADS else ()
        if ids := tuple(sorted({*named, *files.get(bucket, ())})):
            # The chunks first: a file without them is named by the next check, chunks without a file by none.
            fields = ((f"{bucket}.chunks", "files_id"), (f"{bucket}.files", "_id"), (bucket, "_id"))
            deletions += [Deletion(collection, name, ids) for collection, name in fields]
    return deletions


def _ids_by_kind(entries: Iterable[Erasure]) -> dict[str, tuple[str, ...]]:
    result: dict[str, set[str]] = {}
    for entry in entries:
        result.setdefault(entry.kind, set()).add(entry.subject)
    return {kind: tuple(sorted(result[kind])) for kind in ERASURE_KINDS if kind in result}
