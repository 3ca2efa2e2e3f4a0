"""What a rehearsal runs on, whether there is room for it, and how it ended. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from shared.formats.backupset import Manifest
from shared.formats.rehearsals import FAILED, PASSED, RehearsalMeasures, RehearsedProbe
from shared.kernel.durations import format_duration
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.versions import Version
from shared.kubernetes.pod_requests import PodRequests
from shared.kubernetes.workloads import Node
from shared.mongodb.model import Timestamp
from shared.rehearsal.manifest import MIN_KUBERNETES, REQUESTED_CPUS
from shared.rehearsal.model import MigrationControl, RehearsalPod
from shared.restore.drill.cluster.decide import GIB, check_room

_LEAST_STORAGE_BYTES = 4 * GIB
_SETTINGS = "rocketchat_settings"  # the collection that only Rocket.Chat's own database has


def check_kubernetes(version: str) -> None:
    """Raises Refused for a cluster that knows no sidecars: MongoDB would be waited for for ever."""
    found, least = Version.parse(version), Version.parse(MIN_KUBERNETES)
    if found is None or least is None or (found.major, found.minor) < (least.major, least.minor):
        hint = f"Upgrade MicroK8s to {MIN_KUBERNETES} or later."
        raise Refused("this Kubernetes has no sidecar containers", value=version or "unknown", hint=hint)


def find_chat_database(manifest: Manifest) -> str:
    """The database of Rocket.Chat in a set. Raises Refused if there is none, or more than one."""
    names = sorted({one.db for one in manifest.namespaces if one.collection == _SETTINGS})
    if len(names) != 1:
        hint = "A rehearsal needs a backup with exactly one database of Rocket.Chat."
        raise Refused(
            "which database is Rocket.Chat's cannot be told", value=", ".join(names) or "none", hint=hint
        )
    return names[0]


def find_set_end(manifest: Manifest) -> datetime:
    """Up to when the set holds the data."""
    return datetime.fromtimestamp(Timestamp.parse(manifest.oplog.end).seconds, UTC)


def check_set_age(manifest: Manifest, now: datetime, max_age: timedelta) -> None:
    """Raises Refused for a backup that is too old to say something of today's data."""
    age = now - find_set_end(manifest)
    if age > max_age:
        hint = "Make one: groundcrew backups create"
        where = f"{manifest.klass}/{manifest.set} is {format_duration(age)} old"
        raise Refused(f"no backup is younger than {format_duration(max_age)}", value=where, hint=hint)


def size_storage(data_bytes: int, limit_bytes: int) -> int:
    """Bytes that the copy may take: three times its data, since migrations write it anew. Raises Refused."""
    needed = max(_LEAST_STORAGE_BYTES, 3 * data_bytes)
    if needed > limit_bytes:
        raise Refused(
            "the copy may need more storage than policy allows",
            value=f"{needed / GIB:.0f} GiB of {limit_bytes / GIB:.0f} GiB",
            hint="Raise deploy.rehearsal.storage_limit in policy.yaml.",
        )
    return needed


def name_job(run: str, owner: str) -> str:
    """The Job's name, of the rehearsal's run and whose it is (RFC 1123)."""
    return f"rehearsal-{re.sub('[^a-z0-9-]', '-', run.lower())}-{owner[:6]}"


def find_room(
    nodes: Sequence[Node],
    requests: Mapping[str, PodRequests] | None,
    *,
    memory_bytes: int,
    storage_bytes: int,
    images: Sequence[str],
) -> str:
    """Which node has room for the pod, and what of it is not known; `images` by their full names.

    `requests` are those that are known of the pods on each node, None if none are. Raises Refused if no node
    has room: nothing is begun, and a node does not grow by waiting.
    """
    needed = PodRequests(REQUESTED_CPUS, memory_bytes)
    # A node that the scheduler will not choose is no candidate, however much of its memory and disk is free.
    problems = {node.name: _find_shortage(node, (requests or {}).get(node.name), needed) for node in nodes}
    candidates = [node for node in nodes if not problems[node.name]]
    short = [problems[name] for name in sorted(problems) if problems[name]]
    missing = [image for image in images if not any(image in node.images for node in nodes)]
    # The first missing image is counted by the check itself.
    storage_bytes += max(0, len(missing) - 1) * 2 * GIB
    hint = "Free some, take a larger VM for the day, or lower deploy.rehearsal.memory and chat_memory."
    if short and not candidates:
        raise Refused("no node has room for the rehearsal", value="; ".join(short), hint=hint)
    image = (missing or list(images))[0]
    try:
        room = check_room(candidates, memory_bytes=memory_bytes, storage_bytes=storage_bytes, image=image)
    except Unavailable as error:
        value = "; ".join([*short, str(error.value)])
        raise Refused("no node has room for the rehearsal", value=value, hint=hint) from error
    whose = "all pods" if requests is None else "pods of other namespaces"
    return f"{room}; what {whose} request of CPU and memory is unknown"


def _find_shortage(node: Node, known: PodRequests | None, needed: PodRequests) -> str:
    """What the node lacks for the scheduler, by the requests that are known; empty if it may have room."""
    known = known or PodRequests()
    cpus, memory = node.cpus - known.cpus, node.memory_bytes - known.memory_bytes
    # Of a hundredth of a core and of a byte a sum of fractions says nothing.
    if round(cpus, 2) < needed.cpus:
        return f"{node.name} has {cpus:.2f} CPU not requested of {needed.cpus:.2f} needed"
    if memory < needed.memory_bytes:
        free, least = memory / GIB, needed.memory_bytes / GIB
        return f"{node.name} has {free:.1f} GiB of memory not requested of {least:.1f} needed"
    return ""


def judge_end(pod: RehearsalPod, reason: str) -> tuple[str, bool]:
    """Why the pod ended, and whether that says something of the upgrade.

    What the node did to it (evicted, out of memory, deleted) says nothing. `reason` is what Rocket.Chat said.
    """
    if "OOMKilled" in pod.reason:
        return f"{pod.reason}: raise deploy.rehearsal.chat_memory", False
    return (reason, True) if pod.reason.startswith("Rocket.Chat ended") else (pod.reason, False)


def describe_timeout(control: MigrationControl | None, after: timedelta) -> str:
    """Why Rocket.Chat does not answer, as far as its migration counter tells."""
    length = format_duration(after)
    if control is not None and control.locked:
        return f"timed out after {length}: migrations.control is locked at version {control.version}"
    version = f"; its schema is {control.version}" if control else ""
    return f"timed out after {length}: Rocket.Chat did not answer{version}"


def judge_probes(
    probes: Sequence[RehearsedProbe], before: frozenset[str], after: frozenset[str]
) -> tuple[str, str, tuple[RehearsedProbe, ...]]:
    """Outcome, problem and all probes: the ways to sign in that went are one of them."""
    lost = sorted(before - after)
    detail = f"switched off by the start: {', '.join(lost)}" if lost else f"{len(after)} are on, as before"
    every = (*probes, RehearsedProbe("sign-in methods", not lost, detail))
    problems = [f"{one.name}: {one.detail}" for one in every if not one.passed]
    return (FAILED if problems else PASSED), "; ".join(problems), every


def build_measures(
    before: MigrationControl | None,
    after: MigrationControl | None,
    *,
    migrated: timedelta,
    ready: timedelta,
    restored_bytes: int,
    peak_bytes: int,
    scripts: Sequence[tuple[str, str | None]] = (),
) -> RehearsalMeasures:
    """The measures of a start; of each script its name and error, None where the server did not say."""
    return RehearsalMeasures(
        before.version if before else -1,
        after.version if after else -1,
        round(migrated.total_seconds(), 3),
        round(ready.total_seconds(), 3),
        restored_bytes,
        max(peak_bytes, restored_bytes),
        len(scripts),
        tuple(name for name, error in scripts if error),
        sum(error is None for _, error in scripts),
    )
