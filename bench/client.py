"""`python -m bench.client dump|load URI …`: ours, in a process of its own, beside those of `bench.pipelines`.

`dump URI LEVEL RECIPIENT` writes the stored bytes to standard output, `load URI FILE IDENTITY` inserts what
such a file holds. Both end with one line of JSON on standard error. The clock starts at the first connection:
a worker runs already when a backup begins.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from shared.adapters.mongodb.client import connect
from shared.adapters.mongodb.source import MongoSource
from shared.adapters.mongodb.target import MongoTarget
from shared.formats.agekeys import parse_identities, parse_recipient
from shared.formats.archive import ArchiveHeader, ArchiveWriter, PreludeEntry
from shared.formats.archive_reader import ArchiveReader, DocumentBatch
from shared.formats.documents import split_documents
from shared.formats.envelope import PartWriter, read_part
from shared.kernel.overlap import read_ahead
from shared.mongodb.model import IdRange
from shared.restore.parallel import BatchWorkers

_READ_BYTES = 4 << 20
_CONNECTIONS = 2


def dump(uri: str, level: int, recipient: str) -> int:
    """Bytes of the plain archive."""
    source = MongoSource(connect(uri))
    namespaces = source.list_namespaces()
    part = PartWriter(sys.stdout.buffer.write, [parse_recipient(recipient)], level=level, threads=2)
    header = ArchiveHeader(source.read_server_version(), "groundcrew bench")
    writer = ArchiveWriter(part.write, header, [PreludeEntry(n.db, n.collection, "{}") for n in namespaces])
    for namespace in namespaces:
        for batch in read_ahead(source.read_batches(namespace, IdRange())):
            writer.tallied_documents(namespace.db, namespace.collection, batch)
        writer.end(namespace.db, namespace.collection)
    writer.finish()
    return part.finish().plain_bytes


def load(uri: str, path: Path, identity: str) -> int:
    """Bytes of all documents inserted."""
    target = MongoTarget(connect(uri))
    size = 0
    with path.open("rb") as file:
        chunks = iter(lambda: file.read(_READ_BYTES), b"")
        events = ArchiveReader(read_part(chunks, parse_identities(identity), name="bench"), name="bench")

        def insert(event: DocumentBatch) -> None:
            target.insert_documents(event.db, event.collection, list(split_documents(event.batch)))

        pending: deque[Future[None]] = deque()
        with BatchWorkers(insert, _CONNECTIONS, threading.Event()) as workers:
            for event in events:
                if isinstance(event, DocumentBatch):
                    workers.run(event, pending)
                    size += len(event.batch)
            workers.finish(pending)
    return size


def main(action: str, uri: str, *arguments: str) -> None:
    """Run it, and say what it took."""
    began = time.perf_counter()
    if action == "dump":
        size = dump(uri, int(arguments[0]), arguments[1])
    else:
        size = load(uri, Path(arguments[0]), arguments[1])
    print(json.dumps({"seconds": time.perf_counter() - began, "plain_bytes": size}), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
