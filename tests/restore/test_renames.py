"""Restoring under other names: beside the live database, without touching it."""

from __future__ import annotations

from typing import Any

import bson
import pytest

from local.fakes.mongodb import MemoryDatabase
from shared.backup.job import run_nightly
from shared.kernel.errors import NotFound, Refused, UsageError
from shared.mongodb.model import IdRange, Namespace
from shared.mongodb.oplog import Operation
from shared.restore.renames import Renames, RenamingTarget, parse_renames, rename_operation
from tests.support.backup_world import World


@pytest.fixture
def sealed(world: World) -> World:
    world.database.create_collection(
        Namespace("rocketchat", "v", "view", options={"viewOn": "c0", "pipeline": []})
    )
    world.database.create_indexes("rocketchat", "c0", [{"v": 2, "key": {"msg": 1}, "name": "msg_1"}])
    for name in ("fs.files", "fs.chunks"):
        world.database.write("rocketchat", name, {"_id": 1, "files_id": 1})
    world.database.write("admin", "system.users", {"_id": "rocketchat.rc"})
    run_nightly(world.job())
    world.database.write("rocketchat", "c1", {"_id": 0, "msg": "edited in the window"})
    world.database.write("rocketchat", "born", {"_id": 1})
    world.work(world.job())
    return world


def under(contents: dict[str, set[bytes]], db: str) -> dict[str, set[bytes]]:
    return {name.partition(".")[2]: held for name, held in contents.items() if name.startswith(f"{db}.")}


def test_a_database_is_restored_beside_the_live_one_it_is_of(sealed: World) -> None:
    live = sealed.database
    before = live.contents()
    result = sealed.restore(live, renames=[("rocketchat", "rescued")], into_non_empty=True)
    assert result.proven
    assert "rocketchat becomes rescued" in result.plan.reasons
    after = live.contents()
    assert under(after, "rescued") == under(before, "rocketchat")
    assert {name: after[name] for name in before} == before
    indexes = {n.name: n.indexes for n in live.list_namespaces()}
    assert [i["name"] for i in indexes["rescued.c0"]] == ["_id_", "msg_1"]
    assert [note.split(" was ")[0] for note in result.notes] == ["admin.system.users"]


def test_one_collection_is_restored_under_another_name(sealed: World) -> None:
    live = sealed.database
    before = live.contents()
    result = sealed.restore(
        live,
        renames=[("rocketchat.c1", "rocketchat.c1_rescued")],
        only=["rocketchat.c1"],
        into_non_empty=True,
    )
    assert result.proven
    assert live.contents() == {**before, "rocketchat.c1_rescued": before["rocketchat.c1"]}


def test_without_a_new_name_the_live_database_refuses_as_ever(sealed: World) -> None:
    with pytest.raises(Refused, match="the database that was backed up"):
        sealed.restore(sealed.database, into_non_empty=True, renames=[("rocketchat.c1", "rocketchat.other")])


def test_what_has_the_new_name_already_is_never_mixed(sealed: World) -> None:
    target = MemoryDatabase("target:27017")
    target.write("rescued", "c1", {"_id": "mine"})
    before = target.contents()
    with pytest.raises(Refused, match="already has collections"):
        sealed.restore(target, renames=[("rocketchat", "rescued")], into_non_empty=True)
    assert target.contents() == before


def test_a_collection_born_in_the_window_is_not_mixed_with_one_of_the_new_database(sealed: World) -> None:
    target = MemoryDatabase("target:27017")
    target.write("rescued", "born", {"_id": 1, "mine": True})
    mine = target.contents()["rescued.born"]
    result = sealed.restore(target, renames=[("rocketchat", "rescued")], into_non_empty=True)
    assert target.contents()["rescued.born"] == mine
    assert [v.name for v in result.verdicts if not v.equal] == ["rocketchat.born"]


NAMES = ["admin.system.users", "rc.a", "rc.b", "rc.fs.chunks", "rc.fs.files", "other.a"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (["rc"], [], "belong together"),
        (["nope"], ["x"], "names nothing in this backup"),
        (["rc"], ["x.y"], "different kinds"),
        (["rc.a"], ["x"], "different kinds"),
        (["rc"], ["admin"], "no name for a database"),
        (["rc"], ["config"], "no name for a database"),
        (["rc"], ["local"], "no name for a database"),
        (["rc"], [""], "no name for a database"),
        (["rc.a"], [".a"], "no name for a database"),
        (["rc.a"], ["admin.a"], "no name for a database"),
        (["rc", "other"], ["x"], "belong together: 2 and 1 given"),
        (["rc.nope"], ["rc.x"], "names nothing in this backup: rc.nope"),
        (["admin.system.users"], ["x.users"], "cannot be renamed"),
        (["rc.fs.chunks"], ["rc.up.chunks"], "cannot be renamed alone"),
        (["rc"], ["a b"], "no name for a database"),
        (["rc"], ["x" * 64], "no name for a database"),
        (["admin"], ["x"], "cannot be renamed"),
        (["rc.fs.files"], ["rc.up.files"], "cannot be renamed alone"),
        (["rc.a"], ["rc.system.views"], "no name for a collection"),
        (["rc.a"], ["rc.a$b"], "no name for a collection"),
        (["rc.a"], ["rc."], "no name for a collection"),
        (["rc.a"], ["rc.b"], "would get one name"),
        (["rc"], ["other"], "would get one name"),
    ],
)
def test_names_that_do_not_work_are_named(old: list[str], new: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_renames(old, new, NAMES)


def test_the_longer_name_wins_and_all_others_stay() -> None:
    renames = parse_renames(["rc", "rc.a"], ["new", "kept.a"], NAMES)
    assert [renames.to_target(n) for n in [*NAMES, "rc.born", "rcx.a"]] == [
        "admin.system.users", "kept.a", "new.b", "new.fs.chunks", "new.fs.files", "other.a", "new.born",
        "rcx.a",
    ]  # fmt: skip
    assert (renames.whole_databases, Renames((("rc", "new"),)).whole_databases) == (False, True)


def test_names_at_their_limits_are_taken() -> None:
    assert parse_renames(["rc"], ["x" * 63], NAMES).to_target("rc.a") == f"{'x' * 63}.a"
    assert parse_renames(["rc.a"], ["other.b"], NAMES).to_target("rc.a") == "other.b"
    # Two that change places get a name each.
    swapped = parse_renames(["rc.a", "rc.b"], ["rc.b", "rc.a"], NAMES)
    assert [swapped.to_target(name) for name in ("rc.a", "rc.b")] == ["rc.b", "rc.a"]
    assert parse_renames([], [], NAMES).to_target("rc.a") == "rc.a"


def shown(beside: bool, **renames: str) -> list[tuple[str, bool]]:
    """What a target is seen to hold by a restore of two collections: each name, and whether with its uuid."""
    server = MemoryDatabase("target:27017")
    for db, collection in (("new", "a"), ("new", "born"), ("rc", "a"), ("rc", "z"), ("other", "x")):
        server.write(db, collection, {"_id": 1})
    pairs = Renames(tuple((old.replace("_", "."), new) for old, new in renames.items()))
    target = RenamingTarget(server, pairs, ["rc.a", "rc.b"], beside=beside)
    return sorted((one.name, bool(one.uuid)) for one in target.list_namespaces())


def test_a_database_beside_is_shown_by_the_sets_names_and_what_has_these_already_is_marked() -> None:
    expected = ["other.x", "rc.a", "rc.born", "rc@target.a", "rc@target.z"]
    found = shown(True, rc="new")
    assert [name for name, _ in found] == expected
    # Of the source's own collections beside it the uuids do not matter; those that are restored keep theirs.
    assert [name for name, has_uuid in found if has_uuid] == ["rc.a"]
    assert shown(False, rc="new") == [(name, True) for name in expected]


def test_a_database_of_which_nothing_is_restored_is_shown_as_it_is() -> None:
    server = MemoryDatabase("target:27017")
    for db in ("rc", "other"):
        server.write(db, "z", {"_id": 1})
    target = RenamingTarget(server, Renames((("rc", "new"),)), ["other.x"], beside=False)
    assert sorted(one.name for one in target.list_namespaces()) == ["other.z", "rc.z"]


def test_of_one_collection_that_goes_elsewhere_only_its_own_name_is_marked() -> None:
    names = [name for name, _ in shown(False, rc_a="new.born")]
    assert names == ["new.a", "other.x", "rc.a", "rc.z", "rc@target.a"]


def test_what_is_written_goes_to_the_new_names_and_is_read_from_there() -> None:
    server = MemoryDatabase("target:27017")
    target = RenamingTarget(server, RENAMES, ["rc.a", "rc.c"], beside=True)
    for collection in ("a", "c"):
        namespace = Namespace("rc", collection)
        assert target.create_collection(namespace)
        target.insert_documents("rc", collection, [bson.encode({"_id": collection})])
    assert {name: len(held) for name, held in server.contents().items()} == {"x.b": 1, "new.c": 1}
    (batch,) = target.read_batches(Namespace("rc", "a"), IdRange())
    assert bson.encode({"_id": "a"}) in bytes(batch.documents)
    target.drop_collection(Namespace("rc", "a"))
    assert list(server.contents()) == ["new.c"]
    with pytest.raises(NotFound, match="roles are not restored together with new names"):
        target.restore_users("roles", [])


def test_what_is_erased_again_is_looked_for_under_the_new_names() -> None:
    class Erasing(MemoryDatabase):
        """Says where it was asked."""

        def find_values(self, db: str, collection: str, *_rest: object) -> list[str]:
            return [f"{db}.{collection}"]

        def delete_where(self, db: str, collection: str, *_rest: object) -> int:
            return len(f"{db}.{collection}")

        unset_where = delete_where

    target = RenamingTarget(Erasing("target:27017", "8.0.9"), RENAMES, ["rc.a", "rc.longer"], beside=True)
    assert target.find_values("rc", "a", "_id", "u", ["1"]) == ["x.b"]
    assert target.delete_where("rc", "longer", "u", ["1"]) == len("new.longer")
    assert target.unset_where("rc", "longer", "u", ["1"], "n") == len("new.longer")
    assert (target.read_server_version(), target.list_hosts()) == ("8.0.9", ("target:27017",))
    assert target.replay_oplog(iter([])).applied == 0


def command(o: dict[str, Any], collection: str) -> Operation:
    return Operation("c", "rc", collection, bson.encode(o), b"", "1.1")


RENAMES = Renames((("rc.a", "x.b"), ("rc", "new")))


@pytest.mark.parametrize(
    ("operation", "name", "o"),
    [
        (Operation("i", "rc", "a", bson.encode({"_id": 1}), b"", "1.1"), "x.b", {"_id": 1}),
        (Operation("i", "rc", "c", bson.encode({"_id": 1}), b"", "1.1"), "new.c", {"_id": 1}),
        (command({"create": "a", "capped": True}, "a"), "x.b", {"create": "b", "capped": True}),
        (command({"drop": "c"}, "c"), "new.c", {"drop": "c"}),
        (command({"dropDatabase": 1}, ""), "new.", {"dropDatabase": 1}),
        (
            command({"renameCollection": "rc.c", "to": "rc.a", "stayTemp": False}, "c"),
            "new.c",
            {"renameCollection": "new.c", "to": "x.b", "stayTemp": False},
        ),
        (
            Operation("d", "rc", "system.buckets.a", bson.encode({"_id": 1}), b"", "1.1"),
            "x.system.buckets.b",
            {"_id": 1},
        ),
        (command({"create": "system.views"}, "system.views"), "new.system.views", {"create": "system.views"}),
        (
            Operation("i", "rc", "system.views", bson.encode({"viewOn": "c"}), b"", "1.1"),
            "new.system.views",
            {"viewOn": "c"},
        ),
        (
            command({"create": "system.buckets.a"}, "system.buckets.a"),
            "x.system.buckets.b",
            {"create": "system.buckets.b"},
        ),
        (
            Operation("i", "rc", "system.views", bson.encode({"_id": "rc.v", "viewOn": "c"}), b"", "1.1"),
            "new.system.views",
            {"_id": "new.v", "viewOn": "c"},
        ),
    ],
)
def test_an_operation_is_written_where_the_namespace_went(
    operation: Operation, name: str, o: dict[str, Any]
) -> None:
    renamed = rename_operation(operation, RENAMES)
    assert (renamed.name, bson.decode(renamed.o), renamed.o2) == (name, o, b"")


def test_the_update_of_a_view_names_the_view_anew() -> None:
    update = Operation(
        "u", "rc", "system.views", bson.encode({"$v": 2, "diff": {}}), bson.encode({"_id": "rc.v"}), "1.1"
    )
    renamed = rename_operation(update, RENAMES)
    assert (renamed.subject, bson.decode(renamed.o2)) == ("new.v", {"_id": "new.v"})
    assert bson.decode(renamed.o) == {"$v": 2, "diff": {}}


@pytest.mark.parametrize(
    "renames",
    [[("rocketchat", "rescued")], [("rocketchat", "rescued"), ("rocketchat.c1", "x.c1")]],
    ids=["whole", "with one elsewhere"],
)
def test_dropping_the_database_in_the_window_drops_what_was_restored_and_nothing_else(
    world: World, renames: list[tuple[str, str]]
) -> None:
    class Dropping(MemoryDatabase):
        armed = True

        def read_batches(self, namespace, within):
            yield from super().read_batches(namespace, within)
            if namespace.name == "rocketchat.c2" and self.armed:
                self.armed = False
                self.drop_database("rocketchat")

    world.database = Dropping()
    world.seed()
    run_nightly(world.job())
    world.work(world.job())
    target = MemoryDatabase("target:27017")
    for name in ("rocketchat", "x"):
        target.write(name, "live", {"_id": 1})
    before = target.contents()
    world.restore(target, renames=renames, into_non_empty=True)
    assert target.contents() == before
