"""The Job of a rehearsal in the cluster: started, reached, and removed whatever happens.

It may be killed at any step: the next message removes by label what this one left, and without one the
cluster ends the Job at its deadline and removes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from shared.kernel.errors import GroundcrewError, NotFound, Refused, Unavailable
from shared.kubernetes.node_disk import normalize_image_name
from shared.rehearsal.decide import check_kubernetes, find_room, size_storage
from shared.rehearsal.deps import RehearsalDeps
from shared.rehearsal.manifest import build_job
from shared.rehearsal.model import RIGHTS_FILE, RehearsalPod, RehearsalSpec
from shared.rehearsal.ports import RehearsalDatabase
from shared.restore.drill.cluster.decide import check_setup, select_leftovers
from shared.restore.drill.cluster.model import MONGODB_PORT
from shared.restore.drill.cluster.ports import PortTunnel
from shared.restore.drill.cluster.removal import await_removal

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_ANSWER_MS = 3000
_HINT = "See docs/runbooks/rehearsal.md."


@dataclass(frozen=True)
class RehearsalStage:
    """A pod whose MongoDB answers."""

    job: str
    pod: str
    uri: str  # of MongoDB, on a port of this machine
    database: RehearsalDatabase


@contextmanager
def open_stage(
    deps: RehearsalDeps, spec: RehearsalSpec, on_left: Callable[[GroundcrewError], None]
) -> Iterator[RehearsalStage]:
    """Start the Job; removed at the end, `on_left` is told if that fails. Raises Unavailable."""
    try:
        deps.cluster.create_job(build_job(spec))
        log.info("rehearsal.job_created", extra={"job": spec.name, "image": spec.chat.image})
        pod = await_database(deps, spec.name)
        with closing(deps.cluster.forward_port(pod.name, MONGODB_PORT)) as tunnel:
            uri = f"mongodb://127.0.0.1:{tunnel.port}/?directConnection=true"
            # Short: while it is away the pod is asked why.
            looks = f"{uri}&serverSelectionTimeoutMS={_ANSWER_MS}"
            with closing(_await_answer(deps, spec.name, looks, tunnel)) as database:
                yield RehearsalStage(spec.name, pod.name, uri, database)
    finally:
        _remove(deps, spec.name, on_left)


def check_before(deps: RehearsalDeps, spec: RehearsalSpec) -> str:
    """Which node has room; begins nothing. Raises Refused for an open namespace, a lack of rights or room."""
    _check_namespace(deps)
    images = [normalize_image_name(image) for image in (spec.mongodb_image, spec.chat.image)]
    return find_room(
        deps.cluster.list_nodes(),
        deps.cluster.list_known_requests(),
        memory_bytes=spec.memory_bytes + spec.chat_memory_bytes,
        storage_bytes=spec.storage_bytes,
        images=images,
    )


def check_least(deps: RehearsalDeps) -> str:
    """What the doctor asks: rights, isolation, and room for the least rehearsal. Changes nothing."""
    _check_namespace(deps)
    policy = deps.policy
    room = find_room(
        deps.cluster.list_nodes(),
        deps.cluster.list_known_requests(),
        memory_bytes=policy.memory + policy.chat_memory,
        storage_bytes=size_storage(0, policy.storage_limit),
        images=[normalize_image_name(policy.images[0])],
    )
    return f"{deps.cluster.namespace}: rights and isolation are in place; {room}"


def _check_namespace(deps: RehearsalDeps) -> None:
    """Raises Refused."""
    cluster, hint = deps.cluster, f"kubectl apply -f {RIGHTS_FILE}"
    missing = cluster.find_missing_rights()
    if missing:
        names = ", ".join(f"{right.verb} {right.resource}" for right in missing)
        raise Refused("the app lacks rights for rehearsals", value=names, hint=hint)
    check_kubernetes(cluster.get_version())
    try:
        check_setup(cluster.read_setup(), cluster.namespace, rights_file=RIGHTS_FILE)
    except NotFound:
        raise Refused(
            "the namespace of rehearsals does not exist", value=cluster.namespace, hint=hint
        ) from None


def remove_leftovers(deps: RehearsalDeps) -> list[str]:
    """Remove what killed rehearsals left. Only for who holds the lease. Raises Locked for another owner's."""
    leftovers = select_leftovers(deps.cluster.list_jobs(), deps.owner(), deps.clock.now())
    for name in leftovers:
        deps.cluster.delete_job(name)
        log.warning("rehearsal.job_reaped", extra={"job": name})
    for name in leftovers:
        await_removal(deps.cluster, deps.clock, deps.pause, name)
    return leftovers


def await_database(deps: RehearsalDeps, job: str) -> RehearsalPod:
    """The pod once its MongoDB runs. Raises Unavailable with the cluster's reason when it never does."""
    end = deps.clock.now() + deps.policy.ready_within
    while True:
        pod = deps.cluster.observe_rehearsal(job)
        if pod.database_running:
            return pod
        if pod.ended or deps.clock.now() >= end:
            raise _not_ready_error(pod.reason)
        deps.pause(_LOOK_SECONDS)


def _await_answer(deps: RehearsalDeps, job: str, uri: str, tunnel: PortTunnel) -> RehearsalDatabase:
    """The database once it takes writes: a container that runs has begun, no more."""
    end = deps.clock.now() + deps.policy.ready_within
    while True:
        try:
            return _connect_primary(deps, uri)
        except Unavailable as error:
            pod = deps.cluster.observe_rehearsal(job)
            if pod.ended or deps.clock.now() >= end:
                raise _not_ready_error(pod.reason or tunnel.problem or str(error)) from error
        deps.pause(_LOOK_SECONDS)


def _connect_primary(deps: RehearsalDeps, uri: str) -> RehearsalDatabase:
    database = deps.connect_database(uri)
    try:
        database.make_primary()
    except BaseException:
        database.close()
        raise
    return database


def _not_ready_error(reason: str) -> Unavailable:
    return Unavailable(
        "the rehearsal's MongoDB did not get ready", value=reason or "no reason known", hint=_HINT
    )


def _remove(deps: RehearsalDeps, job: str, on_left: Callable[[GroundcrewError], None]) -> None:
    """However it ended. What cannot be removed now goes with the next rehearsal, or at the deadline."""
    try:
        deps.cluster.delete_job(job)
        await_removal(deps.cluster, deps.clock, deps.pause, job)
    except GroundcrewError as error:
        log.exception("rehearsal.job_not_removed", extra={"job": job})
        on_left(error)
