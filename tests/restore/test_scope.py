"""What a restore replays of the oplog: what belongs to the set, never what the target held before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import bson
import pytest

from local.fakes.mongodb import MemoryDatabase
from shared.backup.job import run_nightly
from shared.formats.documents import TalliedBatch
from shared.kernel.errors import Corrupt
from shared.mongodb.model import IdRange, Namespace
from shared.mongodb.oplog import Operation
from shared.mongodb.scope import OperationFilter, ReplayScope
from shared.restore.decide import describe_outside, select_replay
from tests.support.backup_world import World


class PartialSource(MemoryDatabase):
    """A server of which policy backs up `rocketchat` only: it lists that, its oplog is of everything.

    `after_reading` is done to it when all collections were read, before the oplog is.
    """

    after_reading: Callable[[PartialSource], None] | None = None

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        yield from super().read_batches(namespace, within)
        if namespace.name == "rocketchat.c2" and (act := self.after_reading):
            self.after_reading = None
            act(self)

    def list_namespaces(self) -> list[Namespace]:
        return [n for n in super().list_namespaces() if n.db in ("rocketchat", "admin")]


def dump_rocketchat(during) -> World:
    """A sealed set of `rocketchat`, with `during` done to the server while it was dumped."""
    world = World(database=PartialSource())
    world.seed()
    world.database.write("billing", "invoices", {"_id": 1, "amount": 10})
    job = world.job()
    job = replace(job, policy=job.policy.model_copy(update={"databases": ("rocketchat",)}))
    run_nightly(job)
    during(world.database)
    world.work(job)
    return world


def live_target() -> MemoryDatabase:
    target = MemoryDatabase("other:27017")
    for identity in (1, 2, 3):
        target.write("billing", "invoices", {"_id": identity, "amount": 777})
    return target


def bill(database: MemoryDatabase) -> None:
    database.write("billing", "invoices", {"_id": 1, "amount": 99})
    database.write("billing", "invoices", {"_id": 2, "amount": 5})
    database.delete("billing", "invoices", 2)
    database.write("billing", "born", {"_id": 1})
    database.write("rocketchat", "c0", {"_id": 3, "msg": "edited during the dump"})


@pytest.mark.parametrize("last", ["nothing", "drop", "dropDatabase"])
def test_a_database_that_the_set_does_not_hold_is_never_touched(last: str) -> None:
    def during(database: MemoryDatabase) -> None:
        bill(database)
        if last == "drop":
            database.drop("billing", "invoices")
        if last == "dropDatabase":
            database.drop_database("billing")

    world = dump_rocketchat(during)
    target = live_target()
    before = target.contents()["billing.invoices"]
    result = world.restore(target, into_non_empty=True)
    assert target.contents()["billing.invoices"] == before
    assert "billing.born" not in target.contents()
    assert result.proven
    assert target.contents()["rocketchat.c0"] == world.database.contents()["rocketchat.c0"]


def test_an_empty_target_gets_nothing_of_other_databases_either() -> None:
    world = dump_rocketchat(bill)
    target = MemoryDatabase("target:27017")
    assert world.restore(target).proven
    assert {name.partition(".")[0] for name in target.contents()} == {"rocketchat"}


def test_a_collection_created_during_the_dump_is_not_mixed_with_the_targets_own() -> None:
    world = dump_rocketchat(lambda database: database.write("rocketchat", "born", {"_id": 1}))
    target = MemoryDatabase("other:27017")
    target.write("rocketchat", "born", {"_id": 1, "mine": True})
    before = target.contents()["rocketchat.born"]
    result = world.restore(target, into_non_empty=True)
    assert target.contents()["rocketchat.born"] == before
    assert not result.proven
    assert [v.differences for v in result.verdicts if v.name == "rocketchat.born"] == [
        ("1 oplog entries not replayed: the target held it before the restore",)
    ]


def test_dropping_the_sets_database_leaves_what_the_target_held_in_it() -> None:
    def during(database: PartialSource) -> None:
        database.after_reading = lambda source: source.drop_database("rocketchat")

    world = dump_rocketchat(during)
    target = MemoryDatabase("other:27017")
    target.write("rocketchat", "mine", {"_id": 1})
    world.restore(target, into_non_empty=True)
    assert set(target.contents()) == {"rocketchat.mine"}


SCOPE = ReplayScope(
    frozenset({"rc.a", "rc.b", "x.y"}), frozenset({"rc"}), frozenset({"rc.out"}), frozenset({"rc.live"})
)


@pytest.mark.parametrize(
    ("name", "included"),
    [
        ("rc.a", True),
        ("rc.born", True),
        ("rc.out", False),
        ("rc.live", False),
        ("x.y", True),
        ("x.z", False),
        ("rcx.a", False),
    ],
)
def test_a_scope_holds_the_set_and_what_its_databases_bear(name: str, included: bool) -> None:
    assert SCOPE.includes(name) is included


@pytest.mark.parametrize(
    ("scope", "whole"),
    [
        (ReplayScope(frozenset({"rc.a"}), frozenset({"rc"})), True),
        (ReplayScope(frozenset({"rc.a"}), frozenset({"rc"}), existing=frozenset({"rc2.b"})), True),
        (ReplayScope(frozenset({"rc.a"}), frozenset({"rc"}), existing=frozenset({"rc.b"})), False),
        (ReplayScope(frozenset({"rc.a"}), frozenset({"rc"}), excluded=frozenset({"rc.b"})), False),
        (ReplayScope(frozenset({"rc.a"})), False),
    ],
)
def test_a_database_is_dropped_whole_only_if_nothing_in_it_is_anybody_elses(
    scope: ReplayScope, whole: bool
) -> None:
    born = Operation("i", "rc", "born", bson.encode({"_id": 1}), b"", "1.1")
    drop = Operation("c", "rc", "", bson.encode({"dropDatabase": 1}), b"", "2.1")
    selection = OperationFilter(scope)
    selected = list(selection.select_operations([born, drop]))
    names = [operation.name for operation in selected if operation.op == "c"]
    members = ["rc.a", "rc.born"] if "rc" in scope.databases else ["rc.a"]
    assert names == (["rc."] if whole else members)
    assert {c.namespace for c in selection.result().index_changes} == set(names)
    if not whole:
        assert [bson.decode(o.o) for o in selected if o.op == "c"] == [
            {"drop": n.partition(".")[2]} for n in members
        ]


def test_a_time_series_of_the_target_is_not_replaced_by_buckets_that_get_its_name() -> None:
    # What `$out` into a time series leaves in the oplog; `rc.live` is the target's own.
    body = {"renameCollection": "rc.system.buckets.tmp.agg_out.1", "to": "rc.system.buckets.live"}
    rename = Operation("c", "rc", "system.buckets.tmp.agg_out.1", bson.encode(body), b"", "1.1")
    with pytest.raises(Corrupt, match="leads out of what is restored"):
        list(OperationFilter(SCOPE).select_operations([rename]))
    own = {**body, "to": "rc.system.buckets.a"}
    assert len(list(OperationFilter(SCOPE).select_operations([replace(rename, o=bson.encode(own))]))) == 1


def test_dropping_a_database_never_drops_what_the_target_held() -> None:
    scope = ReplayScope(frozenset({"rc.a", "rc.b"}), frozenset({"rc"}), existing=frozenset({"rc.b"}))
    drop = Operation("c", "rc", "", bson.encode({"dropDatabase": 1}), b"", "2.1")
    selected = OperationFilter(scope).select_operations([drop])
    assert [operation.name for operation in selected] == ["rc.a"]


def test_a_view_is_told_by_the_database_whose_views_are_written() -> None:
    document = bson.encode({"_id": "rc.v", "viewOn": "a"})
    operation = Operation("i", "billing", "system.views", document, b"", "1.1")
    assert operation.subject == "billing.v"


def test_what_policy_excludes_what_the_target_held_and_what_differs_is_not_replayed(world: World) -> None:
    run_nightly(world.job())
    world.work(world.job())
    result = world.restore(MemoryDatabase("target:27017"))
    manifest = replace(result.manifest, excluded=("rocketchat.out",))
    plan = replace(result.plan, existing=frozenset({"rocketchat.live"}))
    scope = select_replay(manifest, plan, {"rocketchat.c1"})
    included = {name for name in ("c0", "c1", "born", "out", "live") if scope.includes(f"rocketchat.{name}")}
    assert included == {"c0", "born"}
    part = replace(plan, collections=plan.collections[:1])
    scope = select_replay(manifest, part, ())
    assert (scope.includes("rocketchat.c0"), scope.includes("rocketchat.born")) == (True, False)


@pytest.mark.parametrize(
    ("name", "difference", "note"),
    [
        ("rc.live", "2 oplog entries not replayed: the target held it before the restore", None),
        ("rc.out", None, None),
        (
            "billing.live",
            None,
            "billing.live: 2 oplog entries not replayed, the set does not hold this database",
        ),
        ("billing.", None, None),
    ],
)
def test_entries_that_were_not_replayed_are_differences_or_notes(
    name: str, difference: str | None, note: str | None
) -> None:
    scope = replace(SCOPE, existing=frozenset({"rc.live", "billing.live"}))
    differences, notes = describe_outside(scope, {name: 2})
    assert differences == ({name: difference} if difference else {})
    assert notes == ([note] if note else [])
    assert describe_outside(replace(scope, databases=frozenset()), {name: 2}) == ({}, [])
