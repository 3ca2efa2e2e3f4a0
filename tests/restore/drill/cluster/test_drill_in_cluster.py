"""A drill that starts its own MongoDB in the cluster: removed whatever happens, and never in the way."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from local.fakes.scratch_cluster import GIB, ROOMY_NODE, MemoryScratchCluster
from shared.formats.proofs import FAILED, INTERRUPTED, PROVEN
from shared.kernel.errors import Corrupt, GroundcrewError, Locked, Refused, Unavailable
from shared.kubernetes.access import AccessRight
from shared.mongodb.model import InsertResult
from shared.notifications.ports import Severity
from shared.records.holds import Holds
from shared.restore.drill.cluster.manifest import build_job
from shared.restore.drill.cluster.model import NamespaceSetup, ScratchSpec
from shared.restore.drill.cluster.owner import BLOB, read_owner
from shared.restore.drill.job import check_scratch, run_drill, run_weekly
from tests.support.drill_world import DrillWorld

PULL = {
    "phase": "Pending",
    "containerStatuses": [
        {"name": "mongodb", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
    ],
}
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir exceeds the limit"}
KILLED = {
    "phase": "Failed",
    "containerStatuses": [
        {"name": "mongodb", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    ],
}


@pytest.fixture
def drills() -> DrillWorld:
    made = DrillWorld()
    made.world.seed(collections=1, documents=3)
    made.seal()
    return made


@pytest.fixture
def cluster(drills: DrillWorld) -> MemoryScratchCluster:
    return MemoryScratchCluster(drills.world.clock)


def left_job(owner: str, name: str = "drill-left") -> dict[str, Any]:
    spec = ScratchSpec(name, owner, "mongo:8.0.15", 1, GIB, 4 * GIB, timedelta(hours=6))
    return dict(build_job(spec))


def test_a_set_is_proven_on_a_server_that_is_made_for_it_and_removed(drills, cluster) -> None:
    proof = run_drill(drills.cluster_deps(cluster), drills.reporter)
    assert (proof.outcome, proof.problem) == (PROVEN, "")
    (job,) = cluster.created
    assert proof.target == (f"groundcrew-drill/{job['metadata']['name']}",)
    assert "Starting the scratch MongoDB" in [phase.name for phase in proof.phases]
    assert cluster.is_empty
    assert Holds(drills.world.state, drills.world.clock).list_in_force() == ()


def test_the_machine_is_held_before_the_job_is_started(drills, cluster) -> None:
    holds = Holds(drills.world.state, drills.world.clock)
    during: list[tuple[str, ...]] = []
    cluster.on_tunnel = lambda: during.append(tuple(hold.what for hold in holds.list_in_force()))
    run_drill(drills.cluster_deps(cluster), drills.reporter)
    assert during == [("restore drill",)]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("pull", "ImagePullBackOff: not found"),
        ("quota", "FailedCreate: exceeded quota"),
        ("killed", "mongod ended: OOMKilled, exit code 137"),
    ],
)
def test_a_job_that_never_gets_ready_is_removed_and_its_reason_is_an_alarm(
    drills, cluster, how: str, reason: str
) -> None:
    if how == "quota":
        cluster.refusal = "exceeded quota"
    else:
        cluster.pod_status = PULL if how == "pull" else KILLED
    began = drills.world.clock.now()
    with pytest.raises(Unavailable, match="did not get ready") as raised:
        run_weekly(drills.cluster_deps(cluster), drills.reporter)
    assert reason in str(raised.value)
    assert cluster.is_empty
    (notice,) = drills.notifications.told
    assert (notice.severity, notice.again) == (Severity.WARNING, True)
    assert reason in notice.text
    waited = drills.world.clock.now() - began
    # What has ended for good is not waited for.
    assert waited < timedelta(minutes=1) if how == "killed" else waited >= timedelta(minutes=15)
    assert Holds(drills.world.state, drills.world.clock).list_in_force() == ()
    assert drills.records.proofs == ()


def test_a_server_that_never_answers_is_given_up_and_removed(drills, cluster) -> None:
    def make() -> MemoryDatabase:
        raise Unavailable("connecting to MongoDB failed", value="connection refused")

    drills.make_scratch = make
    with pytest.raises(Unavailable, match="connection refused"):
        run_drill(drills.cluster_deps(cluster), drills.reporter)
    assert cluster.is_empty


@pytest.mark.parametrize(("status", "reason"), [(EVICTED, "Evicted: Usage of"), (KILLED, "OOMKilled")])
def test_a_server_that_ends_in_the_middle_interrupts_the_drill_with_the_clusters_reason(
    drills, cluster, status: dict[str, Any], reason: str
) -> None:
    class Dying(MemoryDatabase):
        def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
            if db == "rocketchat":
                cluster.end_pods(status)
                raise Unavailable("inserting failed", value="connection closed")
            return super().insert_documents(db, collection, documents)

    drills.make_scratch = lambda: Dying("127.0.0.1:40000")
    proof = run_drill(drills.cluster_deps(cluster), drills.reporter)
    assert proof.outcome == INTERRUPTED
    assert reason in proof.problem
    assert cluster.is_empty
    assert [notice.title for notice in drills.notifications.told] == ["The restore drill was interrupted"]


def test_a_machine_that_is_stopped_in_the_middle_interrupts_the_drill_and_the_next_one_tidies_up(
    drills, cluster
) -> None:
    class Gone(MemoryScratchCluster):
        """A cluster that answers nothing once its machine is off."""

        off = False

        def list_jobs(self) -> Any:
            self.check()
            return super().list_jobs()

        def delete_job(self, name: str) -> None:
            self.check()
            super().delete_job(name)

        def observe_pod(self, job: str) -> Any:
            self.check()
            return super().observe_pod(job)

        def check(self) -> None:
            if self.off:
                raise Unavailable("the cluster does not answer")

    gone = Gone(drills.world.clock)

    class Stopped(MemoryDatabase):
        def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
            if db == "rocketchat":
                gone.off = True
                raise Unavailable("inserting failed", value="connection closed")
            return super().insert_documents(db, collection, documents)

    make_scratch = drills.make_scratch
    drills.make_scratch = lambda: Stopped("127.0.0.1:40000")
    proof = run_drill(drills.cluster_deps(gone), drills.reporter)
    assert (proof.outcome, "connection closed" in proof.problem) == (INTERRUPTED, True)
    titles = [notice.title for notice in drills.notifications.told]
    assert titles == ["The restore drill left its copy behind", "The restore drill was interrupted"]
    assert not gone.is_empty
    gone.off, drills.make_scratch = False, make_scratch
    assert run_drill(drills.cluster_deps(gone), drills.reporter).outcome == PROVEN
    assert gone.is_empty


def test_damage_of_the_set_stays_damage_even_if_the_pod_is_gone_by_then(drills, cluster) -> None:
    class Failing(MemoryDatabase):
        def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
            if db == "rocketchat":
                cluster.end_pods(EVICTED)
                raise Corrupt("a part was changed")
            return super().insert_documents(db, collection, documents)

    drills.make_scratch = lambda: Failing("127.0.0.1:40000")
    assert run_drill(drills.cluster_deps(cluster), drills.reporter).outcome == FAILED


def count_steps() -> tuple[int, list[str]]:
    drills, plan = make_world(), FaultPlan()
    run_drill(drills.cluster_deps(MemoryScratchCluster(drills.world.clock), plan), ListReporter())
    return len(plan.steps), plan.steps


def make_world() -> DrillWorld:
    drills = DrillWorld()
    drills.world.seed(collections=1, documents=1)
    drills.seal()
    return drills


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_the_next_drill_reaps_the_job_and_proves(when) -> None:
    steps, names = count_steps()
    assert {"cluster.create_job", "cluster.delete_job", "cluster.forward_port"} <= set(names)
    for step in range(steps):
        drills, plan = make_world(), FaultPlan(Fault(Killed(), step=step, when=when))
        cluster = MemoryScratchCluster(drills.world.clock)
        with contextlib.suppress(Killed):
            run_drill(drills.cluster_deps(cluster, plan), ListReporter())
            pytest.fail(f"survived {when} step {step}: {plan.steps[step]}")
        drills.world.die()
        proof = run_drill(drills.cluster_deps(cluster), ListReporter())
        assert proof.outcome == PROVEN, f"{when} step {step}: {plan.steps[step]}: {proof.problem}"
        assert cluster.is_empty, f"{when} step {step}: {plan.steps[step]}"


def test_whatever_fails_once_in_the_cluster_leaves_nothing_that_the_next_drill_does_not_remove() -> None:
    steps, names = count_steps()
    for step in range(steps):
        if not names[step].startswith("cluster."):
            continue
        drills, plan = make_world(), FaultPlan(Fault(Unavailable("no answer"), step=step))
        cluster = MemoryScratchCluster(drills.world.clock)
        with contextlib.suppress(GroundcrewError):
            run_drill(drills.cluster_deps(cluster, plan), ListReporter())
        drills.world.die()
        assert run_drill(drills.cluster_deps(cluster), ListReporter()).outcome == PROVEN
        assert cluster.is_empty


def test_a_job_that_cannot_be_removed_is_told_and_the_proof_stands(drills, cluster) -> None:
    plan = FaultPlan(Fault(Unavailable("no answer"), operation="cluster.delete_job"))
    proof = run_drill(drills.cluster_deps(cluster, plan), drills.reporter)
    assert proof.outcome == PROVEN
    assert "The restore drill left its copy behind" in [one.title for one in drills.notifications.told]


def test_a_pod_that_does_not_stop_is_told(drills, cluster) -> None:
    class Lingering(MemoryScratchCluster):
        def has_pods(self, _job: str) -> bool:
            return True

    lingering = Lingering(drills.world.clock)
    run_drill(drills.cluster_deps(lingering), drills.reporter)
    text = "".join(notice.text for notice in drills.notifications.told)
    assert "timed out waiting for the Job's pod to stop" in text


def test_what_another_groundcrew_runs_there_is_left_alone_until_its_deadline_is_long_over(
    drills, cluster
) -> None:
    cluster.create_job(left_job("another"))
    with pytest.raises(Locked, match="another Groundcrew's drill"):
        run_drill(drills.cluster_deps(cluster), drills.reporter)
    assert not cluster.is_empty
    drills.world.clock.advance(timedelta(hours=6, minutes=59))
    with pytest.raises(Locked):
        run_drill(drills.cluster_deps(cluster), drills.reporter)
    drills.world.clock.advance(timedelta(minutes=2))
    assert run_drill(drills.cluster_deps(cluster), drills.reporter).outcome == PROVEN
    assert cluster.is_empty


def test_what_a_killed_drill_of_ours_left_is_removed_whatever_its_age(drills, cluster) -> None:
    cluster.create_job(left_job(read_owner(drills.world.state)))
    assert run_drill(drills.cluster_deps(cluster), drills.reporter).outcome == PROVEN
    assert cluster.is_empty


def test_two_drills_at_once_exclude_each_other(drills, cluster) -> None:
    second: list[type[GroundcrewError]] = []

    def start_second() -> None:
        try:
            run_drill(drills.cluster_deps(cluster), ListReporter())
        except GroundcrewError as error:
            second.append(type(error))

    cluster.on_tunnel = start_second
    assert run_drill(drills.cluster_deps(cluster), drills.reporter).outcome == PROVEN
    assert second == [Locked]
    assert len(cluster.created) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"disk_free_bytes": 20 * GIB}, "GiB of disk free"),
        ({"memory_used_bytes": 15 * GIB}, "GiB of memory free"),
        ({"pressures": ("DiskPressure",)}, "DiskPressure"),
        ({"ready": False}, "is not ready"),
        # Nobody measured it, and the images alone leave too little.
        ({"disk_free_bytes": None, "images_bytes": 110.0 * GIB}, "GiB of disk free"),
    ],
)
def test_nothing_is_started_on_a_node_without_room(drills, cluster, change, reason) -> None:
    cluster.nodes = [replace(ROOMY_NODE, **change)]
    with pytest.raises(Unavailable, match=reason):
        run_drill(drills.cluster_deps(cluster), drills.reporter)
    assert cluster.created == []
    cluster.nodes.append(replace(ROOMY_NODE, name="other"))
    assert run_drill(drills.cluster_deps(cluster), drills.reporter).outcome == PROVEN


def test_an_image_that_the_node_lacks_needs_its_place_too(drills, cluster) -> None:
    # 4 GiB for the copy, a fifth of 120 GiB that stays free, and 2 GiB for the image.
    cluster.nodes = [replace(ROOMY_NODE, disk_free_bytes=29 * GIB)]
    with pytest.raises(Unavailable, match="29 GiB of disk free of 30 needed"):
        run_drill(drills.cluster_deps(cluster), drills.reporter)
    there = frozenset({"docker.io/library/mongo:8.0.15"})
    cluster.nodes = [replace(ROOMY_NODE, disk_free_bytes=29 * GIB, images=there)]
    assert run_drill(drills.cluster_deps(cluster), drills.reporter).outcome == PROVEN


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        (None, "does not exist"),
        (NamespaceSetup("", isolated=True), "does not enforce restricted pods: groundcrew-drill: nothing"),
        (NamespaceSetup("baseline", isolated=True), "does not enforce restricted pods"),
        (NamespaceSetup("restricted", isolated=False), "does not deny all traffic"),
    ],
)
def test_a_namespace_that_does_not_keep_the_copy_in_is_refused(drills, cluster, setup, reason) -> None:
    cluster.setup = setup
    for attempt in (run_drill, run_weekly):
        with pytest.raises(Refused, match=reason):
            attempt(drills.cluster_deps(cluster), drills.reporter)
    with pytest.raises(Refused, match=reason):
        check_scratch(drills.cluster_deps(cluster))
    assert cluster.created == []
    assert reason.partition(":")[0] in drills.notifications.told[0].text


def test_the_doctor_names_missing_rights_and_says_where_there_is_room(drills, cluster) -> None:
    text = check_scratch(drills.cluster_deps(cluster))
    assert "rights and isolation are in place; node has room" in text
    cluster.missing_rights = [AccessRight("", "pods/portforward", "create", "groundcrew-drill")]
    with pytest.raises(Refused, match="create pods/portforward"):
        check_scratch(drills.cluster_deps(cluster))


def test_a_machine_that_is_off_is_woken_for_the_drill(drills, cluster) -> None:
    plan = FaultPlan(Fault(Unavailable("the cluster does not answer"), operation="cluster.read_setup"))
    drills.offline = "it is night"
    assert "it is started for the drill" in run_weekly(drills.cluster_deps(cluster, plan), drills.reporter)
    (hold,) = Holds(drills.world.state, drills.world.clock).list_in_force()
    assert hold.needs_up


def test_the_owners_id_is_made_once_and_a_malformed_one_is_refused(drills) -> None:
    state = drills.world.state
    assert read_owner(state) == read_owner(state)
    assert len(read_owner(state)) == 16
    state.replace(BLOB, b"not an id", etag=None)
    with pytest.raises(Corrupt, match=BLOB):
        read_owner(state)
