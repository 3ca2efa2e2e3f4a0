"""A server with one big collection that gives each reader a rate, and all of them together another.

On two cores several workers would wait for the processor and not for the server, as they do in Azure, where
each has a core of its own. So the server is made slow here, as a disk or a network is: each connection's
replies come at a rate, and all connections share a second one, which is the limit that the workers come to.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import bson

from bench.data import CACHE, ROOT
from bench.replay import DATABASE, ReplayConnection, ReplayServer, describe_cursor
from local.process import Child, announce, exit_with_parent

COLLECTION = "rocketchat_message"
DOCUMENT_BYTES = 32 << 10
_REPLY_DOCUMENTS = 32  # a mebibyte: small against a part, so that a rate is kept within it
_TEXTS = [b64encode(Random(number).randbytes(DOCUMENT_BYTES * 3 // 4)).decode() for number in range(64)]


def build_document(number: int) -> dict[str, Any]:
    """One of the collection; its size is the same for each."""
    return {"_id": number, "msg": _TEXTS[number % len(_TEXTS)]}


@dataclass
class PacedStore:
    """How many documents there are, the cursors that are open, and until when the shared rate is used up."""

    documents: int
    rate: float  # bytes a second of one connection
    shared_rate: float  # of all of them
    names: tuple[str, ...] = (COLLECTION,)
    index: Mapping[str, object] = field(default_factory=lambda: {COLLECTION: []})

    def __post_init__(self) -> None:
        self._cursors: dict[int, tuple[int, int]] = {}
        self._numbers = itertools.count(1)
        self._lock, self._free = threading.Lock(), 0.0

    def measure(self, name: str) -> tuple[int, int]:
        """Documents and bytes of a collection."""
        count = self.documents if name == COLLECTION else 0
        return count, count * len(bson.encode(build_document(0)))

    def open_cursor(self, lower: int, upper: int) -> int:
        """A cursor over the ids from `lower` to before `upper`."""
        with self._lock:
            number = next(self._numbers)
            self._cursors[number] = (lower, upper)
        return number

    def take(self, cursor: int) -> tuple[list[dict[str, Any]], bool]:
        """The next documents of the cursor, at the rate of a reader, and whether there are more."""
        began = time.monotonic()
        lower, upper = self._cursors[cursor]
        end = min(lower + _REPLY_DOCUMENTS, upper)
        size = (end - lower) * DOCUMENT_BYTES
        with self._lock:
            self._cursors[cursor] = (end, upper)
            self._free = max(self._free, began) + size / self.shared_rate
            due = max(self._free, began + size / self.rate)
        batch = [build_document(number) for number in range(lower, end)]
        time.sleep(max(0.0, due - time.monotonic()))
        return batch, end < upper


class PacedConnection(ReplayConnection):
    """Answers what a backup asks of one collection, ranges of it included."""

    def _answer_message(self, request_id: int, message: memoryview) -> None:
        # Not from a file of prepared replies: a range begins at any document.
        size = int.from_bytes(message[:4], "little")
        command = bson.decode(message[:size])
        self.send_reply(request_id, self.answer_command(next(iter(command)), command))

    def answer_command(self, name: str, command: Mapping[str, Any]) -> dict[str, Any]:
        store: PacedStore = self.server.store  # type: ignore[attr-defined]
        namespace = f"{DATABASE}.{COLLECTION}"
        if name == "getMore":
            batch, more = store.take(command["getMore"])
            answer = describe_cursor(namespace, [], int(command["getMore"]) if more else 0)
            answer["cursor"]["nextBatch"] = batch
            return answer
        if command.get(name) != COLLECTION:
            return super().answer_command(name, command)
        if name == "find":
            lower = command.get("min", {}).get("_id", 0)
            upper = command.get("max", {}).get("_id", store.documents)
            return describe_cursor(namespace, [], store.open_cursor(lower, upper))
        if name == "aggregate" and "$sample" in command["pipeline"][0]:
            # Evenly spread and not by chance: parts of one size make the runs comparable.
            count = command["pipeline"][0]["$sample"]["size"]
            return describe_cursor(namespace, [{"_id": n * store.documents // count} for n in range(count)])
        return super().answer_command(name, command)


@contextmanager
def serve_paced(documents: int, rate: float, shared_rate: float) -> Iterator[str]:
    """The server in a process of its own, on a loopback port; gives the URI."""
    command = [sys.executable, "-m", "bench.fanout_source", str(documents), str(rate), str(shared_rate)]
    CACHE.mkdir(parents=True, exist_ok=True)
    with Child("fanout source", command, log=CACHE / "fanout_source.log", cwd=ROOT) as child:
        port = child.wait_for_announcement()["port"]
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", type=int)
    parser.add_argument("rate", type=float)
    parser.add_argument("shared_rate", type=float)
    arguments = parser.parse_args()
    exit_with_parent()
    with ReplayServer(("127.0.0.1", 0), PacedConnection) as server:
        server.store = PacedStore(  # type: ignore[attr-defined]
            arguments.documents, arguments.rate, arguments.shared_rate
        )
        announce(port=server.server_address[1])
        server.serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
