"""A database is moved between two living servers while people write: nothing that was accepted is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import PyMongoError

from local.fakes.blobs import MemoryBlobs
from local.fakes.notifications import MemoryNotifications
from local.fakes.reporter import ListReporter
from local.mongodb import MongoServer
from shared.adapters.clock import SystemClock
from shared.adapters.mongodb import connect_moving, connect_source, connect_target
from shared.migrate.cut_over import CutOverOptions
from shared.migrate.deps import MigrationDeps
from shared.migrate.job import cut_over, run_migration, watch_migration
from shared.migrate.model import PAUSED_EXPIRY, MigrationOptions, Phase

pytestmark = pytest.mark.timeout(600)
Client = pymongo.MongoClient[dict[str, Any]]
SECRET = "rocketchat/chat-mongodb-uri/mongo-uri"


class Writer:
    """A client that writes without a pause to wherever `address` says, and remembers what was accepted."""

    def __init__(self, name: str, address: Callable[[], str]) -> None:
        self.name, self._address = name, address
        self.accepted: dict[str, int] = {}  # the value that each document must have at least
        self.refused = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        with Client(self._address(), appname=self.name) as client:
            number = 0
            while not self._stop.is_set():
                number += 1
                try:
                    self._write(client, number)
                except PyMongoError:
                    self.refused += 1
                self._stop.wait(0.2)  # the stand-in replays a hundred operations a second

    def _write(self, client: Client, number: int) -> None:
        db, own = client.rocketchat, f"{self.name}-{number}"
        db.message.insert_one({"_id": own, "v": number, "only": own})
        self.accepted[own] = number
        db.room.update_one({"_id": self.name}, {"$set": {"last.v": number}, "$inc": {"msgs": 1}}, upsert=True)
        self.accepted[f"room {self.name}"] = number
        if number % 7 == 0:
            db.message.delete_one({"_id": f"{self.name}-{number - 6}"})
            self.accepted.pop(f"{self.name}-{number - 6}", None)
        if number % 11 == 0:
            with client.start_session() as session, session.start_transaction():
                db.message.insert_one({"_id": f"{own}-t", "v": number, "only": f"{own}-t"}, session=session)
                db.room.update_one({"_id": "all"}, {"$set": {"v": own}}, upsert=True, session=session)
            self.accepted[f"{own}-t"] = number


class WritingChat:
    """`ChatWorkloads` and `ChatConnection`: pods that are writers, at the server that the Secret names."""

    def __init__(self, source: str, target: str) -> None:
        self._addresses, self.side = {"source": source, "target": target}, "source"
        self.pods: list[Writer] = []
        self.desired = 0
        self._began = 0

    @property
    def address(self) -> str:
        return self._addresses[self.side]

    def list_replicas(self) -> Mapping[str, int]:
        return {"rocketchat": self.desired}

    def scale(self, _name: str, replicas: int) -> None:
        self.desired = replicas
        for pod in self.pods if replicas == 0 else ():
            pod.stop()
        for _ in range(replicas - len([pod for pod in self.pods if pod.alive])):
            self._began += 1
            self.pods.append(Writer(f"pod{self._began}", lambda: self.address))
            self.pods[-1].start()

    def list_running_pods(self) -> list[str]:
        return [pod.name for pod in self.pods if pod.alive]

    def check(self) -> None:
        """It can be."""

    def switch(self) -> None:
        self.side = "target"

    def switch_back(self) -> None:
        self.side = "source"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[MongoServer, MongoServer]]:
    with (
        MongoServer(tmp_path / "source", ttl_monitor=False) as source,
        MongoServer(tmp_path / "target", ttl_monitor=False) as target,
    ):
        yield source, target


@contextmanager
def make_deps(
    source: MongoServer, target: MongoServer, chat: WritingChat, state: MemoryBlobs
) -> Iterator[MigrationDeps]:
    with (
        closing(connect_source(source.uri)) as reader,
        closing(connect_target(target.uri)) as writer,
        closing(connect_source(target.uri)) as oplog,
        closing(connect_moving(source.uri)) as here,
        closing(connect_moving(target.uri)) as there,
    ):
        yield MigrationDeps(
            reader, writer, oplog, here, there, state, SystemClock(), ListReporter(), MemoryNotifications(),
            time.sleep, chat, chat,
        )  # fmt: skip


def seed(client: Client) -> None:
    db = client.rocketchat
    db.message.insert_many(
        [{"_id": f"old{n}", "v": n, "only": f"old{n}", "pad": "x" * 500} for n in range(300)]
    )
    db.message.create_index("only", name="only_1", unique=True)
    db.instances.insert_one({"_id": 1, "at": datetime(2026, 1, 1, tzinfo=UTC)})
    db.instances.create_index("at", name="ttl", expireAfterSeconds=60)
    db.create_collection("log", capped=True, size=1 << 20, max=50)
    db.log.insert_many([{"_id": n} for n in range(60)])
    db.create_collection("view", viewOn="room", pipeline=[])
    db["uploads.files"].insert_one({"_id": "f1", "length": 3, "chunkSize": 261_120})
    db["uploads.chunks"].insert_one({"files_id": "f1", "n": 0, "data": b"abc"})


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def assert_all_kept(client: Client, writers: list[Writer]) -> None:
    stored = {one["_id"]: one["v"] for one in client.rocketchat.message.find()}
    rooms = {one["_id"]: one for one in client.rocketchat.room.find()}
    for writer in writers:
        for name, value in writer.accepted.items():
            if name.startswith("room "):
                assert rooms[writer.name]["last"]["v"] >= value
            else:
                assert stored.get(name) == value, f"{name} was accepted, and is lost"


def test_a_database_is_moved_under_writes_and_nothing_that_was_accepted_is_lost(
    servers: tuple[MongoServer, MongoServer],
) -> None:
    source, target = servers
    chat, state = WritingChat(source.uri, target.uri), MemoryBlobs(SystemClock())
    # One that nobody stops: until the source is read-only its writes are moved, afterwards it is refused.
    rogue = Writer("rogue", lambda: source.uri)
    with (
        Client(source.uri, appname="test") as here,
        Client(target.uri) as there,
        make_deps(source, target, chat, state) as deps,
    ):
        seed(here)
        chat.scale("rocketchat", 1)
        rogue.start()
        try:
            wait_until(lambda: all(len(one.accepted) > 5 for one in [*chat.pods, rogue]))
            record = run_migration(deps, MigrationOptions(), by="ana")
            assert (record.phase, record.differences) == (Phase.READY, ())
            assert index_of(there, "instances", "ttl")["expireAfterSeconds"] == PAUSED_EXPIRY
            before, stopped = len(rogue.accepted), list(chat.pods)
            here.rocketchat.message.create_index("v", name="v_1")
            here.rocketchat.create_collection("late")
            here.rocketchat.room.rename("rooms")
            here.rocketchat.rooms.rename("room", dropTarget=True)
            wait_until(lambda: len(rogue.accepted) > before + 5)
            record = cut_over(deps, CutOverOptions(("rogue", "test"), secret=SECRET), by="ana")
            assert (record.phase, record.writable, record.differences) == (Phase.SWITCHED, "target", ())
            assert chat.side == "target"
            wait_until(lambda: rogue.refused > 2)  # whoever has the old address is refused
            # Of those that write no more: the new one does, on the target.
            assert_all_kept(there, [*stopped, rogue])
            assert index_of(there, "instances", "ttl")["expireAfterSeconds"] == 60
            assert index_of(there, "message", "only_1")["unique"]
            assert index_of(there, "message", "v_1")
            new = chat.pods[-1]
            wait_until(lambda: len(new.accepted) > 5)  # and the chat goes on, on the target
            record, late = watch_migration(deps)
            assert (record.phase, late) == (Phase.DONE, "")
        finally:
            chat.scale("rocketchat", 0)
            rogue.stop()
        assert_all_kept(there, [*chat.pods, rogue])
        for name in ("log", "instances", "uploads.files", "uploads.chunks", "late"):
            assert list(there.rocketchat[name].find()) == list(here.rocketchat[name].find()), name
        assert "view" in there.rocketchat.list_collection_names()


def index_of(client: Client, collection: str, name: str) -> dict[str, Any]:
    return next(dict(one) for one in client.rocketchat[collection].list_indexes() if one["name"] == name)
