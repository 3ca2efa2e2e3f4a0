"""A migration until it is ready: copied, followed, compared."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.kernel.errors import Locked, Refused, Unavailable
from shared.migrate.job import run_migration
from shared.migrate.model import MigrationOptions, Phase
from shared.migrate.records import LEASE, load_migration
from tests.support.migration_world import DB, MigrationWorld

OPTIONS = MigrationOptions()


def test_a_database_is_copied_followed_and_compared_until_it_is_ready() -> None:
    world = MigrationWorld()
    world.seed()
    record = run_migration(world.deps(), OPTIONS, by="ana")
    assert (record.phase, record.writable) == (Phase.READY, "source")
    world.write()
    run_migration(world.deps(), OPTIONS, by="ana")
    assert world.at_target() == world.at_source()


class LateWorld(MigrationWorld):
    """A world in which something happens while the second collection is read."""

    def deps(self, plan=None, **changes):
        outer = self

        class Living:
            def __getattr__(self, name):
                return getattr(outer.source, name)

            def read_batches(self, namespace, within):
                yield from outer.source.read_batches(namespace, within)
                outer.meanwhile()

        return super().deps(plan, source=Living(), **changes)

    def meanwhile(self) -> None:
        """What it is that happens."""


@pytest.fixture
def world() -> MigrationWorld:
    made = MigrationWorld()
    made.seed()
    return made


def make_ready(world: MigrationWorld, **more):
    return run_migration(world.deps(), OPTIONS, by="ana", **more)


def test_what_is_written_while_it_is_copied_is_at_the_target() -> None:
    world = LateWorld()
    world.seed()
    world.meanwhile = world.write
    make_ready(world)
    assert world.accepted >= 2
    assert world.at_target() == world.at_source()


def test_a_rename_while_it_is_copied_spoils_it_and_the_word_makes_it_anew() -> None:
    world = LateWorld()
    world.seed()
    renames = iter([lambda: world.source.rename(DB, "users", "people")])
    world.meanwhile = lambda: next(renames, lambda: None)()
    with pytest.raises(Refused, match=r"renameCollection.*--restart"):
        make_ready(world)
    with pytest.raises(Refused, match="--restart"):
        make_ready(world)
    assert make_ready(world, restart=True).phase == Phase.READY
    assert world.at_target() == world.at_source()


def test_collections_that_are_made_renamed_and_dropped_afterwards_are_followed(world) -> None:
    make_ready(world)
    world.source.write(DB, "new", {"_id": 1})
    world.source.rename(DB, "users", "people")
    world.source.write(DB, "gone", {"_id": 1})
    world.source.drop(DB, "gone")
    world.source.delete(DB, "message", "m1")
    make_ready(world)
    assert set(world.at_target()) == {f"{DB}.message", f"{DB}.new", f"{DB}.people"}
    assert world.at_target() == world.at_source()


@pytest.mark.parametrize("runs_between", [0, 1])
def test_a_transaction_that_ends_in_a_later_piece_is_applied_as_one(world, runs_between) -> None:
    make_ready(world)
    world.source.begin_transaction(7, [(DB, "message", {"_id": "t1"}), (DB, "users", {"_id": "t2"})])
    world.write()
    for _ in range(runs_between):
        make_ready(world)
        assert load_migration(world.state).open_since
    assert not any(b"t1" in row for row in world.at_target()[f"{DB}.message"])
    world.source.commit_transaction(7)
    make_ready(world)
    assert world.at_target() == world.at_source()
    assert any(b"t1" in row for row in world.at_target()[f"{DB}.message"])
    assert load_migration(world.state).open_since == ""


def test_an_oplog_that_was_dropped_before_it_was_followed_is_refused_until_the_word(world) -> None:
    make_ready(world)
    world.write()
    world.source.trim_oplog()
    before = world.at_target()
    with pytest.raises(Refused, match=r"oplog was dropped.*--restart"):
        make_ready(world)
    assert world.at_target() == before
    make_ready(world, restart=True)
    assert world.at_target() == world.at_source()


def test_an_oplog_that_is_dropped_while_it_is_copied_is_refused() -> None:
    world = LateWorld()
    world.seed()

    def trim() -> None:
        world.write()
        world.source.trim_oplog()

    world.meanwhile = trim
    with pytest.raises(Refused, match=r"oplog was dropped.*replSetResizeOplog"):
        make_ready(world)


def test_a_copy_that_was_interrupted_for_too_long_is_refused_before_it_is_made_again(world) -> None:
    insert = world.target.insert_documents

    def fail(*_arguments):
        raise Unavailable("no answer")

    world.target.insert_documents = fail
    with pytest.raises(Unavailable):
        make_ready(world)
    world.write()
    world.source.trim_oplog()
    with pytest.raises(Refused, match="oplog was dropped"):  # and nothing was inserted, which would fail
        make_ready(world)
    world.target.insert_documents = insert
    assert make_ready(world, restart=True).phase == Phase.READY


def test_a_target_that_does_not_store_what_it_takes_is_found_when_it_is_read_back(world) -> None:
    insert = world.target.insert_documents

    def lose(db, collection, documents):
        answer = insert(db, collection, documents[1:])
        return type(answer)(len(documents))

    world.target.insert_documents = lose
    with pytest.raises(
        Refused, match=r"the copy of rocketchat\.\w+ is not what was read: \d documents of \d"
    ):
        make_ready(world)
    assert load_migration(world.state).phase == Phase.COPYING
    world.target.insert_documents = insert
    assert make_ready(world).phase == Phase.READY
    assert world.at_target() == world.at_source()


def test_what_the_target_refuses_is_told_by_the_servers_own_words(world) -> None:
    insert = world.target.insert_documents

    def refuse(db, collection, documents):
        answer = insert(db, collection, documents)
        return type(answer)(answer.inserted, ("document 1 of the batch: too large",))

    world.target.insert_documents = refuse
    with pytest.raises(Refused, match="is not what was read: document 1 of the batch: too large"):
        make_ready(world)


def test_a_source_of_another_history_is_refused(world) -> None:
    make_ready(world)
    position = world.source.newest()
    world.write()
    make_ready(world)
    world.source.rewind(position)
    world.write()
    world.write()
    world.write()
    with pytest.raises(Refused, match="restored or replaced"):
        make_ready(world)


def test_a_new_primary_that_is_behind_is_waited_for_and_not_taken_for_another_history(world) -> None:
    make_ready(world)
    world.source.written = world.source.newest()
    world.source.rewind(world.source.read_oplog_window()[0])
    with pytest.raises(Unavailable, match="majority of the source's members"):
        make_ready(world)


def test_a_database_that_came_to_be_afterwards_is_named_and_nothing_is_ready(world) -> None:
    make_ready(world)
    world.source.write("shop", "orders", {"_id": 1})
    with pytest.raises(Refused, match="shop: this database came to be"):
        make_ready(world)


def test_what_differs_at_the_target_is_named_without_its_content(world) -> None:
    make_ready(world)
    world.write()
    world.target.replay_oplog = damage(world.target)
    with pytest.raises(Refused, match=r"differ: rocketchat\.message: 1 documents differ") as caught:
        make_ready(world)
    assert "m0" not in str(caught.value)


def damage(target):
    """A replay that does nothing for the messages."""
    replay = type(target).replay_oplog

    def lose(entries, *, scope=None, rename=None):
        kept = (entry for entry in entries if b"m0" not in entry)
        return replay(target, kept, scope=scope, rename=rename)

    return lose


def test_what_changes_while_it_is_compared_is_no_difference(world) -> None:
    read = world.source_control.find_documents

    def change_and_read(*arguments):
        world.write()  # the source is read with it, the target does not have it yet
        return read(*arguments)

    world.source_control.find_documents = change_and_read
    world.write()
    assert make_ready(world).phase == Phase.READY


def test_two_runs_at_once_are_refused(world) -> None:
    with (
        world.state.lease(LEASE, duration=timedelta(seconds=60)),
        pytest.raises(Locked, match="another run of the migration is at it"),
    ):
        make_ready(world)
    assert world.at_target() == {}


def test_a_target_that_holds_somebody_elses_is_not_touched(world) -> None:
    world.target.write("shop", "orders", {"_id": 1})
    with pytest.raises(Refused, match=r"not empty: shop\.orders"):
        make_ready(world)
    assert set(world.target.contents()) == {"shop.orders"}


def test_a_migration_on_record_belongs_to_its_two_servers(world) -> None:
    make_ready(world)
    world.source._host = "third:27017"
    with pytest.raises(Refused, match="another migration is on record"):
        make_ready(world)


def test_a_lag_that_stays_is_told_with_how_long_it_is_and_the_next_run_goes_on(world) -> None:
    replay, written = world.target.replay_oplog, world.source_control.write_marker

    def slow(*arguments, **options):
        world.clock.advance(timedelta(seconds=61))  # while it replays
        return replay(*arguments, **options)

    def write_marker(marker):
        world.write()
        written(marker)

    world.target.replay_oplog, world.source_control.write_marker = slow, write_marker
    with pytest.raises(Unavailable, match="does not catch up with the source: 1 min 1 s behind after 30 min"):
        make_ready(world)
    record = load_migration(world.state)
    assert (record.phase, record.lag_seconds) == (Phase.FOLLOWING, 61.0)
    world.target.replay_oplog, world.source_control.write_marker = replay, written
    assert make_ready(world).lag_seconds == 0.0


def test_that_uploads_are_moved_otherwise_is_said_once(world) -> None:
    from shared.migrate.model import UploadFacts

    world.source_control.uploads = UploadFacts("AmazonS3", {"AmazonS3:Uploads": 3})
    with pytest.raises(Refused, match=r"uploads.*--uploads-copied"):
        make_ready(world)
    run_migration(world.deps(), MigrationOptions(uploads_copied=True), by="ana")
    assert make_ready(world).phase == Phase.READY


def test_a_marker_that_never_arrives_is_told_with_how_far_it_came(world) -> None:
    world.source_control.write_marker = lambda _marker: None
    with pytest.raises(Unavailable, match="marker that was written at the source is not at the target"):
        make_ready(world)
    assert load_migration(world.state).phase == Phase.FOLLOWING
