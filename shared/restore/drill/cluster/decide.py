"""What the drill's Job is to be, whether there is room for it, and which Jobs are to be removed. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.kernel.errors import Locked, Refused, Unavailable
from shared.kubernetes.workloads import Node
from shared.restore.drill.cluster.model import RIGHTS_FILE, NamespaceSetup, ScratchJob

GIB = 1 << 30
_LEAST_STORAGE_BYTES = 4 * GIB
# mongo is 0.9 GB unpacked, and containerd keeps the packed layers, too.
_IMAGE_BYTES = 2 * GIB
# The kubelet evicts pods, Rocket.Chat's among them, when less than 15 % are free where images lie:
# https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds
_RESERVED_SHARE = 0.2
# The cluster removes a Job that ended minutes later; one that outlives this is nobody's any more.
_FOREIGN_GRACE = timedelta(hours=1)
_VERSION_TAG = re.compile(r":(\d+)\.(\d+)\.\d+[^/:@]*(?:@sha256:[0-9a-f]{64})?$")


def choose_image(
    images: Sequence[str], server_version: str, *, setting: str = "backup.drill.cluster.images"
) -> str:
    """The image of the same major and minor version as the set's server. Raises Refused without one.

    An older server does not read what a newer one wrote, and a newer one proves nothing of the older.
    """
    wanted = tuple(server_version.split(".")[:2])
    for image in images:
        if (match := _VERSION_TAG.search(image)) and match.groups() == wanted:
            return image
    hint = f"Add an image mongo:{'.'.join(wanted)}.x to {setting} in policy.yaml."
    raise Refused(
        "policy names no image for the backup's MongoDB", value=f"MongoDB {server_version}", hint=hint
    )


def size_storage(data_bytes: int, limit_bytes: int) -> int:
    """Bytes that the copy may take: twice its uncompressed data, for indexes and the journal.

    Raises Refused if that is more than policy allows.
    """
    needed = max(_LEAST_STORAGE_BYTES, 2 * data_bytes)
    if needed > limit_bytes:
        hint = "Raise backup.drill.cluster.storage_limit, or drill elsewhere (DRILL_MONGODB_URI)."
        raise Refused(
            "the copy may need more storage than policy allows",
            value=f"{needed / GIB:.0f} GiB of {limit_bytes / GIB:.0f} GiB",
            hint=hint,
        )
    return needed


def name_job(run: str, owner: str) -> str:
    """The Job's name, of the drill's run and whose it is (RFC 1123)."""
    return f"drill-{re.sub('[^a-z0-9-]', '-', run.lower())}-{owner[:6]}"


def check_setup(setup: NamespaceSetup, namespace: str, *, rights_file: str = RIGHTS_FILE) -> None:
    """Raises Refused unless the namespace keeps a copy of production in."""
    hint = f"kubectl apply -f {rights_file}"
    if setup.level != "restricted":
        level = setup.level or "nothing"
        raise Refused(
            "the drill's namespace does not enforce restricted pods", value=f"{namespace}: {level}", hint=hint
        )
    if not setup.isolated:
        raise Refused("the drill's namespace does not deny all traffic", value=namespace, hint=hint)


def select_leftovers(jobs: Sequence[ScratchJob], owner: str, now: datetime) -> list[str]:
    """Names of the Jobs that a killed drill left, by owner and age. Raises Locked for a drill of another.

    Whoever asks holds the lease of drills, so that a Job of the same owner has nobody any more.
    """
    leftovers = []
    for job in jobs:
        if job.owner == owner or job.finished or _is_past_deadline(job, now):
            leftovers.append(job.name)
        else:
            hint = "Give each Groundcrew a namespace of its own: backup.drill.cluster.namespace."
            raise Locked("another Groundcrew's drill runs in the namespace", value=job.name, hint=hint)
    return leftovers


def _is_past_deadline(job: ScratchJob, now: datetime) -> bool:
    if job.created is None or job.deadline is None:
        return False  # what cannot be told might still run
    return now - job.created > job.deadline + _FOREIGN_GRACE


def check_room(nodes: Sequence[Node], *, memory_bytes: int, storage_bytes: int, image: str) -> str:
    """Which node has room, and what of it was only estimated. Raises Unavailable if none has.

    A drill must never be what fills the disk under Rocket.Chat, or takes its memory.
    """
    problems = []
    for node in sorted(nodes, key=lambda each: each.name):
        problem, notes = _evaluate_node(node, memory_bytes, storage_bytes, image)
        if not problem:
            return "; ".join((f"{node.name} has room", *notes))
        problems.append(problem)
    hint = "Free some, or drill on a server of its own (DRILL_MONGODB_URI)."
    raise Unavailable(
        "no node has room for the drill", value="; ".join(problems) or "there is no node", hint=hint
    )


def _evaluate_node(
    node: Node, memory_bytes: int, storage_bytes: int, image: str
) -> tuple[str, tuple[str, ...]]:
    """Why the node has no room, empty if it has; and what was not measured."""
    if not node.ready:
        return f"{node.name} is not ready", ()
    if node.pressures:
        return f"{node.name} has {', '.join(node.pressures)}", ()
    notes = []
    memory, disk = node.memory_free_bytes, node.disk_free_bytes
    if memory is None:
        memory = node.memory_bytes
        notes.append("memory is the whole node's: no metrics")
    if disk is None:
        disk = node.disk_estimated_bytes
        notes.append("disk estimated from the node's images: no Prometheus")
    needed = storage_bytes + node.disk_bytes * _RESERVED_SHARE
    needed += 0 if image in node.images else _IMAGE_BYTES
    if memory < memory_bytes:
        return f"{node.name} has {memory / GIB:.1f} GiB of memory free of {memory_bytes / GIB:.1f}", ()
    if disk < needed:
        return f"{node.name} has {disk / GIB:.0f} GiB of disk free of {needed / GIB:.0f} needed", ()
    return "", tuple(notes)


def cache_gigabytes(memory_bytes: int) -> float:
    """WiredTiger's cache, of the limit and not of the node's memory: half of what is above 1 GiB.

    https://www.mongodb.com/docs/manual/administration/production-notes/#allocate-sufficient-ram-and-cpu
    """
    return max(0.25, round((memory_bytes - GIB) / GIB / 2, 2))
