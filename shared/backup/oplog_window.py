"""What of the oplog gets into a set, and what in it makes the dump worthless: read once, at dump time.

What a restore could not replay must not be sealed: the set is begun again, or fails with the reason. Entries
about databases and collections that policy leaves out are not stored, and cannot spoil the dump.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from shared.formats.documents import MAX_OPLOG_ENTRY_BYTES, split_documents
from shared.formats.elements import (
    DOCUMENT,
    find_element,
    join_elements,
    renumber_items,
    split_elements,
    string_value,
)
from shared.kernel.errors import Corrupt, Inconsistent
from shared.mongodb.model import Timestamp
from shared.mongodb.oplog import (
    BUCKETS,
    VIEWS,
    find_hazard,
    read_timestamp,
    skip_torn_start,
    unpack_operations,
)

Includes = Callable[[str, str], bool]  # whether policy includes a database's collection; empty: any of it


def select_entries(batches: Iterable[bytes], start: Timestamp, includes: Includes) -> Iterator[bytes]:
    """The entries to store, one by one.

    They are read as a restore reads them. Raises Inconsistent for one that no restore could replay, such as
    the end of a transaction whose beginning is older than `start`.
    """
    stored: deque[bytes] = deque()
    raw_entries = (raw for batch in batches for raw in split_documents(batch))

    def selected() -> Iterator[bytes]:
        for raw in skip_torn_start(raw_entries, start):
            entry = strip_excluded(raw, includes)
            if entry is not None and not _is_covered(entry, start):
                stored.append(entry)
                yield entry

    try:
        for _ in unpack_operations(selected()):
            while stored:
                yield stored.popleft()
    except Corrupt as error:
        raise _inconsistent(str(error)) from error


def _is_covered(entry: bytes, start: Timestamp) -> bool:
    """Whether an entry may be left out: a hazard right at the start, since the catalogue was read after it.

    Raises Inconsistent for one that came later, and for an entry that is larger than any server's.
    """
    if len(entry) > MAX_OPLOG_ENTRY_BYTES:
        raise _inconsistent(f"an oplog entry of {len(entry)} bytes, which no restore takes")
    reason = find_hazard(entry)
    if reason is None:
        return False
    if read_timestamp(entry) != start:
        raise _inconsistent(reason)
    return True


def _inconsistent(reason: str) -> Inconsistent:
    return Inconsistent(f"the dump cannot be made consistent: {reason}")


def strip_excluded(entry: bytes, includes: Includes) -> bytes | None:
    """The entry without what is about namespaces that policy leaves out; None if nothing is left.

    Of `applyOps` the operations are looked at one by one. A part of a transaction stays, even if empty, so
    that the transaction's parts still belong together. Raises Corrupt.
    """
    if string_value(find_element(entry, b"op")) != "c":
        return entry if _is_included(entry, includes) else None
    body = find_element(entry, b"o")
    if body is None or body.type != DOCUMENT:
        raise Corrupt("an oplog entry is malformed")
    operations = find_element(body.value, b"applyOps")
    if operations is None:
        return entry if _is_included(entry, includes) else None
    items = list(split_elements(operations.value))
    values = [strip_excluded(item.value, includes) for item in items]
    stripped = [i._replace(value=v) for i, v in zip(items, values, strict=True) if v is not None]
    if stripped == items:
        return entry
    if not stripped and find_element(entry, b"prevOpTime") is None:
        return None
    return _replace_field(entry, b"o", _replace_field(body.value, b"applyOps", renumber_items(stripped)))


def _replace_field(document: bytes, name: bytes, value: bytes) -> bytes:
    return join_elements(e._replace(value=value) if e.name == name else e for e in split_elements(document))


def _is_included(entry: bytes, includes: Includes) -> bool:
    """Whether policy includes what a write or a command is about. What is nobody's data is included."""
    db, _, collection = string_value(find_element(entry, b"ns")).partition(".")
    if not db:
        return True
    if collection != "$cmd":
        return includes(db, _visible_name(entry, collection))
    body = find_element(entry, b"o")
    first = next(split_elements(body.value), None) if body is not None and body.type == DOCUMENT else None
    subjects = [string_value(first), string_value(find_element(body.value, b"to"))] if first and body else []
    if first is not None and first.name == b"renameCollection":
        # A rename out of what is left out brings documents that no dump holds: one side included is enough.
        return any(includes(*_split_name(name)) for name in subjects)
    return includes(db, _collection_name(subjects[0]) if subjects else "")


def _split_name(name: str) -> tuple[str, str]:
    db, _, collection = name.partition(".")
    return db, _collection_name(collection)


def _visible_name(entry: bytes, collection: str) -> str:
    """The collection as a user names it: the view, the time-series collection."""
    if collection != VIEWS:
        return _collection_name(collection)
    document = find_element(entry, b"o2") or find_element(entry, b"o")
    name = string_value(find_element(document.value, b"_id")) if document else ""
    return name.partition(".")[2]


def _collection_name(collection: str) -> str:
    return collection.removeprefix(BUCKETS)
