"""The plan, asked of two servers."""

from __future__ import annotations

import pytest

from shared.kernel.errors import UsageError
from shared.migrate.job import plan_move
from shared.migrate.model import MigrationOptions
from tests.support.migration_world import MigrationWorld


def test_the_plan_counts_what_is_moved_and_leaves_both_servers_as_they_are() -> None:
    world = MigrationWorld()
    world.seed()
    world.source.write("admin", "notes", {"_id": 1})
    before = world.source.contents()
    plan = plan_move(world.deps(), MigrationOptions())
    assert (plan.source.databases, plan.source.namespaces, plan.source.documents) == (("rocketchat",), 2, 6)
    assert plan.refusals == ()
    assert (world.source.contents(), world.target.contents()) == (before, {})


def test_only_the_databases_that_are_named_are_moved_and_one_that_is_not_there_is_told() -> None:
    world = MigrationWorld()
    world.seed()
    world.source.write("shop", "c", {"_id": 1})
    assert plan_move(world.deps(), MigrationOptions(databases=("shop",))).source.databases == ("shop",)
    with pytest.raises(UsageError, match="no such database: rocketchta"):
        plan_move(world.deps(), MigrationOptions(databases=("rocketchta",)))


def test_an_empty_source_is_the_wrong_one() -> None:
    with pytest.raises(UsageError, match="no database to move"):
        plan_move(MigrationWorld().deps(), MigrationOptions())


def test_what_the_target_holds_is_in_the_way_the_servers_own_is_not() -> None:
    world = MigrationWorld()
    world.seed()
    world.target.write("admin", "system.users", {"_id": "admin.groundcrew"})
    assert plan_move(world.deps(), MigrationOptions()).refusals == ()
    world.target.write("rocketchat", "message", {"_id": 1})
    (refusal,) = plan_move(world.deps(), MigrationOptions()).refusals
    assert "rocketchat.message" in refusal.reason
