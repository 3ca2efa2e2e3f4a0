"""What verify says of sets as a whole, and of each one's content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.reporter import ListReporter
from shared.backup import job as backup
from shared.backup.catalogue import SetCatalogue
from shared.backup.seals import SealLog
from shared.backup.sets import MANIFEST, format_set_id, list_sets, read_manifest
from shared.backup.verify import retention_start, verify_chain, verify_content, verify_key, verify_stored
from shared.formats.agekeys import generate_identity, parse_identities
from shared.formats.backupset import ChainLink, Manifest
from shared.kernel.errors import Corrupt
from shared.policy import Retention
from tests.support.backup_world import World
from tests.support.signed_sets import SIGNER, catalogue_of, put_failed, put_plan, put_sealed

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Chain:
    """Sets that follow one another."""

    def __init__(self) -> None:
        clock = ManualClock(NOW)
        self.blobs, state = MemoryBlobs(clock), MemoryBlobs(clock)
        self.catalogue: SetCatalogue = catalogue_of(self.blobs, state, clock)

    def add(self, hours: int, previous: ChainLink | None = None, klass: str = "daily") -> ChainLink:
        """A set that was begun so many hours ago, and the link to it."""
        folder = put_sealed(self.blobs, NOW - hours * HOUR, klass, previous=previous)
        return self.catalogue.find(folder).link

    def problems(self, **retained_since: datetime) -> list[tuple[str, str]]:
        found = verify_chain(self.catalogue, self.catalogue.entries(), retained_since)
        return [(one.folder, one.problem) for one in found]


@pytest.fixture
def chain() -> Chain:
    return Chain()


def folder_of(hours: int, klass: str = "daily") -> str:
    return f"sets/{klass}/{format_set_id(NOW - hours * HOUR)}/"


def test_sets_of_which_each_follows_the_one_before_have_no_problem(chain: Chain) -> None:
    link = None
    for hours in (4, 3, 2, 1):
        link = chain.add(hours, link, "weekly" if hours == 3 else "daily")
    assert chain.problems(daily=NOW - 9 * HOUR, weekly=NOW - 9 * HOUR) == []


def test_a_set_that_follows_another_version_of_the_one_before_breaks_the_chain(chain: Chain) -> None:
    link = chain.add(3)
    chain.add(2, replace(link, sha256="0" * 64))
    problem = f"the chain is broken: {folder_of(3)} is not the version that {folder_of(2)} follows"
    assert chain.problems() == [(folder_of(2), problem)]


def test_two_that_follow_one_are_told_by_both_their_names(chain: Chain) -> None:
    link = chain.add(3)
    chain.add(2, link)
    chain.add(1, link)
    problem = f"the chain is broken: {folder_of(2)} and {folder_of(1)} both follow {folder_of(3)}"
    assert chain.problems() == [(folder_of(1), problem)]


@pytest.mark.parametrize(
    ("retained_since", "missed"),
    [
        ({}, False),  # nothing is known of what policy keeps
        ({"weekly": NOW - 9 * DAY}, False),  # of another class
        ({"daily": NOW - 3 * HOUR + timedelta(seconds=1)}, False),  # it may have expired
        ({"daily": NOW - 3 * HOUR}, True),
        ({"daily": NOW - DAY}, True),
    ],
)
def test_a_set_that_another_follows_is_missed_while_policy_keeps_it(
    chain: Chain, retained_since: dict[str, datetime], missed: bool
) -> None:
    gone = ChainLink(format_set_id(NOW - 3 * HOUR), "daily", "0" * 64)
    chain.add(2, gone)
    found = chain.problems(**retained_since)
    assert bool(found) is missed
    if missed:
        (folder, problem) = found[0]
        assert folder == folder_of(2)
        assert f"follows {folder_of(3)}, which is missing although policy still keeps it" in problem


def test_only_a_set_that_should_be_good_is_a_problem(chain: Chain) -> None:
    put_plan(chain.blobs, NOW - 8 * HOUR)
    put_failed(chain.blobs, NOW - 7 * HOUR)
    chain.blobs.create(folder_of(6) + "x", b"somebody else's")
    assert chain.problems() == []
    # A manifest is no record that this one is a backup: it failed, and says so.
    put_failed(chain.blobs, NOW - 5 * HOUR)
    chain.blobs.create(folder_of(5) + MANIFEST, b"x")
    assert chain.problems() == []
    chain.blobs.create(folder_of(4) + MANIFEST, b"x")
    chain.blobs.create(put_plan(chain.blobs, NOW - 3 * HOUR) + MANIFEST, b"x")
    assert [folder for folder, _ in chain.problems()] == [folder_of(4), folder_of(3)]


@pytest.mark.parametrize(
    ("retained_since", "is_problem"),
    [
        ({}, True),
        ({"weekly": NOW}, True),
        ({"daily": NOW - 3 * HOUR}, True),
        ({"daily": NOW - 3 * HOUR + timedelta(seconds=1)}, False),  # what expires may lose its manifest first
    ],
)
def test_a_sealed_set_without_its_manifest_is_a_problem_unless_it_expires(
    chain: Chain, retained_since: dict[str, datetime], is_problem: bool
) -> None:
    chain.add(3)
    seals = chain.catalogue.seals
    assert isinstance(seals, SealLog)
    (info,) = list_sets(chain.blobs)
    seals.append(read_manifest(chain.blobs, info, seals.trusted), SIGNER)
    chain.blobs.delete(info.folder + MANIFEST)
    assert (info.folder in [folder for folder, _ in chain.problems(**retained_since)]) is is_problem


def test_policy_keeps_all_of_a_class_for_a_day_less_than_its_age() -> None:
    rules = Retention()
    assert {klass: NOW - at for klass, at in retention_start(rules, NOW).items()} == {
        klass: age - DAY for klass, age in rules.ages.items()
    }


# The content of one set.


@pytest.fixture(scope="module")
def sealed() -> tuple[World, Manifest]:
    world = World(part_bytes=400)
    world.seed()
    world.database.write("rocketchat", "empty", {"_id": 1})
    world.database.delete("rocketchat", "empty", 1)
    backup.run_nightly(world.job())
    world.work(world.job())
    (info,) = world.sealed()
    return world, world.manifest(info)


def check(sealed: tuple[World, Manifest], change: Callable[[Manifest], Manifest]) -> ListReporter:
    world, manifest = sealed
    reporter = ListReporter()
    verify_content(world.backups, change(manifest), world.identities, reporter)
    return reporter


def change_first(**fields: Any) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        first, *rest = manifest.namespaces
        return replace(manifest, namespaces=(replace(first, **fields), *rest))

    return change


def test_a_set_that_holds_what_its_manifest_says_is_read_to_its_end(sealed: tuple[World, Manifest]) -> None:
    reporter = check(sealed, lambda manifest: manifest)
    assert [name for name, _ in reporter.phases] == ["Verifying content"]
    documents = sum(one.data_bytes for one in sealed[1].namespaces) + sealed[1].oplog.data_bytes
    assert reporter.done == [documents]


@pytest.mark.parametrize(
    "fields", [{"documents": 9}, {"data_bytes": 1}, {"content_hash": "0" * 32}], ids=["count", "size", "hash"]
)
def test_a_namespace_that_differs_in_any_of_its_sums_is_named(
    sealed: tuple[World, Manifest], fields: dict[str, Any]
) -> None:
    with pytest.raises(Corrupt, match=r"rocketchat\.c0 in sets/\S+ differs from the manifest"):
        check(sealed, change_first(**fields))


@pytest.mark.parametrize(
    "fields", [{"entries": 9}, {"data_bytes": 1}, {"content_hash": "f" * 32}], ids=["count", "size", "hash"]
)
def test_an_oplog_that_differs_in_any_of_its_sums_is_corrupt(
    sealed: tuple[World, Manifest], fields: dict[str, Any]
) -> None:
    with pytest.raises(Corrupt, match="differs from the manifest"):
        check(sealed, lambda manifest: replace(manifest, oplog=replace(manifest.oplog, **fields)))


def test_a_namespace_that_the_manifest_does_not_name_is_named(sealed: tuple[World, Manifest]) -> None:
    with pytest.raises(Corrupt, match=r"the prelude differs from the manifest: rocketchat\.c0"):
        check(sealed, lambda manifest: replace(manifest, namespaces=manifest.namespaces[2:]))


def test_a_namespace_that_is_not_in_the_archive_is_named(sealed: tuple[World, Manifest]) -> None:
    gone = replace(sealed[1].namespaces[0], collection="gone")
    with pytest.raises(Corrupt, match=r"rocketchat\.gone in "):
        check(sealed, lambda manifest: replace(manifest, namespaces=(*manifest.namespaces, gone)))


def test_every_stored_byte_is_read_and_the_first_part_that_differs_is_named(
    sealed: tuple[World, Manifest],
) -> None:
    world, manifest = sealed
    reporter = ListReporter()
    verify_stored(world.backups, manifest, manifest.parts, reporter)
    total = sum(part.stored_bytes for part in manifest.parts)
    assert (reporter.phases, reporter.done) == ([("Verifying stored bytes", total)], [total])
    changed = [*manifest.parts[:1], *(replace(part, sha256="0" * 64) for part in manifest.parts[1:])]
    with pytest.raises(Corrupt, match=r"part-0001\S+ was changed"):
        verify_stored(world.backups, manifest, changed, ListReporter())


def test_a_key_that_opens_the_parts_is_told_from_one_that_does_not(sealed: tuple[World, Manifest]) -> None:
    world, manifest = sealed
    verify_key(world.backups, manifest, manifest.parts, world.identities)
    other = parse_identities(generate_identity(post_quantum=False)[0])
    with pytest.raises(Corrupt, match="part-0000"):
        verify_key(world.backups, manifest, manifest.parts, other)
