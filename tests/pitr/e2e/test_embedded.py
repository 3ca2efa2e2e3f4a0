"""The capture over MongoDB's protocol: a living server, and its state at each operation's time restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymongo
import pytest

from local.fakes.reporter import ListReporter
from local.mongodb import MongoServer
from shared.adapters.clock import SystemClock
from shared.adapters.mongodb import connect_source, connect_target
from shared.kernel.errors import NotFound
from shared.mongodb.model import Timestamp
from shared.mongodb.ports import SourceDatabase
from shared.pitr.moment import parse_moment
from shared.pitr.tail import OplogTail
from shared.restore.deps import RestoreDeps
from shared.restore.job import restore_set
from tests.support.backup_world import World
from tests.support.capture_world import CaptureWorld

pytestmark = pytest.mark.timeout(240)
Client = pymongo.MongoClient[dict[str, Any]]


class LivingWorld(CaptureWorld):
    """The world of a real server, by the real clock."""

    def sync(self) -> None:
        """Both clocks are this machine's."""

    def pass_second(self) -> None:
        """It passes by itself."""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[MongoServer, MongoServer]]:
    with (
        MongoServer(tmp_path / "source", ttl_monitor=False) as source,
        MongoServer(tmp_path / "target", ttl_monitor=False) as target,
    ):
        yield source, target


def contents(client: Client) -> dict[str, Any]:
    db = client.rocketchat
    names = sorted(n for n in db.list_collection_names() if not n.startswith("system."))
    return {name: (sorted(db[name].find(), key=str), sorted(db[name].index_information())) for name in names}


def list_acts(client: Client) -> list[Any]:
    db = client.rocketchat

    def transact() -> None:
        with client.start_session() as session, session.start_transaction():
            db.a.insert_one({"_id": "together"}, session=session)
            db.b.insert_one({"_id": "together"}, session=session)

    return [
        lambda: db.a.update_one({"_id": 1}, {"$set": {"v": 1}}),
        lambda: db.b.insert_many([{"_id": n, "x": "y" * 50} for n in range(20)]),
        lambda: db.b.create_index("x", name="by_x"),
        transact,
        lambda: db.a.rename("renamed"),
        lambda: db.a.insert_one({"_id": "again"}),
        lambda: db.b.aggregate([{"$match": {"_id": {"$lt": 3}}}, {"$out": "out"}]),
        lambda: db.a.rename("renamed", dropTarget=True),
        lambda: db.b.drop_index("by_x"),
        lambda: db.out.drop(),
        lambda: db.create_collection("capped", capped=True, size=4096, max=3),
        lambda: db.capped.insert_many([{"_id": n} for n in range(5)]),
        lambda: db.b.delete_many({"_id": {"$gt": 5}}),
    ]


def restore(world: CaptureWorld, uri: str, until: Timestamp) -> Any:
    plan = world.slices.plan(until)
    with closing(connect_target(uri)) as target:
        tail = OplogTail(world.world.backups, plan, world.world.identities)
        deps = RestoreDeps(
            world.world.catalogue, target, world.world.identities, ListReporter(), SystemClock(), tail=tail
        )
        return restore_set(deps, plan.base.reference)


def test_the_state_at_each_operations_time_is_restored(servers: tuple[MongoServer, MongoServer]) -> None:
    source, target = servers
    with (
        Client(source.uri) as there,
        Client(target.uri) as here,
        closing(connect_source(source.uri)) as reader,
    ):
        there.rocketchat.a.insert_one({"_id": 1})
        there.rocketchat.b.insert_one({"_id": "first"})
        world = make_world(reader)
        world.seal()
        states = {}
        for number, act in enumerate(list_acts(there)):
            act()
            states[reader.read_oplog_window()[1]] = contents(there)
            if number % 3 == 2:
                world.capture()
        there.rocketchat.a.insert_one({"_id": "end"})
        world.capture()
        for moment, state in states.items():
            result = restore(world, target.uri, moment)
            assert result.problems == [], moment
            assert contents(here) == state, moment
            here.drop_database("rocketchat")
        with pytest.raises(NotFound, match="cannot be restored"):
            world.slices.plan(parse_moment("2026-01-01T00:00:00Z"))


def make_world(reader: SourceDatabase) -> LivingWorld:
    world = World(database=reader, clock=SystemClock())  # type: ignore[arg-type]
    return LivingWorld(world)
