"""The part of a restore that is about users and roles: merged into the target, or only read and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.formats.backupset import NamespaceEntry
from shared.formats.documents import split_documents, tally_documents
from shared.kernel.errors import NotFound
from shared.mongodb.ports import TargetDatabase
from shared.restore.compare import compare_documents
from shared.restore.load import PartReader
from shared.restore.model import RestorePlan


@dataclass
class UsersResult:
    """What came of users and roles; `basis` says for each namespace what was done, as in a verdict."""

    basis: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: dict[str, list[str]] = field(default_factory=dict)


def restore_users(
    target: TargetDatabase, reader: PartReader, plan: RestorePlan, *, write: bool
) -> UsersResult:
    """Put the selected users and roles in place; without `write` they are read and compared only.

    A drill does not write them: the passwords of production have no business on a scratch server.
    Raises Corrupt, Unavailable.
    """
    result = UsersResult()
    entries = {entry.collection: entry for entry in plan.users}
    for part in plan.parts:
        # Collections of users may be in the same part as others; a part without any is not downloaded.
        if not entries.keys() & {name.partition(".")[2] for name in part.namespaces}:
            continue
        documents: dict[str, list[bytes]] = {}
        for event in reader.read_batches(part):
            if event.db == "admin" and event.collection in entries:
                documents.setdefault(event.collection, []).extend(split_documents(event.batch))
        if write:
            _write_documents(target, documents, result)
        else:
            _compare_documents(entries, documents, part.namespaces, result)
    return result


def _write_documents(
    target: TargetDatabase, documents: Mapping[str, list[bytes]], result: UsersResult
) -> None:
    for collection, batch in documents.items():
        name = f"admin.{collection}"
        try:
            result.problems += target.restore_users(collection.removeprefix("system."), batch)
        except NotFound as error:
            # A note and no problem: a provider that manages users itself would otherwise never have a proven
            # restore.
            result.basis[name] = "not restored"
            result.notes.append(f"{name} was not restored: {error}")


def _compare_documents(
    entries: Mapping[str, NamespaceEntry],
    documents: Mapping[str, list[bytes]],
    names: tuple[str, ...],
    result: UsersResult,
) -> None:
    """Users are never cut into ranges, so that the part holds all of a namespace, or nothing."""
    for collection, entry in entries.items():
        if entry.name in names:
            tally = tally_documents(b"".join(documents.get(collection, [])))
            result.basis[entry.name] = "read"
            result.differences[entry.name] = compare_documents(entry, tally)
