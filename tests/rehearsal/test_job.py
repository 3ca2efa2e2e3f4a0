"""A rehearsal from message to record: what it measures, what closes it, and that nothing stays behind."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.formats.manifest import Signer
from shared.formats.rehearsals import FAILED, INTERRUPTED, PASSED, RUNNING
from shared.kernel.errors import NotFound, Unavailable, UsageError
from shared.kubernetes.access import AccessRight
from shared.kubernetes.pod_requests import PodRequests
from shared.notifications.ports import Severity
from shared.records.holds import Holds
from shared.records.rehearsals import RehearsalStore
from shared.rehearsal.job import handle_message
from shared.rehearsal.model import ScriptState
from shared.rehearsal.request import QUEUE
from shared.restore.drill.cluster.model import NamespaceSetup
from tests.support.backup_world import SIGNER
from tests.support.rehearsal_world import RehearsalWorld

GIB = 1 << 30
DUPLICATE = (
    "MongoServerError: E11000 duplicate key error collection: rocketchat.rocketchat_cron_history index: "
    'intendedAt_1_name_1 dup key: { intendedAt: new Date(1), name: "ana@example.org" }'
)
SHA = "a" * 40
OPEN = NamespaceSetup("restricted", isolated=False)
FULL = {"node": PodRequests(4.0, 0.0)}
RIGHT = AccessRight("batch", "jobs", "create", "groundcrew-rehearsal")
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory"}


@pytest.fixture
def rehearsals() -> RehearsalWorld:
    return RehearsalWorld()


def test_migrations_are_measured_probes_run_and_everything_is_removed(rehearsals) -> None:
    rehearsals.upgrade.scripts = [ScriptState(f"s{n}", "bad" if n < 2 else "") for n in range(9)]
    pull = rehearsals.propose()
    record = rehearsals.rehearse(pull)
    assert (record.state, record.problem) == (PASSED, "")
    said = "Migrations 318 → 331 took 6 min 40 s, peak disk +4.1 GB, 2 of 9 scripts do not compile."
    (comment,) = rehearsals.comments(pull)
    assert said in comment
    assert "predicted downtime: 6 min 40 s" in comment
    assert {one.name for one in record.probes} == {"sign-in", "message", "upload", "sign-in methods"}
    assert rehearsals.upgrade.acts == ["sign-in", "message", "upload", "scripts"]
    assert rehearsals.cluster.is_empty
    assert Holds(rehearsals.world.state, rehearsals.clock).list_in_force() == ()
    assert [notice.severity for notice in rehearsals.people.told] == [Severity.INFO]


def test_the_copy_is_of_the_newest_set_and_blanked_before_the_first_start(rehearsals) -> None:
    rehearsals.clock.advance(timedelta(days=1))
    rehearsals.world.database.write("rocketchat", "rocketchat_message", {"_id": "m", "msg": "today"})
    rehearsals.seal()
    record = rehearsals.rehearse(rehearsals.propose())
    newest = rehearsals.world.catalogue.newest_good()
    assert newest is not None
    assert record.reference == newest.info.reference
    assert "rocketchat.rocketchat_message" in rehearsals.copies[-1].contents()
    assert rehearsals.upgrade.blanked == ["rocketchat"]  # the fake raises if the start came first


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"exit_message": DUPLICATE}, "rocketchat.rocketchat_cron_history, index intendedAt_1_name_1"),
        ({"locked": True}, "timed out after 7 min: migrations.control is locked at version 318"),
        ({"exit_message": "Not migrating, control is locked"}, "migrations.control is locked"),
        ({"exit_message": "boom"}, "Rocket.Chat ended: Error, exit code 1"),
        ({"problems": {"upload": "the bytes differ"}}, "upload: the bytes differ"),
        ({"lost": frozenset({"Accounts_OAuth_Custom-keycloak"})}, "switched off by the start: Acc"),
        ({"version": "8.2"}, "timed out after 7 min: Rocket.Chat did not answer; its schema is 331"),
    ],
    ids=["duplicate", "locked", "locked-exit", "exit", "probe", "sign-in", "version"],
)  # fmt: skip
def test_what_goes_wrong_at_the_start_is_a_failed_rehearsal_that_names_it(
    rehearsals, change, problem
) -> None:
    rehearsals.upgrade.migration = timedelta(minutes=2)
    for name, value in change.items():
        setattr(rehearsals.upgrade, name, value)
    pull = rehearsals.propose()
    record = rehearsals.rehearse(pull)
    assert record.state == FAILED
    assert problem in record.problem
    assert "ana@example.org" not in record.problem + rehearsals.comments(pull)[0]
    assert rehearsals.cluster.is_empty
    assert [notice.severity for notice in rehearsals.people.told] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda w: setattr(w.cluster, "nodes", []), "no node has room for the rehearsal"),
        (lambda w: w.cluster.known_requests.update(FULL), "node has 0.00 CPU not requested of 0.50"),
        (lambda w: setattr(w.cluster, "setup", None), "the namespace of rehearsals does not exist"),
        (lambda w: setattr(w.cluster, "setup", OPEN), "deny all traffic"),
        (lambda w: setattr(w.cluster, "version", "1.28.9"), "no sidecar containers"),
        (lambda w: w.cluster.missing_rights.append(RIGHT), "create jobs"),
        (lambda w: w.clock.advance(timedelta(days=56)), "no backup is younger than 1 d 12 h"),
        (lambda w: setattr(w, "plan", _refuse), "nothing that starts Rocket.Chat"),
    ],
    ids=["room", "cpu", "namespace", "open", "version", "rights", "old", "plan"],
)  # fmt: skip
def test_what_cannot_be_rehearsed_says_so_with_the_cure_and_begins_nothing(
    rehearsals, break_it, problem
) -> None:
    break_it(rehearsals)
    record = rehearsals.rehearse(rehearsals.propose())
    assert (record.state, record.retry) == (INTERRUPTED, False)
    assert problem in record.problem
    assert record.hint
    assert rehearsals.cluster.created == []


def _refuse(_sha: str):
    raise NotFound("nothing that starts Rocket.Chat was found", hint="Call the container rocketchat")


def test_an_eviction_says_nothing_of_the_upgrade(rehearsals) -> None:
    class Evicting(type(rehearsals.cluster)):
        def observe_rehearsal(self, job):
            if self.upgrade.started:
                self.end_pods(
                    {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"}
                )
            return super().observe_rehearsal(job)

    rehearsals.cluster = Evicting(rehearsals.clock, rehearsals.upgrade)
    record = rehearsals.rehearse(rehearsals.propose())
    assert (record.state, record.retry) == (INTERRUPTED, True)
    assert "Evicted" in record.problem
    assert rehearsals.cluster.is_empty


def test_memory_that_is_too_small_for_the_start_says_nothing_of_the_upgrade(rehearsals) -> None:
    rehearsals.upgrade.exit_message, rehearsals.upgrade.exit_code = "killed", 137
    record = rehearsals.rehearse(rehearsals.propose())
    assert record.state == INTERRUPTED
    assert "chat_memory" in record.problem


def test_the_job_carries_nothing_that_leads_out_and_starts_the_images_own_command(rehearsals) -> None:
    rehearsals.rehearse(rehearsals.propose())
    (job,) = rehearsals.cluster.created
    pod = job["spec"]["template"]["spec"]
    (chat,) = pod["containers"]
    env = {one["name"]: one["value"] for one in chat["env"]}
    assert env["MONGO_URL"] == "mongodb://127.0.0.1:27017/rocketchat?replicaSet=rs0"
    assert env["OVERWRITE_SETTING_SMTP_Host"] == "127.0.0.1"
    assert env["OVERWRITE_SETTING_Push_enable"] == "false"
    assert "command" not in chat
    assert [one["name"] for one in pod["initContainers"]] == ["mongodb", "start-gate"]


def test_a_message_that_comes_twice_is_rehearsed_once(rehearsals) -> None:
    pull = rehearsals.propose()
    record = rehearsals.rehearse(pull)
    rehearsals.world.queues.send(QUEUE, f'{{"sha": "{pull.head_sha}", "asked": 1}}')
    assert rehearsals.work() == [f"skipped: {pull.head_sha[:7]} is passed: " + _measured()]
    assert rehearsals.record(pull.head_sha) == record
    assert len(rehearsals.cluster.created) == 1


def _measured() -> str:
    return "Migrations 318 → 331 took 6 min 40 s, peak disk +4.1 GB, no integration has a script"


def test_who_asks_while_one_runs_asks_for_the_same_one(rehearsals) -> None:
    pull = rehearsals.propose()
    first = rehearsals.begin(pull)
    assert rehearsals.begin(pull, by="bob") == first
    assert rehearsals.world.queues.length(QUEUE) == 1
    # Its message was lost: after half an hour of silence another one is sent.
    rehearsals.world.queues.take(QUEUE)
    rehearsals.clock.advance(timedelta(minutes=31))
    rehearsals.begin(pull, by="bob")
    rehearsals.work()
    assert rehearsals.record(pull.head_sha).state == PASSED


def test_two_at_once_take_turns(rehearsals) -> None:
    pull, deps = rehearsals.propose(), rehearsals.deps()
    rehearsals.begin(pull)
    with deps.state.lease("locks/rehearsal", duration=timedelta(seconds=60)):
        text = handle_message(deps, {"sha": pull.head_sha}, _Quiet())
    assert "waits for another rehearsal" in text
    assert rehearsals.cluster.created == []


class _Quiet:
    def phase(self, name: str, total: int) -> None: ...
    def advance(self, amount: int) -> None: ...
    def note(self, text: str) -> None: ...


def test_a_record_that_another_key_signed_or_that_lies_elsewhere_counts_as_none(rehearsals) -> None:
    pull = rehearsals.propose()
    record = rehearsals.rehearse(pull)
    state, clock = rehearsals.world.state, rehearsals.clock
    RehearsalStore(state, clock, Signer.generate(), ()).save(record)
    assert rehearsals.deps().store.read(pull.head_sha) is None
    # The right signature under the name of another commit.
    data = SIGNER.sign(record)
    state.replace(f"rehearsals/{'0' * 40}.json", data, etag=None)
    assert rehearsals.deps().store.read("0" * 40) is None
    state.replace(f"rehearsals/{pull.head_sha}.json", data, etag=None)
    assert rehearsals.deps().store.read(pull.head_sha) == record
    clock.set(record.updated - timedelta(hours=1))
    assert rehearsals.deps().store.read(pull.head_sha) is None  # dated in the future


@pytest.mark.parametrize(
    "document",
    [{}, {"sha": "x"}, {"sha": SHA, "pull": "1"}, {"sha": SHA, "by": "a\nb"}, {"sha": SHA, "more": 1}],
)  # fmt: skip
def test_what_is_no_request_is_refused(rehearsals, document) -> None:
    with pytest.raises(UsageError, match="invalid queue message"):
        handle_message(rehearsals.deps(), document, _Quiet())


def make_world() -> RehearsalWorld:
    world = RehearsalWorld()
    world.upgrade.migration = timedelta(seconds=3)
    return world


def count_steps() -> list[str]:
    world, plan = make_world(), FaultPlan()
    world.rehearse(world.propose(), plan)
    return plan.steps


def choose_steps(steps: list[str]) -> list[int]:
    """Of each operation the first and the last, and everything that changes the cluster or the copy."""
    ends = {name: (steps.index(name), len(steps) - 1 - steps[::-1].index(name)) for name in steps}
    changing = ("cluster.create_job", "cluster.delete_job", "copy.", "chat.")
    return [
        step for step, name in enumerate(steps)
        if step in ends[name] or (name.startswith(changing) and "read" not in name and "measure" not in name)
    ]  # fmt: skip


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_the_next_worker_removes_what_is_left_and_ends_it(when) -> None:
    steps = count_steps()
    assert {"cluster.create_job", "cluster.delete_job", "copy.blank", "copy.open_start_gate"} <= set(steps)
    assert {"chat.sign_in", "chat.save_scripts", "server.insert_documents", "state.replace"} <= set(steps)
    for step in choose_steps(steps):
        world, plan = make_world(), FaultPlan(Fault(Killed(), step=step, when=when))
        pull, where = world.propose(), f"{when} step {step}: {steps[step]}"
        with contextlib.suppress(Killed):
            world.rehearse(pull, plan)
            pytest.fail(f"survived {where}")
        world.die()
        # Whoever asked died as well, and asks again as the deploy does at each poll: after half an hour of
        # silence, if its record was kept and its message was not.
        for _ in range(2):
            world.begin(pull)
            world.work()
            if world.record(pull.head_sha).ended:
                break
            world.clock.advance(timedelta(minutes=31))
        assert world.record(pull.head_sha).state == PASSED, where
        assert world.cluster.is_empty, where
        assert Holds(world.world.state, world.clock).list_in_force() == (), where


def test_one_that_kills_its_worker_each_time_ends_and_says_so(rehearsals) -> None:
    pull = rehearsals.propose()
    rehearsals.begin(pull)
    for _ in range(3):
        plan = FaultPlan(Fault(Killed(), operation="copy.blank"))
        with contextlib.suppress(Killed):
            rehearsals.work(plan)
        assert rehearsals.record(pull.head_sha).state == RUNNING
        rehearsals.die()
    rehearsals.work()
    record = rehearsals.record(pull.head_sha)
    assert (record.state, record.retry) == (INTERRUPTED, False)
    assert "3 workers did not get to the end; the last one was at: blanking" in record.problem
    assert rehearsals.cluster.is_empty


def test_a_job_that_cannot_be_removed_is_told_and_the_record_stands(rehearsals) -> None:
    plan = FaultPlan(Fault(Unavailable("no answer"), operation="cluster.delete_job"))
    assert rehearsals.rehearse(rehearsals.propose(), plan).state == PASSED
    assert "A rehearsal left its copy behind" in [one.title for one in rehearsals.people.told]


def test_a_cluster_that_fails_is_tried_again_three_times_and_no_more(rehearsals) -> None:
    pull = rehearsals.propose()
    plan = FaultPlan(Fault(Unavailable("no answer"), operation="cluster.create_job", times=9))
    for attempt in (1, 2, 3):
        record = rehearsals.rehearse(pull, plan)
        assert (record.state, record.retry, record.attempts) == (INTERRUPTED, True, attempt)
        rehearsals.clock.advance(timedelta(seconds=5))
    # Only the last one is told.
    assert len(rehearsals.people.told) == 1
