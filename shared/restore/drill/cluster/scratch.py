"""Starting the drill's MongoDB in the cluster, and removing it again whatever happens.

It may be killed at any step: the next drill removes by label what this one left, and without a next one the
cluster ends the Job at its deadline and removes it. Two drills exclude each other by the lease of drills;
those of two installations by the label of their Jobs, and by the namespace's quota of one pod.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.formats.backupset import Manifest
from shared.kernel.errors import Corrupt, GroundcrewError, NotFound, Refused, Unavailable
from shared.kernel.ports import Clock, Reporter
from shared.kubernetes.node_disk import normalize_image_name
from shared.mongodb.ports import ScratchServer
from shared.restore.drill.cluster.decide import (
    check_room,
    check_setup,
    choose_image,
    name_job,
    select_leftovers,
    size_storage,
)
from shared.restore.drill.cluster.manifest import build_job
from shared.restore.drill.cluster.model import MONGODB_PORT, RIGHTS_FILE, ScratchPod, ScratchSpec
from shared.restore.drill.cluster.ports import PortTunnel, ScratchCluster
from shared.restore.drill.cluster.removal import await_removal

if TYPE_CHECKING:
    from shared.policy.drill import DrillClusterPolicy

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
PHASE = "Starting the scratch MongoDB"


@dataclass(frozen=True)
class ClusterScratch:
    """What a drill in the cluster needs."""

    cluster: ScratchCluster
    policy: DrillClusterPolicy
    owner: Callable[[], str]  # the label of our Jobs; see `read_owner`
    connect: Callable[[str], ScratchServer]  # to a URI
    clock: Clock
    pause: Callable[[float], None]

    @property
    def place(self) -> str:
        """Where drills run, for people."""
        return f"a Job in the namespace {self.cluster.namespace}"


@dataclass(frozen=True)
class RunningScratch:
    """A scratch MongoDB that answers."""

    server: ScratchServer
    place: str  # `namespace/job`, for the proof
    explain: Callable[[GroundcrewError], GroundcrewError]  # why the server no longer answers, if it does not


@contextmanager
def open_scratch(
    home: ClusterScratch,
    run: str,
    manifest: Manifest,
    reporter: Reporter,
    on_left: Callable[[GroundcrewError], None],
) -> Iterator[RunningScratch]:
    """An empty MongoDB of the set's version, removed at the end; `on_left` is told if that fails.

    Raises what keeps it from starting: Refused, Locked, Unavailable with the cluster's reason.
    """
    spec = _plan_scratch(home, run, manifest)
    remove_leftovers(home)
    reporter.note(_check_room(home, spec.storage_bytes, spec.image))
    reporter.phase(PHASE, 1)
    try:
        home.cluster.create_job(build_job(spec))
        log.info("drill.job_created", extra={"job": spec.name, "image": spec.image})
        pod = _await_pod(home, spec.name)
        with closing(home.cluster.forward_port(pod.name, MONGODB_PORT)) as tunnel:
            server = _await_server(home, spec.name, tunnel)
            reporter.advance(1)
            with closing(server):
                place = f"{home.cluster.namespace}/{spec.name}"
                yield RunningScratch(server, place, lambda error: _explain(home, spec.name, error))
    finally:
        _remove(home, spec.name, on_left)


def check_scratch_cluster(home: ClusterScratch) -> str:
    """What the doctor asks: rights, isolation, and room for the least drill. Changes nothing.

    Raises Refused, Unavailable.
    """
    missing = home.cluster.find_missing_rights()
    if missing:
        names = ", ".join(f"{right.verb} {right.resource}" for right in missing)
        hint = f"kubectl apply -f {RIGHTS_FILE}"
        raise Refused("the app lacks rights for drills in the cluster", value=names, hint=hint)
    check_namespace(home)
    # Of the least drill: how large the next one's set is, nobody asks the storage for here.
    room = _check_room(home, size_storage(0, home.policy.storage_limit), home.policy.images[0])
    return f"{home.place}: rights and isolation are in place; {room}"


def check_namespace(home: ClusterScratch) -> None:
    """Raises Refused for a namespace that is not there, or is open."""
    try:
        check_setup(home.cluster.read_setup(), home.cluster.namespace)
    except NotFound:
        hint = f"kubectl apply -f {RIGHTS_FILE}"
        raise Refused(
            "the drill's namespace does not exist", value=home.cluster.namespace, hint=hint
        ) from None


def remove_leftovers(home: ClusterScratch) -> list[str]:
    """Remove what killed drills left; the names of the Jobs. Raises Locked for a drill of another owner.

    Only for who holds the lease of drills.
    """
    leftovers = select_leftovers(home.cluster.list_jobs(), home.owner(), home.clock.now())
    for name in leftovers:
        home.cluster.delete_job(name)
        log.warning("drill.job_reaped", extra={"job": name})
    for name in leftovers:
        await_removal(home.cluster, home.clock, home.pause, name)
    return leftovers


def _plan_scratch(home: ClusterScratch, run: str, manifest: Manifest) -> ScratchSpec:
    check_namespace(home)
    data_bytes = sum(entry.data_bytes for entry in manifest.namespaces) + manifest.oplog.data_bytes
    owner = home.owner()
    return ScratchSpec(
        name=name_job(run, owner),
        owner=owner,
        image=choose_image(home.policy.images, manifest.source.server_version),
        cpus=home.policy.cpus,
        memory_bytes=home.policy.memory,
        storage_bytes=size_storage(data_bytes, home.policy.storage_limit),
        deadline=home.policy.deadline,
    )


def _check_room(home: ClusterScratch, storage_bytes: int, image: str) -> str:
    return check_room(
        home.cluster.list_nodes(),
        memory_bytes=home.policy.memory,
        storage_bytes=storage_bytes,
        image=normalize_image_name(image),
    )


def _await_pod(home: ClusterScratch, job: str) -> ScratchPod:
    """The pod once it runs. Raises Unavailable with the cluster's reason when it never does."""
    end = home.clock.now() + home.policy.ready_within
    while True:
        pod = home.cluster.observe_pod(job)
        if pod.running:
            return pod
        if pod.ended or home.clock.now() >= end:
            raise _not_ready_error(pod.reason)
        home.pause(_LOOK_SECONDS)


def _await_server(home: ClusterScratch, job: str, tunnel: PortTunnel) -> ScratchServer:
    """The server once it answers: a container that runs has begun, no more."""
    end = home.clock.now() + home.policy.ready_within
    uri = f"mongodb://127.0.0.1:{tunnel.port}/?directConnection=true"
    while True:
        try:
            return home.connect(uri)
        except Unavailable as error:
            pod = home.cluster.observe_pod(job)
            if pod.ended or home.clock.now() >= end:
                raise _not_ready_error(pod.reason or tunnel.problem or str(error)) from error
        home.pause(_LOOK_SECONDS)


def _not_ready_error(reason: str) -> Unavailable:
    hint = "See docs/runbooks/restore-drill.md."
    return Unavailable("the drill's MongoDB did not get ready", value=reason or "no reason known", hint=hint)


def _explain(home: ClusterScratch, job: str, error: GroundcrewError) -> GroundcrewError:
    """What became of the pod instead of what became of the connection; damage of the set stays what it is."""
    if isinstance(error, Corrupt):
        return error
    try:
        pod = home.cluster.observe_pod(job)
    except GroundcrewError:
        return error  # the cluster is gone with it
    if pod.running or not pod.reason:
        return error
    return Unavailable("the drill's MongoDB ended in the middle", value=f"{pod.reason} ({error.message})")


def _remove(home: ClusterScratch, job: str, on_left: Callable[[GroundcrewError], None]) -> None:
    """However the drill ended. What cannot be removed now goes with the next drill, or at the deadline."""
    try:
        home.cluster.delete_job(job)
        await_removal(home.cluster, home.clock, home.pause, job)
    except GroundcrewError as error:
        log.exception("drill.job_not_removed", extra={"job": job})
        on_left(error)
