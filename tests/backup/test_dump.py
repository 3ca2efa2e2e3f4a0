"""How a part is read and written: its stages overlap, and what one of them says the others hear."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from local.fakes.mongodb import MemoryDatabase
from shared.backup.begin import begin_set
from shared.backup.dump import DumpSettings, PartTask, dump_part
from shared.formats.documents import TalliedBatch
from shared.mongodb.model import IdRange, Namespace
from shared.records.runs import Progress
from tests.support.backup_world import World

SECONDS = 60


def test_a_collection_is_begun_to_be_read_while_the_one_before_it_is_written() -> None:
    second_is_read, overlapped = threading.Event(), list[bool]()

    class WatchedDatabase(MemoryDatabase):
        def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
            if namespace.collection == "c1":
                second_is_read.set()
            yield from super().read_batches(namespace, within)

    class WatchedProgress(Progress):
        def advance(self, done: int, **details: object) -> None:
            if details["namespace"] == "rocketchat.c0":
                overlapped.append(second_is_read.wait(SECONDS))
            super().advance(done, **details)

    world = World(database=WatchedDatabase())
    world.seed(collections=2, documents=1)
    job = world.job()
    plan = begin_set(job, "daily", reason="test")
    settings = DumpSettings(tuple(job.recipients.values()), 1, 0, "test", lambda _db, _collection: True)
    run = job.runs.begin_run("backup", "part-0000", "dumping", total=0, unit="bytes").run
    progress = WatchedProgress(job.runs, world.clock, run)
    receipt, _ = dump_part(
        world.database, world.backups, world.clock, settings, PartTask(plan, "0" * 64, 0), progress
    )
    assert overlapped == [True]
    assert [(count.collection, count.documents) for count in receipt.counts] == [("c0", 1), ("c1", 1)]
