"""The drill: what it restores, proves, refuses and tells; nothing of it stays on the scratch server."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.backup.proofs import write_proof
from shared.formats.manifest import Signer
from shared.formats.proofs import FAILED, INTERRUPTED, PROVEN
from shared.kernel.errors import Locked, NotFound, Refused, Unavailable, UsageError
from shared.mongodb.model import InsertResult
from shared.notifications.ports import Severity
from shared.records.holds import Holds
from shared.restore.drill.decide import MARKER
from shared.restore.drill.job import check_scratch, run_drill, run_overdue, run_weekly
from tests.support.backup_world import SIGNER
from tests.support.drill_world import DrillWorld


@pytest.fixture
def drills() -> DrillWorld:
    made = DrillWorld()
    made.world.seed()
    made.world.database.write("admin", "system.users", {"_id": "rocketchat.chat", "pwd": "hash"})
    made.seal()
    return made


def test_a_good_set_is_proven_measured_signed_and_told_and_nothing_stays_on_the_server(drills) -> None:
    drills.world.clock.advance(timedelta(hours=2))
    proof = drills.drill()
    assert (proof.outcome, proof.problem, proof.namespaces, proof.documents) == (PROVEN, "", 3, 24)
    assert proof.validated == 3
    assert [phase.name for phase in proof.phases][:2] == ["Verifying stored bytes", "Creating collections"]
    assert "Validating collections" in [phase.name for phase in proof.phases]
    assert drills.scratch.contents() == {}
    assert drills.records.last == proof
    (entry,) = drills.world.catalogue.entries()
    assert drills.records.proven_at(entry) == proof.ended
    (notice,) = drills.notifications.told
    assert (notice.severity, "is proven" in notice.title) == (Severity.INFO, True)
    assert "RTO" in notice.text
    assert "RPO" in notice.text
    assert Holds(drills.world.state, drills.world.clock).list_in_force() == ()
    assert drills.begun == []


def test_users_are_read_and_compared_but_never_written_to_the_scratch_server(drills) -> None:
    seen: list[str] = []

    class Watching(MemoryDatabase):
        def restore_users(self, kind: str, documents: list[bytes]) -> list[str]:
            seen.append(kind)
            return super().restore_users(kind, documents)

    drills.scratch = Watching("scratch:27017")
    assert drills.drill().outcome == PROVEN
    assert seen == []


def harm_part(drills) -> str:
    blobs = drills.world.backups
    name = next(blob.name for blob in blobs.list() if blob.name.endswith(".age"))
    data = bytearray(blobs.read(name)[0])
    data[len(data) // 2] ^= 1
    blobs.replace(name, bytes(data), etag=None)
    return name


class Losing(MemoryDatabase):
    """A server that says that it took a document and has not."""

    def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
        kept = documents[1:] if collection == "c1" else documents
        super().insert_documents(db, collection, kept)
        return InsertResult(len(documents))


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("stored bytes", "was changed"),
        ("a document", "rocketchat.c1: "),
        ("an index", "rocketchat.c2: the server's"),
    ],
)
def test_a_planted_fault_of_each_kind_fails_the_drill_names_the_first_difference_and_begins_a_backup(
    drills, how: str, named: str
) -> None:
    if how == "stored bytes":
        harm_part(drills)
    elif how == "a document":
        drills.scratch = Losing("scratch:27017")
    else:
        drills.scratch.invalid["rocketchat.c2"] = ["index _id_ has 7 entries, the collection 8"]
    proof = drills.drill()
    assert proof.outcome == FAILED
    assert named in proof.problem
    assert drills.scratch.contents() == {}
    (notice,) = drills.notifications.told
    assert notice.severity is Severity.CRITICAL
    assert proof.problem in notice.text
    assert drills.begun == [f"drill: {proof.klass}/{proof.set} does not restore"]
    assert drills.records.last_proven is None


def test_no_second_backup_is_begun_while_one_is_being_made(drills) -> None:
    harm_part(drills)
    drills.world.clock.advance(timedelta(hours=1))
    drills.begin_backup("something else")
    drills.drill()
    assert drills.begun == ["something else"]


def test_a_server_that_dies_midway_interrupts_the_drill_which_says_nothing_of_the_set(drills) -> None:
    class Dying(MemoryDatabase):
        def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
            if collection == "c1":
                raise Unavailable("inserting failed", value="connection closed")
            return super().insert_documents(db, collection, documents)

    drills.scratch = Dying("scratch:27017")
    proof = drills.drill()
    assert proof.outcome == INTERRUPTED
    assert drills.scratch.contents() == {}
    assert drills.begun == []
    (entry,) = drills.world.catalogue.entries()
    assert drills.records.proven_at(entry) is None
    assert drills.notifications.told[0].severity is Severity.WARNING


def test_a_server_that_is_too_small_interrupts_the_drill_and_is_said_to_be(drills) -> None:
    class Small(MemoryDatabase):
        def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
            if collection == "c1":
                raise Unavailable(
                    f"inserting into {db}.{collection} failed", value="the server's disk is full"
                )
            return super().insert_documents(db, collection, documents)

    drills.scratch = Small("scratch:27017")
    proof = drills.drill()
    assert proof.outcome == INTERRUPTED
    assert "the server's disk is full" in proof.problem
    assert drills.scratch.contents() == {}  # so that the next one has all the room there is
    assert drills.begun == []


def test_a_server_without_validate_proves_without_it(drills) -> None:
    drills.scratch.lacks_validate = True
    proof = drills.drill()
    assert (proof.outcome, proof.validated) == (PROVEN, 0)
    assert any("not validated" in note for note in drills.reporter.notes)


@pytest.mark.parametrize("by", ["address", "members", "manifest"])
def test_production_is_refused_before_a_byte_is_written(drills, by: str) -> None:
    changes: dict[str, object] = {}
    if by == "address":
        changes["addresses"] = ("memory:27017",)
    elif by == "members":
        drills.scratch = MemoryDatabase("memory:27017")
    else:  # the settings name it otherwise and it does not answer: the set's manifest knows its members
        drills.scratch = MemoryDatabase("memory:27017")
        changes["production"] = lambda: ("chat.example.org:27017",)
    with pytest.raises(Refused, match="the one that is backed up"):
        drills.drill(**changes)
    assert drills.scratch.contents() == {}
    assert drills.records.proofs == ()


def test_a_server_that_holds_anything_is_refused_and_left_as_it_is(drills) -> None:
    drills.scratch.write("rocketchat", "mine", {"_id": 1})
    before = drills.scratch.contents()
    with pytest.raises(Refused, match=r"rocketchat\.mine among them"):
        drills.drill()
    assert drills.scratch.contents() == before


def test_two_drills_do_not_run_at_once(drills) -> None:
    with (
        drills.world.state.lease("locks/drill", duration=timedelta(seconds=60)),
        pytest.raises(Locked),
    ):
        drills.drill()
    assert drills.scratch.contents() == {}


def test_a_drill_that_lost_its_lease_stops_and_proves_nothing(drills) -> None:
    class Slow(ListReporter):
        def phase(self, name: str, total: int) -> None:
            super().phase(name, total)
            if name == "Creating collections":
                drills.world.state.break_lease("locks/drill")

    with pytest.raises(Locked):
        run_drill(drills.deps(), Slow())
    assert drills.records.proofs == ()


def test_without_a_key_or_a_set_no_drill_begins(drills) -> None:
    with pytest.raises(UsageError, match="GROUNDCREW_DRILL_KEY"):
        drills.drill(identities=())
    with pytest.raises(NotFound):
        DrillWorld().drill()


def test_a_drill_runs_once_a_week_and_catch_up_makes_up_for_a_missed_one(drills) -> None:
    assert "proven" in run_weekly(drills.deps(), ListReporter())
    assert run_weekly(drills.deps(), ListReporter()).startswith("nothing to do")
    drills.world.clock.advance(timedelta(days=7))
    assert run_overdue(drills.deps(), ListReporter()).startswith("nothing to do"), "the timer has its chance"
    drills.world.clock.advance(timedelta(hours=3))
    assert "proven" in run_overdue(drills.deps(), ListReporter())
    assert len(drills.records.proofs) == 2


def test_a_drill_that_cannot_begin_is_told_and_tried_again(drills) -> None:
    drills.scratch.write("rocketchat", "mine", {"_id": 1})
    with pytest.raises(Refused):
        run_weekly(drills.deps(), ListReporter())
    assert drills.notifications.titles == ["The restore drill cannot run"]
    drills.scratch.drop("rocketchat", "mine")
    assert "proven" in run_weekly(drills.deps(), ListReporter())


class Unreachable:
    def __call__(self) -> MemoryDatabase:
        raise Unavailable("connecting to MongoDB failed")


def test_while_the_machine_is_off_it_is_started_for_the_drill_which_then_runs(drills) -> None:
    drills.offline = "the machine is off by its schedule"
    off = drills.deps(connect=Unreachable())
    assert run_weekly(off, ListReporter()).startswith("waiting")
    (hold,) = Holds(drills.world.state, drills.world.clock).list_in_force()
    assert (hold.what, hold.needs_up) == ("restore drill", True)
    drills.world.clock.advance(timedelta(minutes=15))
    drills.offline = ""
    assert "proven" in run_overdue(drills.deps(), ListReporter())
    assert Holds(drills.world.state, drills.world.clock).list_in_force() == ()


def test_by_policy_a_drill_is_skipped_while_the_machine_is_off(drills) -> None:
    drills.offline = "the machine is off by its schedule"
    drills.policy = drills.policy.model_copy(update={"when_vm_off": "skip"})
    assert run_weekly(drills.deps(connect=Unreachable()), ListReporter()).startswith("skipped")
    assert Holds(drills.world.state, drills.world.clock).list_in_force() == ()


def test_a_drill_whose_mongodb_answers_runs_even_if_the_machine_is_off(drills) -> None:
    drills.offline = "the machine is off by its schedule"
    assert "proven" in run_weekly(drills.deps(), ListReporter())


def test_what_a_stranger_puts_among_the_proofs_proves_nothing_and_is_listed(drills) -> None:
    proof = drills.drill()
    state, clock = drills.world.state, drills.world.clock
    (entry,) = drills.world.catalogue.entries()
    write_proof(state, replace(proof, run="20261123T020000Z"), Signer.generate())  # signed by somebody else
    state.create("proofs/20261123T030000Z.20261123T010000Z.daily.json", b"{")  # malformed
    state.create("proofs/notes.txt", b"proven")  # of another name
    data, _ = state.read(f"proofs/{proof.run}.{proof.set}.{proof.klass}.json")
    state.create(f"proofs/20261123T040000Z.{proof.set}.{proof.klass}.json", data)  # ours under another name
    future = replace(proof, run="20270123T040000Z", ended=clock.now() + timedelta(days=60))
    write_proof(state, future, SIGNER)
    assert drills.records.proofs == (proof,)
    assert len(drills.records.ignored) == 5
    reasons = " ".join(one.reason for one in drills.records.ignored)
    for words in ("unknown signer", "is not signed", "is no proof", "of another drill", "in the future"):
        assert words in reasons
    assert drills.records.proven_at(entry) == proof.ended


def test_a_proof_of_another_manifest_says_nothing_of_a_set_and_a_later_failure_takes_it_back(drills) -> None:
    proof = drills.drill()
    (entry,) = drills.world.catalogue.entries()
    assert drills.records.verdict_on(proof.klass, proof.set, "f" * 64) is None
    later = replace(proof, run="20261123T010500Z", outcome=FAILED, problem="x", started=proof.ended)
    write_proof(drills.world.state, later, SIGNER)
    drills.world.clock.advance(timedelta(minutes=10))
    assert drills.records.proven_at(entry) is None
    interrupted = replace(proof, run="20261123T010600Z", outcome=INTERRUPTED, started=proof.ended)
    write_proof(drills.world.state, interrupted, SIGNER)
    assert drills.records.verdict_on(proof.klass, proof.set, proof.manifest_sha256) == later


def test_the_marker_goes_last_so_that_a_clean_up_can_be_repeated(drills) -> None:
    class Stubborn(MemoryDatabase):
        fails = True

        def drop_database(self, db: str) -> None:
            if db == "rocketchat" and self.fails:
                raise Unavailable("dropping failed")
            super().drop_database(db)

    drills.scratch = Stubborn("scratch:27017")
    assert drills.drill().outcome == PROVEN
    assert MARKER.name in drills.scratch.contents()
    assert "The restore drill left its copy behind" in drills.notifications.titles
    drills.scratch.fails = False
    drills.world.clock.advance(timedelta(days=7))
    assert drills.drill().outcome == PROVEN
    assert drills.scratch.contents() == {}
    assert "dropped what an earlier drill left: rocketchat" in drills.reporter.notes


def test_the_doctor_tries_the_scratch_server_without_changing_it(drills) -> None:
    assert check_scratch(drills.deps()) == "scratch:27017 answers and is empty"
    with pytest.raises(Refused, match="the one that is backed up"):
        check_scratch(drills.deps(production=lambda: ("scratch:27017",)))
    drills.scratch.write("x", "y", {"_id": 1})
    with pytest.raises(Refused, match="not empty"):
        check_scratch(drills.deps())


def test_a_drills_own_copy_on_the_scratch_server_is_no_fault(drills) -> None:
    drills.scratch.write("rocketchat", "users", {"_id": 1})
    drills.scratch.write(MARKER.db, MARKER.collection, {"_id": 1})
    assert check_scratch(drills.deps()) == "scratch:27017 answers and holds a drill's copy"
    # Production stays production, whatever lies on it.
    with pytest.raises(Refused, match="the one that is backed up"):
        check_scratch(drills.deps(production=lambda: ("scratch:27017",)))


def test_of_the_servers_own_databases_only_what_the_drill_made_is_dropped(drills) -> None:
    drills.world.database.write("admin", "notes", {"_id": 1})
    drills.world.clock.advance(timedelta(days=1))
    drills.seal()
    drills.scratch.write("admin", "system.users", {"_id": "drill"})
    assert drills.drill().outcome == PROVEN
    assert drills.scratch.contents().keys() == {"admin.system.users"}


def test_a_drill_that_lost_its_lease_at_its_very_end_proves_nothing(drills) -> None:
    class Late(ListReporter):
        def advance(self, amount: int) -> None:
            super().advance(amount)
            if self.phases[-1][0] == "Validating collections":
                drills.world.state.break_lease("locks/drill")

    with pytest.raises(Locked):
        run_drill(drills.deps(), Late())
    assert drills.records.proofs == ()
