"""A restore that breaks off: what it says, how it goes on, and that it never drops what is not its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.fakes.journals import MemoryJournals
from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.adapters.journal_files import JournalFiles
from shared.backup.job import run_nightly
from shared.formats.documents import TalliedBatch
from shared.kernel.errors import Refused, Unavailable, UsageError
from shared.mongodb.model import IdRange, InsertResult, Namespace, ReplayResult
from shared.restore.job import RestoreDeps, RestoreResult, restore_set
from shared.restore.journal import Journal, JournalStore, journal_key
from tests.support.backup_world import World


class Breaking(MemoryDatabase):
    """A target that breaks off once: at the n-th insert, at the replay, or when indexes are built."""

    def __init__(self, where: str = "", after: int = 0, error: BaseException | None = None) -> None:
        super().__init__("target:27017")
        self.where, self.after, self.inserts = where, after, 0
        self.error = error or Unavailable("inserting failed", value="connection closed")
        self.inserted: list[str] = []
        self.dropped: list[str] = []

    def _break(self, where: str) -> None:
        if where == self.where:
            self.after -= 1
            if self.after < 0:
                self.where = ""
                raise self.error

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        self._break("insert")
        self.inserted.append(f"{db}.{collection}")
        return super().insert_documents(db, collection, documents)

    def replay_oplog(self, entries, *, scope=None, rename=None) -> ReplayResult:
        if self.where == "replay":
            super().replay_oplog(entries, scope=scope, rename=rename)
        self._break("replay")
        return super().replay_oplog(entries, scope=scope, rename=rename)

    def create_indexes(self, db, collection, indexes) -> list[str]:
        self._break("indexes")
        return super().create_indexes(db, collection, indexes)

    def drop_collection(self, namespace: Namespace) -> None:
        self.dropped.append(namespace.name)
        super().drop_collection(namespace)


@pytest.fixture
def sealed(world: World) -> World:
    view = Namespace("rocketchat", "v", "view", options={"viewOn": "c0", "pipeline": []})
    world.database.create_collection(view)
    run_nightly(world.job())
    world.database.write("rocketchat", "c1", {"_id": 0, "msg": "edited in the window"})
    world.database.write("rocketchat", "born", {"_id": 1})
    world.work(world.job())
    return world


@pytest.fixture
def journals() -> MemoryJournals:
    return MemoryJournals()


def restore(
    world: World,
    target: MemoryDatabase,
    journals: JournalStore | None,
    reporter: ListReporter | None = None,
    **options,
) -> RestoreResult:
    deps = RestoreDeps(
        world.catalogue,
        target,
        world.identities,
        reporter or ListReporter(),
        world.clock,
        journals=journals,
    )
    return restore_set(deps, "latest", **options)


BREAKS = [("insert", 0), ("insert", 1), ("insert", 7), ("replay", 0), ("indexes", 0), ("indexes", 2)]


@pytest.mark.parametrize(("where", "after"), BREAKS)
@pytest.mark.parametrize("error", [None, KeyboardInterrupt()], ids=["connection", "Ctrl-C"])
def test_a_restore_that_breaks_off_is_resumed_and_proven(
    sealed: World, journals: MemoryJournals, where: str, after: int, error: BaseException | None
) -> None:
    target = Breaking(where, after, error)
    reporter = ListReporter()
    with pytest.raises((Unavailable, KeyboardInterrupt)):
        restore(sealed, target, journals, reporter)
    assert "--resume" in reporter.notes[-1]
    assert reporter.notes[-1].startswith("interrupted while ")
    result = restore(sealed, target, journals, resume=True)
    assert result.proven
    assert target.contents() == sealed.database.contents()
    assert journals.stored == {}


def test_what_is_complete_and_equal_is_not_restored_again(sealed: World, journals: MemoryJournals) -> None:
    target = Breaking("insert", 7)
    with pytest.raises(Unavailable):
        restore(sealed, target, journals)
    assert target.inserted == ["rocketchat.c0"] * 3 + ["rocketchat.c1"] * 3 + ["rocketchat.c2"]
    target.inserted.clear()
    assert restore(sealed, target, journals, resume=True).proven
    assert set(target.inserted) == {"rocketchat.c2"}
    assert target.dropped == ["rocketchat.c2"]


def test_after_the_replay_has_begun_everything_is_restored_again(
    sealed: World, journals: MemoryJournals
) -> None:
    target = Breaking("replay", 0)
    with pytest.raises(Unavailable):
        restore(sealed, target, journals)
    target.inserted.clear()
    assert restore(sealed, target, journals, resume=True).proven
    assert set(target.inserted) == {"rocketchat.c0", "rocketchat.c1", "rocketchat.c2"}


def test_an_interrupted_restore_is_recognised_and_resuming_is_advised(
    sealed: World, journals: MemoryJournals
) -> None:
    target = Breaking("insert", 1)
    with pytest.raises(Unavailable):
        restore(sealed, target, journals)
    with pytest.raises(Refused, match="--resume"):
        restore(sealed, target, journals)
    with pytest.raises(Refused, match="--into-non-empty"):
        restore(sealed, target, None)


def test_a_collection_made_and_not_noted_is_named_and_whoever_drops_it_can_go_on(
    sealed: World, journals: MemoryJournals
) -> None:
    target = Breaking("insert", 1)
    with pytest.raises(Unavailable):
        restore(sealed, target, journals)
    # Created, and killed before that was noted; then the same from another's hand is not told apart.
    target.drop_collection(next(n for n in target.list_namespaces() if n.collection == "c2"))
    target.create_collection(Namespace("rocketchat", "c2", "collection"))
    with pytest.raises(Refused, match=r"rocketchat\.c2") as caught:
        restore(sealed, target, journals, resume=True)
    assert caught.value.hint.startswith("The interrupted restore did not note")
    target.drop_collection(next(n for n in target.list_namespaces() if n.collection == "c2"))
    assert restore(sealed, target, journals, resume=True).proven


def test_there_is_nothing_to_resume_without_a_journal(sealed: World, journals: MemoryJournals) -> None:
    with pytest.raises(UsageError, match="no interrupted restore"):
        restore(sealed, MemoryDatabase("target:27017"), journals, resume=True)
    target = Breaking("insert", 1)
    with pytest.raises(Unavailable):
        restore(sealed, target, journals)
    with pytest.raises(UsageError, match="no interrupted restore"):
        restore(sealed, MemoryDatabase("elsewhere:27017"), journals, resume=True)


def test_a_collection_that_somebody_created_anew_is_not_dropped(
    sealed: World, journals: MemoryJournals
) -> None:
    target = Breaking("insert", 1)
    with pytest.raises(Unavailable):
        restore(sealed, target, journals)
    target.drop("rocketchat", "c2")
    target.write("rocketchat", "c2", {"_id": "mine"})
    before = target.contents()
    with pytest.raises(Refused, match="not empty"):
        restore(sealed, target, journals, resume=True)
    with pytest.raises(Refused, match="already has"):
        restore(sealed, target, journals, resume=True, into_non_empty=True)
    assert target.contents() == before


def test_what_the_target_held_before_the_first_run_is_protected_when_it_is_resumed(
    sealed: World, journals: MemoryJournals
) -> None:
    target = Breaking("indexes", 1)
    target.write("rocketchat", "born", {"_id": 1, "mine": True})
    mine = target.contents()["rocketchat.born"]
    with pytest.raises(Unavailable):
        restore(sealed, target, journals, into_non_empty=True)
    result = restore(sealed, target, journals, resume=True)
    assert target.contents()["rocketchat.born"] == mine
    assert [v.name for v in result.verdicts if not v.equal] == ["rocketchat.born"]


def test_a_manifest_that_changed_meanwhile_is_not_resumed(sealed: World, journals: MemoryJournals) -> None:
    target = Breaking("insert", 1)
    with pytest.raises(Unavailable):
        restore(sealed, target, journals)
    key, data = next(iter(journals.stored.items()))
    journals.stored[key] = data.replace(b'"manifest_sha256"', b'"other"')
    with pytest.raises(Exception, match="malformed"):
        restore(sealed, target, journals, resume=True)
    sha256 = sealed.sealed()[0].id.encode()
    journals.stored[key] = data.replace(data.split(b'"manifest_sha256":')[1].split(b'"')[1], sha256)
    with pytest.raises(Refused, match="another one than when the restore began"):
        restore(sealed, target, journals, resume=True)


def test_a_journal_belongs_to_one_set_and_one_target() -> None:
    keys = {
        journal_key("sets/daily/a/", ["h:1", "h:2"]),
        journal_key("sets/daily/b/", ["h:1", "h:2"]),
        journal_key("sets/daily/a/", ["h:1"]),
    }
    assert len(keys) == 3
    assert journal_key("s", ["h:2", "h:1"]) == journal_key("s", ["h:1", "h:2"])


@pytest.mark.parametrize(
    ("journal", "foreign"),
    [
        (Journal("s", "x", created={"db.c": "1"}), False),
        (Journal("s", "x", created={"db.c": "2"}), True),
        (Journal("s", "x"), True),
        (Journal("s", "x", replaying=True), False),
        (Journal("s", "x", existing=("db.c",), replaying=True), True),
        (Journal("s", "x", existing=("db.c",), created={"db.c": "1"}), False),
    ],
)
def test_the_restores_own_is_what_it_created_or_what_the_replay_did(journal: Journal, foreign: bool) -> None:
    assert journal.is_foreign(Namespace("db", "c", uuid="1"), {"db"}) is foreign
    assert journal.is_foreign(Namespace("other", "c", uuid="1"), {"db"})


@pytest.fixture(params=["files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> JournalStore:
    return JournalFiles(tmp_path / "a" / "b") if request.param == "files" else MemoryJournals()


def test_journals_are_replaced_and_removed(store: JournalStore) -> None:
    assert store.read("k") is None
    store.remove("k")
    store.write("k", b"one")
    store.write("k", b"two")
    store.write("other", b"three")
    assert (store.read("k"), store.read("other")) == (b"two", b"three")
    store.remove("k")
    assert (store.read("k"), store.read("other")) == (None, b"three")


class Interrupted(MemoryDatabase):
    """A target whose connection is lost so many times while it is read back."""

    def __init__(self, times: int) -> None:
        super().__init__("target:27017")
        self.times = times

    def read_batches(self, namespace: Namespace, within: IdRange) -> Iterator[TalliedBatch]:
        for batch in super().read_batches(namespace, within):
            yield batch
            if self.times and namespace.name == "rocketchat.c1":
                self.times -= 1
                raise Unavailable("reading failed", value="connection closed")


@pytest.mark.parametrize(("times", "proven"), [(1, True), (2, True), (3, False)])
def test_a_connection_that_is_lost_while_reading_back_is_tried_again(
    sealed: World, journals: MemoryJournals, times: int, proven: bool
) -> None:
    reporter = ListReporter()
    if proven:
        assert restore(sealed, Interrupted(times), journals, reporter).proven
        assert reporter.done == [total for _, total in reporter.phases]
    else:
        with pytest.raises(Unavailable, match="reading failed"):
            restore(sealed, Interrupted(times), journals, reporter)


def test_an_incomplete_time_series_is_not_dropped_for_it_has_no_uuid(
    world: World, journals: MemoryJournals
) -> None:
    series = {"timeseries": {"timeField": "ts"}}
    world.database.create_collection(Namespace("rocketchat", "weather", "timeseries", options=series))
    for number in range(8):
        world.database.write("rocketchat", "weather", {"_id": number, "control": {}})
    run_nightly(world.job())
    world.work(world.job())
    target = Breaking("insert", 10)
    with pytest.raises(Unavailable):
        restore(world, target, journals)
    before = target.contents()["rocketchat.weather"]
    assert len(before) < 8
    with pytest.raises(Refused, match=r"getCollection\('weather'\)\.drop"):
        restore(world, target, journals, resume=True)
    assert target.contents()["rocketchat.weather"] == before
    target.drop("rocketchat", "weather")
    assert restore(world, target, journals, resume=True).proven


def test_a_home_that_cannot_be_written_to_ends_no_restore(
    sealed: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the data come back matters more than whether they could be resumed, and it is told once."""
    (tmp_path / "file").write_text("in the way of the folder")
    journals = JournalFiles(tmp_path / "file" / "restores")
    target = MemoryDatabase("target:27017")
    assert restore(sealed, target, journals).proven
    assert target.contents() == sealed.database.contents()
    (told,) = [one for one in caplog.records if one.message == "restore.not_resumable"]
    assert "XDG_STATE_HOME" in told.__dict__["error"]
    with pytest.raises(Unavailable, match="journals of restores cannot be used"):
        journals.write("k", b"one")


class LockedJournals(MemoryJournals):
    """A folder of another person: nothing in it can be read or written."""

    def read(self, key: str) -> bytes | None:  # noqa: ARG002
        raise Unavailable("the journals of restores cannot be used")

    def write(self, key: str, data: bytes) -> None:  # noqa: ARG002
        raise Unavailable("the journals of restores cannot be used")


def test_journals_that_cannot_be_read_end_no_restore_and_resume_none(sealed: World) -> None:
    assert restore(sealed, MemoryDatabase("target:27017"), LockedJournals()).proven
    with pytest.raises((Refused, UsageError)):
        restore(sealed, MemoryDatabase("other:27017"), LockedJournals(), resume=True)
