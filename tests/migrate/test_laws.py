"""Whatever happens at the source, and whenever runs happen in between: after the cut-over both are equal."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.kernel.errors import UsageError
from shared.migrate.cut_over import CutOverOptions
from shared.migrate.job import cut_over, run_migration
from shared.migrate.model import MigrationOptions
from tests.support.migration_world import DB, MigrationWorld

NAMES, IDS = st.sampled_from(["message", "users", "other"]), st.integers(0, 3)
ACTS = st.one_of(
    st.tuples(st.just("write"), NAMES, IDS),
    st.tuples(st.just("delete"), NAMES, IDS),
    st.tuples(st.just("drop"), NAMES),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("begin"), NAMES, IDS),
    st.tuples(st.just("commit")),
    st.tuples(st.just("run")),
)


def act(world: MigrationWorld, number: int, words: tuple) -> None:
    """Do it where it can be done; a database refuses the rest."""
    source, there = world.source, world.source.contents()
    match words:
        case ("write", name, identity):
            source.write(DB, name, {"_id": identity, "v": number})
        case ("delete", name, identity) if f"{DB}.{name}" in there:
            source.delete(DB, name, identity)
        # The last one is another story: see below.
        case ("drop", name) if f"{DB}.{name}" in there and sum(one.startswith(f"{DB}.") for one in there) > 1:
            if not world.source._open_transactions:
                source.drop(DB, name)
        case ("rename", name, to) if f"{DB}.{name}" in there and f"{DB}.{to}" not in there:
            if not world.source._open_transactions:
                source.rename(DB, name, to)
        case ("begin", name, identity) if not source._open_transactions:
            source.begin_transaction(number, [(DB, name, {"_id": f"t{identity}", "v": number})])
        case ("commit",) if source._open_transactions:
            source.commit_transaction(next(iter(source._open_transactions)))
        case ("run",):
            run_migration(world.deps(), MigrationOptions(), by="ana")


@settings(max_examples=30, deadline=None)
@given(st.lists(ACTS, max_size=25))
@example(acts=[("drop", "message"), ("drop", "users"), ("run",)])
def test_after_the_cut_over_the_target_is_what_the_source_was(acts) -> None:
    world = MigrationWorld()
    world.seed(2)
    run_migration(world.deps(), MigrationOptions(), by="ana")
    for number, words in enumerate(acts):
        act(world, number, words)
    cut_over(world.deps(), CutOverOptions(), by="ana")
    assert world.at_target() == world.at_source()
    assert world.source.read_only


def test_a_source_that_was_emptied_is_refused_and_the_target_keeps_what_it_has() -> None:
    world = MigrationWorld()
    world.seed(2)
    run_migration(world.deps(), MigrationOptions(), by="ana")
    moved = world.at_target()
    for namespace in list(world.source.contents()):
        if namespace.startswith(f"{DB}."):  # and not the migration's own
            world.source.drop(*namespace.split(".", 1))
    with pytest.raises(UsageError, match="holds no database to move"):
        run_migration(world.deps(), MigrationOptions(), by="ana")
    assert world.at_target() == moved
    assert any(moved.values())
