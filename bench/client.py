"""`python -m bench.client ACTION URI …`: ours, in a process of its own, beside those of `bench.pipelines`.

`dump URI LEVEL RECIPIENT` writes the stored bytes to standard output, and `pack` the same with indexes and an
oplog, to be restored. `load URI FILE IDENTITY` inserts what such a file holds; `restore` reads it back and
compares, replays the oplog and builds the indexes, too, in the order of a restore. All end with one line of
JSON on standard error. The clock starts at the first connection: a worker runs already when a backup begins.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import bson
from bson.timestamp import Timestamp

from shared.adapters.mongodb.client import connect
from shared.adapters.mongodb.source import MongoSource
from shared.adapters.mongodb.target import MongoTarget
from shared.formats.agekeys import parse_identities, parse_recipient
from shared.formats.archive import OPLOG, ArchiveHeader, ArchiveWriter, PreludeEntry
from shared.formats.archive_reader import ArchiveReader, DocumentBatch
from shared.formats.documents import TalliedBatch, split_documents
from shared.formats.envelope import PartWriter, read_part
from shared.kernel.overlap import read_ahead
from shared.mongodb.model import IdRange, Namespace
from shared.restore.parallel import BatchWorkers, run_parallel
from shared.restore.read_back import tally_collection

Sizes = Counter[tuple[str, str]]  # bytes by database and collection

_READ_BYTES = 4 << 20
_CONNECTIONS = 2
_REPLAYED = 10_000  # messages sent while a dump of a gigabyte runs: more than a busy server has
_ID_INDEX = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
_INDEX = {"v": 2, "key": {"rid": 1, "ts": 1}, "name": "rid_1_ts_1"}


def dump(uri: str, level: int, recipient: str, *, packed: bool = False) -> int:
    """Bytes of the plain archive; `packed` with indexes and an oplog."""
    source = MongoSource(connect(uri))
    namespaces = source.list_namespaces()
    metadata = json.dumps({"options": {}, "indexes": [_ID_INDEX, _INDEX]}) if packed else "{}"
    prelude = [PreludeEntry(n.db, n.collection, metadata) for n in namespaces]
    part = PartWriter(
        sys.stdout.buffer.write, [parse_recipient(recipient)], level=level, threads=3, checksum=False
    )
    header = ArchiveHeader(source.read_server_version(), "groundcrew bench")
    writer = ArchiveWriter(part.write, header, prelude + [PreludeEntry(*OPLOG, "", "")] * packed)
    ended = 0
    for number, batch in read_ahead(_read_all(source, namespaces)):
        for namespace in namespaces[ended:number]:
            writer.end(namespace.db, namespace.collection)
        ended = number
        writer.tallied_documents(namespaces[number].db, namespaces[number].collection, batch)
    for namespace in namespaces[ended:]:
        writer.end(namespace.db, namespace.collection)
    if packed:
        writer.documents(*OPLOG, b"".join(_list_entries(namespaces[-1].db)))
        writer.end(*OPLOG)
    writer.finish()
    return part.finish().plain_bytes


def _read_all(source: MongoSource, namespaces: Sequence[Namespace]) -> Iterator[tuple[int, TalliedBatch]]:
    """As a part's collections are read: each batch with the place of its collection."""
    for number, namespace in enumerate(namespaces):
        for batch in source.read_batches(namespace, IdRange()):
            yield number, batch


def _list_entries(db: str) -> Iterator[bytes]:
    """Inserts of messages, as the oplog has them."""
    now = datetime(2024, 1, 1, tzinfo=UTC)
    for number in range(_REPLAYED):
        message = {"_id": f"replayed{number:09}", "rid": "GENERAL", "msg": "Good morning " * 8, "ts": now}
        yield bson.encode(
            {
                "ts": Timestamp(1_700_000_001 + number // 1000, 1 + number % 1000), "t": bson.Int64(1),
                "v": bson.Int64(2), "wall": now, "op": "i", "ns": f"{db}.rocketchat_message", "o": message,
            }
        )  # fmt: skip


def load(target: MongoTarget, path: Path, identity: str) -> tuple[Sizes, list[bytes]]:
    """Insert all documents; the bytes of each collection, and the oplog's entries."""
    sizes, entries = Sizes(), list[bytes]()
    with path.open("rb") as file:
        chunks = iter(lambda: file.read(_READ_BYTES), b"")
        events = ArchiveReader(read_part(chunks, parse_identities(identity), name="bench"), name="bench")

        def insert(event: DocumentBatch) -> None:
            target.insert_documents(event.db, event.collection, list(split_documents(event.batch)))

        pending: deque[Future[None]] = deque()
        with BatchWorkers(insert, _CONNECTIONS, threading.Event()) as workers:
            for event in events:
                if not isinstance(event, DocumentBatch):
                    continue
                if (event.db, event.collection) == OPLOG:
                    entries += split_documents(event.batch)
                    continue
                workers.run(event, pending)
                sizes[event.db, event.collection] += len(event.batch)
            workers.finish(pending)
    return sizes, entries


def restore(target: MongoTarget, path: Path, identity: str) -> int:
    """Load, read back and compare, replay, build indexes; bytes of all documents."""
    sizes, entries = load(target, path, identity)

    def compare(name: tuple[str, str]) -> None:
        # The server gives out the documents that the archive was made of, so that there is something to read.
        if tally_collection(target, Namespace(*name)).data_bytes != sizes[name]:
            raise SystemExit(f"{name} is not what was inserted")

    run_parallel(compare, list(sizes), _CONNECTIONS, threading.Event())
    if target.replay_oplog(iter(entries)).applied != len(entries):
        raise SystemExit("not all entries of the oplog were applied")

    def build(name: tuple[str, str]) -> None:
        if refused := target.create_indexes(*name, [_INDEX]):
            raise SystemExit(f"{name}: {refused}")

    run_parallel(build, list(sizes), _CONNECTIONS, threading.Event())
    return sizes.total()


def main(action: str, uri: str, *arguments: str) -> None:
    """Run it, and say what it took."""
    began = time.perf_counter()
    if action in ("dump", "pack"):
        size = dump(uri, int(arguments[0]), arguments[1], packed=action == "pack")
    elif action == "load":
        size = load(MongoTarget(connect(uri)), Path(arguments[0]), arguments[1])[0].total()
    else:
        size = restore(MongoTarget(connect(uri)), Path(arguments[0]), arguments[1])
    print(json.dumps({"seconds": time.perf_counter() - began, "plain_bytes": size}), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
