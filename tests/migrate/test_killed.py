"""A migration may die at any step: one of the two servers is the chat's, never both, and nothing is lost."""

from __future__ import annotations

import contextlib
import copy

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.kernel.errors import GroundcrewError, Unavailable
from shared.migrate.cut_over import CutOverOptions
from shared.migrate.job import abort_migration, cut_over, go_back_to_source, run_migration
from shared.migrate.model import MigrationOptions, Phase
from shared.migrate.records import load_migration
from shared.records.deploy_freeze import read_deploy_freeze
from tests.support.deaths import WatchedSteps
from tests.support.migration_world import DB, MigrationWorld

INDEXES = [
    {"v": 2, "key": {"v": 1}, "name": "by_v"},
    {"v": 2, "key": {"_id": 1, "v": 1}, "name": "one_each", "unique": True},
    {"v": 2, "key": {"at": 1}, "name": "ttl", "expireAfterSeconds": 60},
]
SECRET = "rocketchat/chat-mongodb-uri/mongo-uri"
OPTIONS = CutOverOptions(secret=SECRET)


def make_world() -> MigrationWorld:
    world = MigrationWorld()
    world.seed(4)
    world.source.create_indexes(DB, "message", INDEXES)
    return world


def make_ready_world() -> MigrationWorld:
    """Ready, with a transaction open and writes that were not followed yet."""
    world = make_world()
    run(world)
    world.source.begin_transaction(7, [(DB, "message", {"_id": "t1", "v": 7})])
    world.write()
    world.source.commit_transaction(7)
    return world


def run(world: MigrationWorld, plan: FaultPlan | None = None) -> None:
    run_migration(world.deps(plan), MigrationOptions(), by="ana")


def move(world: MigrationWorld, plan: FaultPlan | None = None) -> None:
    cut_over(world.deps(plan), OPTIONS, by="ana")


def go_back(world: MigrationWorld, plan: FaultPlan | None = None) -> None:
    go_back_to_source(world.deps(plan), by="ana")


def give_up(world: MigrationWorld, plan: FaultPlan | None = None) -> None:
    abort_migration(world.deps(plan), by="ana")


def list_interruptions(act, world: MigrationWorld) -> list[Fault]:
    """A death in each of the worlds that `act` goes through, and a failure of the outside at each of them."""
    watched = copy.deepcopy(world)
    steps = WatchedSteps(watched)
    act(watched, steps)
    deaths = steps.list_deaths()
    assert len(deaths) >= 10, "it changes more than this, or the faults do not see it"
    failures = [Fault(Unavailable("no answer"), step=death.step, when=death.when) for death in deaths]
    return [*deaths, *failures]


def interrupt(act, world: MigrationWorld, fault: Fault) -> MigrationWorld:
    """What is left of a copy of the world after the fault."""
    left = copy.deepcopy(world)
    with contextlib.suppress(Killed, GroundcrewError):
        act(left, FaultPlan(fault))
    left.die()
    return left


def assert_one_writable(world: MigrationWorld) -> None:
    """The chat's Secret, the source's lock and the journal agree about which of the two it is."""
    record = load_migration(world.state)
    on_target = record is not None and record.writable == "target"
    if world.connection.address == "target":
        assert on_target or record.phase is Phase.RETURNING
        assert world.source.read_only, "both servers take writes"
    if on_target:
        assert world.source.read_only, "the source takes writes after the switch"


def test_killed_or_failed_while_it_copies_and_follows_the_next_run_goes_on() -> None:
    begun = make_world()
    for fault in list_interruptions(run, begun):
        world, where = interrupt(run, begun, fault), str(fault)
        assert_one_writable(world)
        assert world.try_write(), where
        run(world)
        record = load_migration(world.state)
        assert (record.phase, record.differences) == (Phase.READY, ()), where
        assert world.at_target() == world.at_source(), where
        message = next(n for n in world.target.list_namespaces() if n.collection == "message")
        assert {i["name"] for i in message.indexes} == {"_id_", "by_v", "one_each", "ttl"}


def test_killed_or_failed_in_the_cut_over_one_server_is_writable_and_the_next_goes_on() -> None:
    begun = make_ready_world()
    for fault in list_interruptions(move, begun):
        world, where = interrupt(move, begun, fault), str(fault)
        assert_one_writable(world)
        world.try_write()
        assert_one_writable(world)
        if load_migration(world.state).phase is not Phase.DONE:
            move(world)
        assert load_migration(world.state).writable == "target", where
        assert world.connection.address == "target", where
        assert world.source.read_only, where
        assert read_deploy_freeze(world.state) is None, where
        assert world.try_write(), where
        assert not [n for n in range(1, world.accepted + 1) if world.is_lost(n)], where


def test_killed_or_failed_in_the_cut_over_the_way_back_leaves_the_source_writable() -> None:
    begun = make_ready_world()
    for fault in list_interruptions(move, begun):
        world, where = interrupt(move, begun, fault), str(fault)
        # Where nothing has begun yet there is nothing to go back from.
        with contextlib.suppress(GroundcrewError):
            go_back(world)
        assert load_migration(world.state).writable == "source", where
        assert (world.connection.address, world.source.read_only) == ("source", False), where
        assert read_deploy_freeze(world.state) is None, where
        assert world.try_write(), where


def test_killed_or_failed_on_the_way_back_another_call_ends_it() -> None:
    def make() -> MigrationWorld:
        world = make_ready_world()
        move(world)
        return world

    begun = make()
    for fault in list_interruptions(go_back, begun):
        world, where = interrupt(go_back, begun, fault), str(fault)
        assert_one_writable(world)
        with contextlib.suppress(GroundcrewError):  # it was over already
            go_back(world)
        assert load_migration(world.state).writable == "source", where
        assert (world.connection.address, world.source.read_only) == ("source", False), where
        assert world.try_write(), where


def test_killed_or_failed_while_it_is_aborted_another_call_ends_it() -> None:
    begun = make_ready_world()
    for fault in list_interruptions(give_up, begun):
        world, where = interrupt(give_up, begun, fault), str(fault)
        with contextlib.suppress(GroundcrewError):  # it was over already
            give_up(world)
        assert load_migration(world.state).phase == Phase.ABORTED, where
        assert world.target.contents() == {}, where
        assert world.try_write(), where


def test_no_unique_index_stands_in_the_way_of_a_piece_that_is_replayed_again() -> None:
    """It passes through states in which two documents may have what only one of them has in the end."""
    world = make_world()
    run(world)
    world.write()
    replay = world.target.replay_oplog

    def die(*arguments, **options):
        replay(*arguments, **options)
        raise Killed

    world.target.replay_oplog = die
    with contextlib.suppress(Killed):
        run(world)
    world.die()
    present: list[bool] = []

    def note(*arguments, **options):
        present.append("one_each" in names_at_target(world))
        return replay(*arguments, **options)

    world.target.replay_oplog = note
    run(world)
    assert present[0] is False
    assert "one_each" in names_at_target(world)


def names_at_target(world: MigrationWorld) -> set[str]:
    (message,) = (n for n in world.target.list_namespaces() if n.collection == "message")
    return {str(index["name"]) for index in message.indexes}
