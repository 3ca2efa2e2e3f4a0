"""The oplog as a restore needs it: which entries spoil a dump, and what entries amount to, one by one.

Entries are raw BSON and stay so. Sources: mongo-tools (mongodump/oplog_dump.go, mongorestore/oplog.go,
common/txn/meta.go) for what is skipped, what aborts and how transactions hang together; mongo
(src/mongo/db/repl/oplog.cpp) for the commands. The embedded server's dialect differs: it writes transactions
as plain entries, does not log that an insert made its collection, and lists indexes in `createIndexes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from shared.formats.elements import (
    find_element,
    join_elements,
    split_elements,
    string_value,
)
from shared.kernel.errors import Corrupt
from shared.mongodb.entries import (
    REPLAYED_OPS,
    OplogEntry,
    apply_ops_entries,
    command_name,
    is_internal,
    is_true,
    parse_entry,
)
from shared.mongodb.entries import read_timestamp as read_timestamp
from shared.mongodb.indexes import parse_index_change
from shared.mongodb.model import IndexChange, Timestamp

VIEWS, BUCKETS = "system.views", "system.buckets."
_HAZARDOUS_COMMANDS = (
    "renameCollection",
    "importCollection",
    "reshardCollection",
    "upgradeDowngradeViewlessTimeseries",
)
INDEX_COMMANDS = (
    "createIndexes",
    "commitIndexBuild",
    "dropIndexes",
    "dropIndex",
    "deleteIndexes",
    "deleteIndex",
)
# What a server does for itself: index builds count when they are committed, and the first phase of a drop is
# the drop. As mongorestore skips them (mongorestore/oplog.go).
_IGNORED_COMMANDS = ("startIndexBuild", "abortIndexBuild", "dbCheck", "setMultikeyMetadata", "dropIdent")
REPLAYABLE_COMMANDS = (
    "create",
    "drop",
    "dropDatabase",
    "collMod",
    "convertToCapped",
    "emptycapped",
    "renameCollection",
)
_TRANSACTION_COMMANDS = ("applyOps", "commitTransaction", "abortTransaction")
_KNOWN_COMMANDS = (*REPLAYABLE_COMMANDS, *INDEX_COMMANDS, *_IGNORED_COMMANDS, *_TRANSACTION_COMMANDS)
# Collection options that say how the source's cluster works: a target decides that for itself.
CLUSTER_OPTIONS = ("recordIdsReplicated",)
# Of storage engines that no server has any more.
_OBSOLETE_MODIFIERS = ("noPadding", "usePowerOf2Sizes")
# These name a whole namespace, `db.collection`, where the others name a collection.
_FULL_NAME_COMMANDS = ("renameCollection", "importCollection", "truncateRange")
# Kinds of entries that change nothing that a client can see.
_IGNORED_OPS = ("n", "ci", "cd", "cu", "km")


@dataclass(frozen=True, slots=True)
class Operation:
    """One change: `o` and `o2` are raw documents (`o2` may be empty).

    `op` is `i`, `u`, `d` or `c`, or a kind that we do not know and no replay can apply. `at` is the entry's
    timestamp, as `Timestamp` prints it.
    """

    op: str
    db: str
    collection: str
    o: bytes
    o2: bytes
    at: str

    @property
    def name(self) -> str:
        """`db.collection`; for a command the collection it is about, `db.` for the whole database."""
        return f"{self.db}.{self.collection}"

    @property
    def command(self) -> str:
        """The command's name; empty for writes."""
        return command_name(self.o) if self.op == "c" else ""

    @property
    def subject(self) -> str:
        """The namespace that a user would say is changed: the view, the time-series collection."""
        if self.collection == VIEWS and self.op != "c":
            # The document's `_id` is `db.view`; of the two databases only the entry's own is written to.
            _, _, view = string_value(find_element(self.o2 or self.o, b"_id")).partition(".")
            return f"{self.db}.{view}"
        return f"{self.db}.{self.collection.removeprefix(BUCKETS)}"

    @property
    def subjects(self) -> tuple[str, ...]:
        """All namespaces that are changed: of a rename both."""
        if self.command != "renameCollection":
            return (self.subject,)
        db, _, collection = string_value(find_element(self.o, b"to")).partition(".")
        # `$out` into a time series renames buckets, and whose they are is told by the collection's own name.
        return (self.subject, f"{db}.{collection.removeprefix(BUCKETS)}")


def find_hazard(entry: bytes, *, renames: bool = False) -> str | None:
    """Why a dump whose window holds this entry is worthless, or None. Raises Corrupt.

    With `renames` a rename is none: what follows a dump is replayed on a state of one moment, and so can be
    renamed, while in the dump's own window nobody knows under which name a document was read.
    """
    op, namespace = string_value(find_element(entry, b"op")), string_value(find_element(entry, b"ns"))
    if op in _IGNORED_OPS:
        return None
    # As mongodump has it: users and roles of another schema cannot be replayed on those of the dump.
    if namespace == "admin.system.version":
        return "the server's version document was changed"
    if op not in REPLAYED_OPS and not is_internal(namespace):
        return f"an entry of an unknown kind, {op or 'none'}, in {namespace}"
    if op != "c":
        return None
    body = parse_entry(entry, "").o
    command = command_name(body)
    if command == "applyOps":
        inner = (find_hazard(one, renames=renames) for one in apply_ops_entries(body, ""))
        return next(filter(None, inner), None)
    if renames and command == "renameCollection":
        return None
    subject = string_value(next(split_elements(body), None))
    if command in _HAZARDOUS_COMMANDS:
        return f"{command} of {subject or namespace}"
    if command == "create" and namespace.startswith("config.") and "resharding" in subject.lower():
        return f"resharding, which made {subject}"
    if command not in _KNOWN_COMMANDS and not is_internal(namespace):
        return f"{command} of {subject or namespace}, which no restore can replay"
    return None


def skip_torn_start(entries: Iterable[bytes], start: Timestamp) -> Iterator[bytes]:
    """The entries without the first one, if it ends a transaction that began before it.

    The dump began after that entry was written, so it shows what the transaction did. Raises Corrupt.
    """
    for position, raw in enumerate(entries):
        if position or read_timestamp(raw) != start or not _ends_earlier_transaction(raw):
            yield raw


def _ends_earlier_transaction(raw: bytes) -> bool:
    entry = parse_entry(raw, "")
    if entry.op != "c":
        return False
    command = command_name(entry.o)
    # Neither the last part nor a commit: what ends the transaction comes later, and brings these parts with
    # it.
    unfinished = is_true(entry.o, b"partialTxn") or is_true(entry.o, b"prepare")
    return command == "commitTransaction" or (command == "applyOps" and entry.continues and not unfinished)


def unpack_operations(entries: Iterable[bytes]) -> Iterator[Operation | None]:
    """The changes that raw entries amount to, in order; None for each entry that changes nothing.

    Transactions are unpacked when they are complete: their parts share `lsid` and `txnNumber`, all but the
    last say `partialTxn`, prepared ones wait for their commit, aborted ones never happened.
    Raises Corrupt for a malformed entry, and for the end of a transaction that began before the first entry.
    """
    # By session and number: parts of several transactions stand between each other.
    waiting: dict[bytes, list[Operation]] = {}
    for raw in entries:
        at = str(read_timestamp(raw))
        operations = _expand_entry(parse_entry(raw, at), at, waiting)
        yield from operations
        if not operations:
            yield None


def strip_index_changes(operation: Operation) -> Operation | None:
    """What of a command is left for the target to do; None if nothing.

    Indexes are built at the end, and options of the source's cluster are not restored.
    """
    command = operation.command
    if command in INDEX_COMMANDS:
        return None
    if command not in ("create", "collMod"):
        return operation
    ignored = CLUSTER_OPTIONS if command == "create" else (*_OBSOLETE_MODIFIERS, "index")
    fields = [e for e in split_elements(operation.o) if e.name.decode("utf-8", "replace") not in ignored]
    # Only the command itself is left: a server refuses a collMod that changes nothing.
    if command == "collMod" and len(fields) < 2:
        return None
    return replace(operation, o=join_elements(fields))


def is_replayable(operation: Operation) -> bool:
    """Whether a target can do this. Others must not reach it: a server might take a source's record ids."""
    return operation.command in REPLAYABLE_COMMANDS if operation.op == "c" else operation.op in REPLAYED_OPS


def extract_index_change(operation: Operation) -> IndexChange | None:
    """What a command does to indexes, or None if it is about something else. Raises Corrupt."""
    return parse_index_change(operation.command, operation.name, operation.o)


def _expand_entry(entry: OplogEntry, at: str, waiting: dict[bytes, list[Operation]]) -> list[Operation]:
    if entry.op in _IGNORED_OPS or is_internal(entry.namespace):
        return []
    if entry.op != "c":
        return [_write_operation(entry, at)]
    command = command_name(entry.o)
    if command == "applyOps":
        inner = list(_expand_apply_ops(entry.o, at))
        torn = entry.continues and entry.transaction not in waiting
        if is_true(entry.o, b"partialTxn") or is_true(entry.o, b"prepare"):
            if not torn:  # else its end will be told, unless it was aborted
                waiting.setdefault(entry.transaction, []).extend(inner)
            return []
        if torn:
            # Half of a transaction is a state that the source never had.
            raise Corrupt("a transaction began before the first oplog entry", value=at)
        return waiting.pop(entry.transaction, []) + inner
    # Its parts were collected until now; of what was rolled back nothing may reach the target.
    if command == "abortTransaction":
        waiting.pop(entry.transaction, None)
        return []
    if command == "commitTransaction":
        if entry.transaction not in waiting:
            raise Corrupt("a transaction is committed that was never prepared", value=at)
        return waiting.pop(entry.transaction)
    return _command_operation(entry, at)


def _expand_apply_ops(body: bytes, at: str) -> Iterator[Operation]:
    for raw in apply_ops_entries(body, at):
        entry = parse_entry(raw, at)
        if entry.op in _IGNORED_OPS or is_internal(entry.namespace):
            continue
        if entry.op != "c":
            yield _write_operation(entry, at)
        elif command_name(entry.o) == "applyOps":
            yield from _expand_apply_ops(entry.o, at)
        else:
            yield from _command_operation(entry, at)


def _write_operation(entry: OplogEntry, at: str) -> Operation:
    db, _, collection = entry.namespace.partition(".")
    return Operation(entry.op, db, collection, entry.o, entry.o2, at)


def _command_operation(entry: OplogEntry, at: str) -> list[Operation]:
    if command_name(entry.o) in _IGNORED_COMMANDS:
        return []
    subject = string_value(next(split_elements(entry.o)))
    if command_name(entry.o) in _FULL_NAME_COMMANDS:
        db, _, collection = subject.partition(".")
        return [Operation("c", db, collection, entry.o, b"", at)]
    return [Operation("c", entry.namespace.partition(".")[0], subject, entry.o, b"", at)]
