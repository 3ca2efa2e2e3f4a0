"""What `--only` selects, and what it says of a name that matches nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from local.fakes.mongodb import MemoryDatabase
from shared.backup.job import run_nightly
from shared.formats.backupset import NamespaceEntry, StoredPart
from shared.kernel.errors import Refused, UsageError
from shared.mongodb.model import Namespace
from shared.restore.decide import plan_restore, select_namespaces
from tests.support.backup_world import World
from tests.support.signed_sets import manifest_of

NAMES = ["admin.system.users", "rc.uploads", "rc.uploads.chunks", "rc.uploads.files", "rc.users", "rc2.users"]
ENTRIES = [NamespaceEntry(*name.split(".", 1), "collection", "", "", 0, 0, "0" * 32) for name in NAMES]


def names(*only: str) -> list[str]:
    return [entry.name for entry in select_namespaces(ENTRIES, only)]


@pytest.mark.parametrize(
    ("only", "selected"),
    [
        ((), NAMES),
        (("rc.users",), ["rc.users"]),
        (("rc",), [name for name in NAMES if name.startswith("rc.")]),
        (("rc.uploads*",), ["rc.uploads", "rc.uploads.chunks", "rc.uploads.files"]),
        (("rc.uploads",), ["rc.uploads"]),
        (("*.users",), ["admin.system.users", "rc.users", "rc2.users"]),
        (("rc?.users",), ["rc2.users"]),
        (("rc.users", "rc2"), ["rc.users", "rc2.users"]),
        (("RC.users*", "rc.users")[1:], ["rc.users"]),
    ],
)
def test_names_databases_and_patterns_select(only: tuple[str, ...], selected: list[str]) -> None:
    assert names(*only) == selected


@pytest.mark.parametrize(
    ("only", "hint"),
    [
        ("rc.uploadz", "Did you mean rc.uploads"),
        ("rc3", "Did you mean rc or rc2?"),
        ("RC.users*", "Did you mean"),
        ("nothing at all like it", "It holds admin.system.users, rc.uploads"),
    ],
)
def test_what_matches_nothing_is_named_with_the_nearest(only: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        names("rc.users", only)
    assert only in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("only", "parts"),
    [
        ((), ["users", "rooms", "both", "oplog"]),
        (("rc.users",), ["users", "both", "oplog"]),
        (("rc.rooms",), ["rooms", "both", "oplog"]),
        # A view is in no part; the oplog is replayed all the same, or the documents are of many moments.
        (("rc.view",), ["oplog"]),
    ],
)
def test_only_the_parts_that_hold_something_of_it_are_read_and_always_the_oplogs(
    only: tuple[str, ...], parts: list[str]
) -> None:
    held = {"users": ("rc.users",), "rooms": ("rc.rooms",), "both": ("rc.users", "rc.rooms"), "oplog": ()}
    manifest = replace(
        manifest_of(datetime(2026, 3, 2, tzinfo=UTC)),
        parts=tuple(StoredPart(name, 1, 1, "0" * 64, names) for name, names in held.items()),
        namespaces=(
            *(
                NamespaceEntry("rc", name, "collection", "", "", 0, 0, "0" * 32)
                for name in ("users", "rooms")
            ),
            NamespaceEntry("rc", "view", "view", "", "", 0, 0, "0" * 32),
        ),
    )
    plan = plan_restore(manifest, only, [], ["target:27017"], into_non_empty=False)
    assert [part.blob for part in plan.parts] == parts
    assert plan.oplog.blob == "oplog"


def test_a_collection_is_meant_by_its_own_name_though_that_reads_as_a_pattern() -> None:
    entries = [NamespaceEntry("rc", n, "collection", "", "", 0, 0, "0" * 32) for n in ("a[1]", "a1", "b*")]
    assert [one.name for one in select_namespaces(entries, ["rc.a[1]"])] == ["rc.a[1]"]
    assert [one.name for one in select_namespaces(entries, ["rc.b*"])] == ["rc.b*"]


def test_of_many_names_that_are_near_four_are_told() -> None:
    entries = [NamespaceEntry("rc", f"rooms{n}", "collection", "", "", 0, 0, "0" * 32) for n in range(9)]
    with pytest.raises(UsageError) as caught:
        select_namespaces(entries, ["rc.rooms"])
    assert str(caught.value).count("rc.rooms") == 1 + 4


def test_what_the_target_holds_besides_is_told_and_what_it_holds_of_the_backup_is_refused() -> None:
    names = [f"c{n}" for n in range(7)]
    manifest = replace(
        manifest_of(datetime(2026, 3, 2, tzinfo=UTC)),
        namespaces=tuple(NamespaceEntry("rc", n, "collection", "", "", 0, 0, "0" * 32) for n in names),
    )
    other = [Namespace("other", "a"), Namespace("other", "b")]
    plan = plan_restore(manifest, (), other, ["target:27017"], into_non_empty=True)
    assert plan.reasons[0] == "the target holds 2 other namespaces, and --into-non-empty was given"
    with pytest.raises(Refused, match=r"the target is not empty: 2 namespaces, other\.a among them"):
        plan_restore(manifest, (), other, ["target:27017"], into_non_empty=False)
    same = [Namespace("rc", name) for name in names]
    with pytest.raises(Refused, match="already has collections of the backup") as caught:
        plan_restore(manifest, (), [*same, *other], ["target:27017"], into_non_empty=True)
    assert caught.value.value == "rc.c0, rc.c1, rc.c2, rc.c3, rc.c4"
    plan = plan_restore(manifest, ("rc.c0",), [*same[1:], *other], ["target:27017"], into_non_empty=True)
    assert [one.name for one in plan.collections] == ["rc.c0"]


def test_a_plan_says_how_much_there_is_to_do(world: World) -> None:
    run_nightly(world.job())
    world.work(world.job())
    result = world.restore(MemoryDatabase("target:27017"), only=["rocketchat.c1"], dry_run=True)
    part = result.plan.parts[0]
    (entry,) = result.plan.collections
    sizes = (
        f"{entry.data_bytes / 1e6:.1f} MB before compression; {part.stored_bytes / 1e6:.1f} MB are read twice"
    )
    assert result.plan.reasons[1] == "1 of 3 namespaces from 1 of 1 parts"
    assert result.plan.reasons[2].startswith(f"8 documents, {sizes}")
