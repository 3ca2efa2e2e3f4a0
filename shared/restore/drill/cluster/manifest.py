"""The Job as Kubernetes gets it: nothing that the restricted pod security standard would refuse.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.kubernetes.manifest import Manifest
from shared.restore.drill.cluster.decide import cache_gigabytes
from shared.restore.drill.cluster.model import MONGODB_PORT, ScratchSpec

OWNER_LABEL = "groundcrew/owner"
JOB_LABEL = "groundcrew/drill"
PRIORITY_CLASS = "groundcrew-drill"
_MONGODB_ID = 999  # user and group of the official image: https://github.com/docker-library/mongo
_TEMP_BYTES = 64 << 20
# After the deadline, or whatever else ends it, the cluster itself removes the Job with its data.
_REMOVED_AFTER_SECONDS = 600


def build_job(spec: ScratchSpec) -> Manifest:
    """The Job. Its pod is never begun anew: half a copy would be taken for a whole one."""
    return wrap_job(spec.name, spec.owner, JOB_LABEL, spec.deadline, _pod_spec(spec))


def wrap_job(name: str, owner: str, label: str, deadline: timedelta, pod: Mapping[str, Any]) -> Manifest:
    """A Job of ours, found by `label` and `owner`, whose pod is tried once and ended at the deadline."""
    labels = {"app.kubernetes.io/managed-by": "groundcrew", OWNER_LABEL: owner, label: name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": int(deadline.total_seconds()),
            "ttlSecondsAfterFinished": _REMOVED_AFTER_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _pod_spec(spec: ScratchSpec) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The first to go when the node runs short, and never in the place of another pod.
        "priorityClassName": PRIORITY_CLASS,
        "terminationGracePeriodSeconds": 5,  # nothing in it is worth a checkpoint
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _MONGODB_ID,
            "runAsGroup": _MONGODB_ID,
            "fsGroup": _MONGODB_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec)],
        "volumes": [
            {"name": "data", "emptyDir": {"sizeLimit": str(spec.storage_bytes)}},
            {"name": "temp", "emptyDir": {"sizeLimit": str(_TEMP_BYTES)}},
        ],
    }


def _container(spec: ScratchSpec) -> dict[str, Any]:
    storage = spec.storage_bytes + _TEMP_BYTES
    # Requests are the limits: what the scheduler gives is what there is, and the node is not overcommitted.
    resources = {
        "cpu": str(spec.cpus),
        "memory": str(spec.memory_bytes),
        "ephemeral-storage": str(storage),
    }
    return {
        "name": "mongodb",
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["mongod"],
        "args": _arguments(spec),
        "resources": {"limits": resources, "requests": {**resources, "cpu": "500m"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/data/db"},
            {"name": "temp", "mountPath": "/tmp"},  # noqa: S108 - in the container
        ],
    }


def _arguments(spec: ScratchSpec) -> list[str]:
    return [
        # A port-forward enters the pod's own network, so that nobody else needs to reach the server at all.
        "--bind_ip=127.0.0.1",
        f"--port={MONGODB_PORT}",
        "--dbpath=/data/db",
        "--nounixsocket",
        f"--wiredTigerCacheSizeGB={cache_gigabytes(spec.memory_bytes)}",
        # Else documents that expired since the backup would be deleted between restore and comparison.
        "--setParameter=ttlMonitorEnabled=false",
        "--setParameter=diagnosticDataCollectionEnabled=false",
    ]
