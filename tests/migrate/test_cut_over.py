"""The cut-over, the way back and the end of a migration."""

from __future__ import annotations

import json
from datetime import timedelta

import bson
import pytest

from local.fakes.faults import FaultPlan, Killed
from shared.kernel.errors import NotFound, Refused, Unavailable
from shared.migrate.cut_over import CutOverOptions
from shared.migrate.job import (
    abort_migration,
    cut_over,
    go_back_to_source,
    run_migration,
    watch_migration,
)
from shared.migrate.model import PAUSED_EXPIRY, ChatClient, MigrationOptions, Phase
from shared.migrate.records import CURRENT, load_migration
from shared.mongodb.model import Namespace
from shared.records.deploy_freeze import read_deploy_freeze
from tests.support.approvals import make_approvals
from tests.support.migration_world import DB, MigrationWorld

SECRET = "rocketchat/chat-mongodb-uri/mongo-uri"
TTL = {"v": 2, "key": {"at": 1}, "name": "ttl", "expireAfterSeconds": 60}


@pytest.fixture
def world() -> MigrationWorld:
    made = MigrationWorld()
    made.seed()
    made.source.create_indexes(DB, "message", [TTL])
    run_migration(made.deps(), MigrationOptions(), by="ana")
    made.write()
    return made


def cut(world: MigrationWorld, **options):
    return cut_over(world.deps(), CutOverOptions(secret=SECRET, **options), by="ana")


def assert_at_source(world: MigrationWorld) -> None:
    """As if nothing had been tried."""
    assert not world.source.read_only
    assert (world.connection.address, world.chat.replicas) == ("source", {"rocketchat": 2})
    assert read_deploy_freeze(world.state) is None
    assert load_migration(world.state).phase == Phase.READY
    assert world.try_write()


def expiry_at_target(world: MigrationWorld) -> object:
    (message,) = (n for n in world.target.list_namespaces() if n.collection == "message")
    return next(index for index in message.indexes if index["name"] == "ttl")["expireAfterSeconds"]


def test_nothing_expires_at_the_target_before_the_cut_over_and_everything_as_before_after_it(world) -> None:
    assert expiry_at_target(world) == PAUSED_EXPIRY
    cut(world)
    assert expiry_at_target(world) == 60


def test_after_the_cut_over_the_chat_is_on_the_target_and_the_source_takes_no_writes(world) -> None:
    record = cut(world)
    assert (record.phase, record.writable) == (Phase.SWITCHED, "target")
    assert world.at_target() == world.at_source()
    assert world.source.read_only
    assert (world.connection.address, world.chat.replicas) == ("target", {"rocketchat": 2})
    assert read_deploy_freeze(world.state) is None
    assert world.try_write()
    assert world.notifications.told[-1].title == "The chat's database is on new:27017"


def list_questions_of_pause(documents: int) -> list[str]:
    """What is asked of the outside from the chat's stop to the switch."""
    world, plan = MigrationWorld(), FaultPlan()
    world.seed(documents)
    run_migration(world.deps(), MigrationOptions(), by="ana")
    world.write()
    cut_over(world.deps(plan), CutOverOptions(secret=SECRET), by="ana")
    return plan.steps[plan.steps.index("source_control.list_clients") :]


def test_the_pause_asks_no_more_of_a_large_database_than_of_a_small_one() -> None:
    small, large = list_questions_of_pause(3), list_questions_of_pause(300)
    assert small == large
    assert not [step for step in large if "read_batches" in step], "no collection is read as a whole"


def test_without_a_cluster_and_a_secret_a_person_stops_and_switches(world) -> None:
    world.chat.replicas = {}
    deps = world.deps(chat=None, connection=None)
    record = cut_over(deps, CutOverOptions(), by="ana")
    assert record.phase == Phase.SWITCHED
    assert world.source.read_only


def test_a_migration_that_is_not_ready_is_not_cut_over() -> None:
    world = MigrationWorld()
    world.seed()
    with pytest.raises(NotFound, match="no migration under way"):
        cut(world)
    world.source_control.write_marker = lambda _marker: None
    with pytest.raises(Unavailable):
        run_migration(world.deps(), MigrationOptions(), by="ana")
    with pytest.raises(Refused, match="not ready: following"):
        cut(world)


def test_a_secret_that_cannot_be_switched_is_told_before_the_chat_is_stopped(world) -> None:
    world.connection.fault = NotFound("the Secret has no such key")
    with pytest.raises(NotFound, match="no such key"):
        cut(world)
    assert world.chat.replicas == {"rocketchat": 2}
    world.connection.fault = None
    assert_at_source(world)


def test_where_deploys_need_a_second_person_the_cut_over_does_and_an_approval_is_good_for_one(world) -> None:
    approvals = make_approvals(world.state, world.clock)
    deps = world.deps(approvals=lambda: approvals)
    with pytest.raises(Refused, match="approval of a second person") as caught:
        cut_over(deps, CutOverOptions(secret=SECRET), by="ana")
    assert_at_source(world)
    with pytest.raises(Refused):
        approvals.approve(str(caught.value.value), by="ana")
    approvals.approve(str(caught.value.value), by="ben")
    world.chat.stuck = ["rocketchat-stuck"]
    with pytest.raises(Refused, match="do not end"):  # what is taken back needs no second approval
        cut_over(deps, CutOverOptions(secret=SECRET), by="ana")
    world.chat.stuck = []
    assert cut_over(deps, CutOverOptions(secret=SECRET), by="ana").approved_by == "ben"
    assert "approved by ben" in world.notifications.told[-1].text
    go_back_to_source(deps, by="ana")
    with pytest.raises(Refused, match="approval of a second person"):
        cut_over(deps, CutOverOptions(secret=SECRET), by="ana")


def test_a_deploy_in_progress_is_waited_out_by_whoever_cuts_over(world) -> None:
    deps = world.deps(find_busy_deploy=lambda: "deploy of abc1234")
    with pytest.raises(Refused, match="a deploy is in progress: deploy of abc1234"):
        cut_over(deps, CutOverOptions(secret=SECRET), by="ana")
    assert_at_source(world)


def test_a_client_that_stays_is_named_and_the_chat_comes_back(world) -> None:
    world.source_control.clients = [ChatClient("10.1.1.7:5000", "mongosh")]
    began = world.clock.now()
    with pytest.raises(Refused, match=r"others are connected to the source: 10\.1\.1\.7:5000 \(mongosh\)"):
        cut(world)
    assert world.clock.now() - began < timedelta(minutes=5)
    assert_at_source(world)
    assert cut(world, ignored_clients=("mongosh",)).phase == Phase.SWITCHED


def test_pods_that_do_not_end_are_named_and_the_chat_comes_back(world) -> None:
    world.chat.stuck = ["rocketchat-stuck"]
    with pytest.raises(Refused, match="pods do not end: rocketchat-stuck"):
        cut(world)
    assert_at_source(world)


def test_a_source_that_hides_its_connections_is_not_cut_over(world) -> None:
    world.chat.replicas, world.source_control.sees_clients = {"rocketchat": 2}, False
    with pytest.raises(Refused, match="does not show who is connected"):
        cut(world)
    assert_at_source(world)


def test_a_source_that_cannot_be_made_read_only_needs_a_word_and_late_writes_are_told(world) -> None:
    world.source_control.has_block = False
    with pytest.raises(Refused, match="--accept-writable-source"):
        cut(world)
    assert_at_source(world)
    cut(world, accepts_writable_source=True)
    assert watch_migration(world.deps())[1] == ""
    world.source.write(DB, "message", {"_id": "late"})
    assert watch_migration(world.deps())[1] == f"{DB}.message"
    assert "Somebody wrote to old:27017" in world.notifications.told[-1].title


def test_who_writes_to_a_source_that_stays_writable_stops_the_cut_over(world) -> None:
    world.source_control.has_block = False
    restore, real = world.target_control.set_expiry, world.source

    def write_meanwhile(*arguments):
        restore(*arguments)
        real.write(DB, "message", {"_id": f"late{world.clock.now()}"})

    world.target_control.set_expiry = write_meanwhile
    with pytest.raises(Refused, match=r"somebody still writes to the source: rocketchat\.message"):
        cut(world, accepts_writable_source=True)
    world.target_control.set_expiry = restore
    assert_at_source(world)
    cut(world, accepts_writable_source=True)
    assert world.at_target() == world.at_source()


def test_a_client_that_comes_back_in_the_pause_ends_it(world) -> None:
    original = world.source_control.block_writes

    def connect() -> None:
        original()
        world.source_control.clients = [ChatClient("10.1.1.7:5000", "rocketchat")]

    world.source_control.block_writes = connect
    with pytest.raises(Refused, match=r"somebody is connected to the source again: 10\.1\.1\.7:5000"):
        cut(world)
    assert_at_source(world)


def test_an_attempt_whose_taking_back_was_killed_begins_anew_with_the_source_read_only(world) -> None:
    scale, set_expiry = world.chat.scale, world.target_control.set_expiry

    def die(name, replicas):
        if replicas:
            raise Killed
        scale(name, replicas)

    world.target_control.set_expiry = fail
    world.chat.scale = die
    with pytest.raises(Killed):
        cut(world)
    world.die()
    assert (load_migration(world.state).phase, world.source.read_only) == (Phase.RETURNING, False)
    world.chat.scale, world.target_control.set_expiry = scale, set_expiry
    world.source.write(DB, "message", {"_id": "meanwhile"})
    assert cut(world).phase == Phase.SWITCHED
    assert world.source.read_only
    assert world.at_target() == world.at_source()


def fail(*_arguments):
    """What a server does that is gone."""
    raise Unavailable("no answer")


def test_a_difference_found_in_the_pause_ends_it_and_the_chat_comes_back(world) -> None:
    original = world.source_control.block_writes

    def damage() -> None:
        original()
        world.target.insert_documents(DB, "extra", [bson.encode({"_id": "more"})])

    world.source_control.block_writes = damage
    with pytest.raises(Refused, match=r"rocketchat\.extra is at the target only"):
        cut(world)
    assert_at_source(world)


def test_a_document_that_was_changed_at_the_target_alone_is_found_if_the_source_changed_it_too(world) -> None:
    original = world.source_control.block_writes

    def damage() -> None:
        original()
        world.target._documents[f"{DB}.message"].clear()

    world.source_control.block_writes = damage
    with pytest.raises(Refused, match="differ"):
        cut(world)
    assert_at_source(world)


def test_indexes_that_differ_in_the_pause_end_it(world) -> None:
    original = world.source_control.block_writes

    def damage() -> None:
        original()
        world.target_control.drop_index(DB, "message", "ttl")

    world.source_control.block_writes = damage
    with pytest.raises(Refused, match="index ttl is missing"):
        cut(world)
    assert_at_source(world)


def test_a_target_that_dies_in_the_pause_ends_it_and_the_next_try_succeeds(world) -> None:
    replay = world.target.replay_oplog

    def die(*_arguments, **_options):
        raise Unavailable("replaying the oplog failed")

    original = world.source_control.block_writes

    def write_and_block() -> None:
        world.source.write(DB, "message", {"_id": "last"})
        original()
        world.target.replay_oplog = die

    world.source_control.block_writes = write_and_block
    with pytest.raises(Unavailable):
        cut(world)
    world.target.replay_oplog = replay
    assert_at_source(world)
    world.source_control.block_writes = original
    cut(world)
    assert world.at_target() == world.at_source()


def test_last_writes_that_no_majority_has_end_the_pause(world) -> None:
    original = world.source_control.block_writes

    def lag() -> None:
        original()
        world.source.written = type(world.source.newest())(world.source.newest().seconds + 9, 1)

    world.source_control.block_writes = lag
    with pytest.raises(Unavailable, match="a majority of the source's members does not have the last writes"):
        cut(world)
    world.source.written = None
    assert_at_source(world)


def test_a_target_whose_majority_lags_ends_the_pause_before_anybody_is_sent_there(world) -> None:
    original = world.source_control.block_writes

    def lag() -> None:
        original()
        world.target.written = type(world.target.newest())(world.target.newest().seconds + 9, 1)

    world.source_control.block_writes = lag
    with pytest.raises(Unavailable, match="a majority of the target's members"):
        cut(world)
    assert_at_source(world)


def test_the_way_back_is_open_until_the_first_write_and_shut_after_it(world) -> None:
    cut(world)
    record = go_back_to_source(world.deps(), by="ben")
    assert record.writable == "source"
    assert_at_source(world)
    assert expiry_at_target(world) == 60
    run_migration(world.deps(), MigrationOptions(), by="ana")
    assert expiry_at_target(world) == PAUSED_EXPIRY  # stopped again, without building it anew
    cut(world)
    assert world.try_write()
    with pytest.raises(Refused, match=r"way back is shut.*rocketchat\.message"):
        go_back_to_source(world.deps(), by="ben")
    assert (world.connection.address, world.source.read_only) == ("target", True)
    assert load_migration(world.state).phase == Phase.DONE


def test_where_a_pull_request_switches_the_chat_stays_down_until_a_person_knows_its_address(world) -> None:
    deps = world.deps(connection=None)
    cut_over(deps, CutOverOptions(), by="ana")
    assert (world.connection.address, world.chat.replicas) == ("source", {"rocketchat": 0})
    go_back_to_source(deps, by="ben")
    assert (world.source.read_only, world.chat.replicas) == (False, {"rocketchat": 0})
    assert "scale the chat up: rocketchat to 2" in world.reporter.notes[-1]
    cut_over(deps, CutOverOptions(), by="ana")
    assert world.source.read_only


def test_a_secret_that_was_switched_has_to_be_reached_for_the_way_back(world) -> None:
    cut(world)
    with pytest.raises(Refused, match=SECRET):
        go_back_to_source(world.deps(connection=None), by="ben")
    assert world.source.read_only


def test_a_write_while_the_chat_is_stopped_for_the_way_back_shuts_it(world) -> None:
    cut(world)
    scale = world.chat.scale

    def write_last(name, replicas):
        world.target.write(DB, "users", {"_id": "late"})
        scale(name, replicas)

    world.chat.scale = write_last
    with pytest.raises(Refused, match="way back is shut"):
        go_back_to_source(world.deps(), by="ben")
    assert world.source.read_only


def test_what_expires_at_the_target_shuts_no_way_back_and_a_deletion_elsewhere_does(world) -> None:
    cut(world)
    world.target.delete(DB, "message", "m1")
    assert watch_migration(world.deps())[0].phase == Phase.SWITCHED
    world.target.delete(DB, "users", "u1")
    assert watch_migration(world.deps())[0].first_write == f"{DB}.users"


def test_a_write_to_another_database_of_the_target_shuts_no_way_back(world) -> None:
    cut(world)
    world.target.write("shop", "orders", {"_id": 1})
    assert watch_migration(world.deps())[0].phase == Phase.SWITCHED


def test_a_targets_oplog_that_does_not_reach_back_leaves_the_way_back_unknown_and_shut(world) -> None:
    cut(world)
    world.target.tick()
    world.target.trim_oplog()
    with pytest.raises(Refused, match="does not reach back to the cut-over"):
        go_back_to_source(world.deps(), by="ben")


def test_from_a_migration_that_was_not_cut_over_there_is_nothing_to_go_back_from(world) -> None:
    with pytest.raises(Refused, match="nothing to go back from: ready"):
        go_back_to_source(world.deps(), by="ben")


def test_an_aborted_migration_leaves_an_empty_target_and_the_chat_where_it_was(world) -> None:
    world.source.write(DB, "new", {"_id": 1})
    run_migration(world.deps(), MigrationOptions(), by="ana")
    world.target.create_collection(Namespace("shop", "theirs"))
    record = abort_migration(world.deps(), by="ben")
    assert record.phase == Phase.ABORTED
    assert set(world.target.contents()) == {"shop.theirs"}
    assert not [name for name in world.source.contents() if name.startswith("groundcrew")]
    assert world.try_write()
    with pytest.raises(NotFound):
        abort_migration(world.deps(), by="ben")


def test_a_journal_that_somebody_has_changed_drops_nothing_of_others(world) -> None:
    """Whoever can write to the storage can write there that all of a database is ours."""
    world.target.write("shop", "orders", {"_id": 1})
    data = json.loads(world.state.read(CURRENT)[0])
    data |= {"databases": ["shop", DB], "created": {**data["created"], "shop.orders": ""}}
    world.state.replace(CURRENT, json.dumps(data).encode(), etag=None)
    abort_migration(world.deps(), by="ben")
    assert set(world.target.contents()) == {"shop.orders"}
    assert world.reporter.notes[-1].endswith("whose it is: shop.orders")


def test_after_the_cut_over_nothing_is_aborted(world) -> None:
    cut(world)
    with pytest.raises(Refused, match="on the target already"):
        abort_migration(world.deps(), by="ben")
    assert world.at_target() == world.at_source()
