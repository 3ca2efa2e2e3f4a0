"""The Job of a rehearsal: MongoDB, and Rocket.Chat once the copy is restored and blanked.

Both are in one pod, so that Rocket.Chat reaches MongoDB on 127.0.0.1 and the namespace can deny all traffic,
both ways. MongoDB is a sidecar, the second initial container waits for the marker, and only then the cluster
starts Rocket.Chat, with the image's own command. Sidecars are there since Kubernetes 1.29:
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
"""

from __future__ import annotations

from typing import Any

from shared.kubernetes.manifest import Manifest
from shared.rehearsal.blanked import OWN_VARIABLES, list_overrides
from shared.rehearsal.model import (
    CHAT,
    DATABASE,
    MARKER_COLLECTION,
    MARKER_DATABASE,
    START_GATE,
    RehearsalSpec,
)
from shared.restore.drill.cluster.decide import cache_gigabytes
from shared.restore.drill.cluster.manifest import wrap_job
from shared.restore.drill.cluster.model import MONGODB_PORT

JOB_LABEL = "groundcrew/rehearsal"
PRIORITY_CLASS = "groundcrew-rehearsal"
REPLICA_SET = "rs0"  # change streams, which Rocket.Chat reads, need one
_MONGODB_ID = 999  # user and group of the official image: https://github.com/docker-library/mongo
_CHAT_ID = 65533  # of the official chart since 7.0, where a chart names no user
_TEMP_BYTES = 256 << 20
_CHAT_STORAGE_BYTES = 2 << 30  # uploads on their way, and what Node writes
_GATE_BYTES = 256 << 20
_REQUESTED_CPUS = 0.25  # of each container: the scheduler's promise, while the limit is what it may take
# Of the pod: MongoDB runs beside what waits, and then beside Rocket.Chat.
REQUESTED_CPUS = 2 * _REQUESTED_CPUS
MIN_KUBERNETES = "1.29"


def build_job(spec: RehearsalSpec) -> Manifest:
    """The Job. Its pod is never begun anew: a second start would find the data half migrated."""
    return wrap_job(spec.name, spec.owner, JOB_LABEL, spec.deadline, _pod_spec(spec))


def _pod_spec(spec: RehearsalSpec) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The first to go when the node runs short, and never in the place of another pod.
        "priorityClassName": PRIORITY_CLASS,
        "terminationGracePeriodSeconds": 5,  # nothing in it is worth a checkpoint
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": _MONGODB_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_database(spec), _start_gate(spec)],
        "containers": [_chat(spec)],
        "volumes": [
            {"name": "data", "emptyDir": {"sizeLimit": str(spec.storage_bytes)}},
            {"name": "temp", "emptyDir": {"sizeLimit": str(_TEMP_BYTES)}},
        ],
    }


def _database(spec: RehearsalSpec) -> dict[str, Any]:
    arguments = [
        # A port-forward enters the pod's own network, so that nobody else needs to reach the server at all.
        "--bind_ip=127.0.0.1",
        f"--port={MONGODB_PORT}",
        "--dbpath=/data/db",
        "--nounixsocket",
        f"--replSet={REPLICA_SET}",
        f"--wiredTigerCacheSizeGB={cache_gigabytes(spec.memory_bytes)}",
        # Else what expired since the backup would be deleted between restore and comparison.
        "--setParameter=ttlMonitorEnabled=false",
        "--setParameter=diagnosticDataCollectionEnabled=false",
    ]
    return {
        "name": DATABASE,
        "image": spec.mongodb_image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",  # a sidecar: it runs on beside what comes after it
        "command": ["mongod"],
        "args": arguments,
        "resources": _resources(spec.cpus, spec.memory_bytes, spec.storage_bytes + _TEMP_BYTES),
        "securityContext": _restricted(_MONGODB_ID, read_only=True),
        "volumeMounts": [
            {"name": "data", "mountPath": "/data/db"},
            {"name": "temp", "mountPath": "/tmp"},  # noqa: S108 - in the container
        ],
    }


def _start_gate(spec: RehearsalSpec) -> dict[str, Any]:
    """Ends when the marker is there. As long as MongoDB is not, its question fails, and is asked again."""
    uri = f"mongodb://127.0.0.1:{MONGODB_PORT}/?directConnection=true"
    collection = f"db.getSiblingDB('{MARKER_DATABASE}').getCollection('{MARKER_COLLECTION}')"
    question = f"quit({collection}.countDocuments({{}}) ? 0 : 1)"
    script = f'until mongosh --quiet --norc "{uri}" --eval "{question}"; do sleep 5; done'
    return {
        "name": START_GATE,
        "image": spec.mongodb_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["bash", "-c", script],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - where mongosh keeps its history
        "resources": _resources(1, _GATE_BYTES, _TEMP_BYTES),
        "securityContext": _restricted(_MONGODB_ID, read_only=True),
        "volumeMounts": [{"name": "temp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _chat(spec: RehearsalSpec) -> dict[str, Any]:
    chat = spec.chat
    container: dict[str, Any] = {
        "name": CHAT,
        "image": chat.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in build_environment(spec).items()],
        "resources": _resources(spec.cpus, spec.chat_memory_bytes, _CHAT_STORAGE_BYTES),
        "securityContext": _restricted(chat.user or _CHAT_ID, read_only=False),
        # Why a start failed is in the last lines that it wrote; reading logs would be another right.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "ports": [{"containerPort": chat.port}],
    }
    # Without them the image's own command runs, as in production.
    container |= {"command": list(chat.command)} if chat.command else {}
    return container | ({"args": list(chat.args)} if chat.args else {})


def build_environment(spec: RehearsalSpec) -> dict[str, str]:
    """The variables of the chart's plan, without what leads out, and with what holds the settings down."""
    overrides = list_overrides()
    kept = {name: value for name, value in spec.chat.env if name not in OWN_VARIABLES | set(overrides)}
    uri = f"mongodb://127.0.0.1:{MONGODB_PORT}/{spec.database}?replicaSet={REPLICA_SET}"
    return {
        **kept,
        "MONGO_URL": uri,
        "PORT": str(spec.chat.port),
        # The address of the database is part of the workspace's fingerprint, and is another one here.
        "AUTO_ACCEPT_FINGERPRINT": "true",
        **overrides,
    }


def _resources(cpus: int, memory_bytes: int, storage_bytes: int) -> dict[str, Any]:
    # Requests are the limits: what the scheduler gives is what there is, and the node is not overcommitted.
    fixed = {"memory": str(memory_bytes), "ephemeral-storage": str(storage_bytes)}
    return {"limits": {**fixed, "cpu": str(cpus)}, "requests": {**fixed, "cpu": str(_REQUESTED_CPUS)}}


def _restricted(user: int, *, read_only: bool) -> dict[str, Any]:
    return {
        "runAsUser": user,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": read_only,
        "capabilities": {"drop": ["ALL"]},
    }
