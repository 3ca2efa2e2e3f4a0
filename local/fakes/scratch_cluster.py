"""The namespace of drills in memory: Jobs whose pods run at once, or never, as a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from local.fakes.clock import ManualClock
from shared.kernel.errors import Conflict, NotFound
from shared.kubernetes.access import AccessRight
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import Node, parse_event
from shared.restore.drill.cluster.manifest import JOB_LABEL
from shared.restore.drill.cluster.model import NamespaceSetup, ScratchJob, ScratchPod
from shared.restore.drill.cluster.observe import parse_job, parse_scratch_pod

GIB = 1 << 30
ROOMY_NODE = Node("node", True, 16 * GIB, 4 * GIB, 120 * GIB, disk_free_bytes=80 * GIB, cpus=4.0)


class MemoryTunnel:
    """Leads nowhere: whoever connects takes the database in memory."""

    def __init__(self, port: int = 1) -> None:
        self.port, self.problem, self.closed = port, "", False

    def close(self) -> None:
        """See `PortTunnel.close`."""
        self.closed = True


class MemoryScratchCluster:
    """`ScratchCluster` for tests: `pod_status` is what becomes of pods; admission refuses with `refusal`."""

    def __init__(self, clock: ManualClock, namespace: str = "groundcrew-drill") -> None:
        self._clock, self.namespace = clock, namespace
        self.setup: NamespaceSetup | None = NamespaceSetup("restricted", isolated=True)
        self.nodes: list[Node] = [ROOMY_NODE]
        self.pod_status: dict[str, Any] = running_status()
        self.refusal = ""
        self.missing_rights: list[AccessRight] = []
        self.created: list[Manifest] = []
        self.on_tunnel: Callable[[], None] = lambda: None
        self._jobs: dict[str, dict[str, Any]] = {}
        self._pods: dict[str, dict[str, Any]] = {}

    def read_setup(self) -> NamespaceSetup:
        """See `ScratchCluster.read_setup`."""
        if self.setup is None:
            raise NotFound("the cluster does not have it", value=self.namespace)
        return self.setup

    def list_nodes(self) -> Sequence[Node]:
        """See `ScratchCluster.list_nodes`."""
        return list(self.nodes)

    def create_job(self, manifest: Manifest) -> None:
        """See `ScratchCluster.create_job`."""
        name = str(manifest["metadata"]["name"])
        if name in self._jobs:
            raise Conflict("the cluster changed meanwhile", value=name)
        now = _format(self._clock.now())
        self._jobs[name] = {**manifest, "metadata": {**manifest["metadata"], "creationTimestamp": now}}
        self.created.append(manifest)
        if not self.refusal:
            meta = {"name": f"{name}-pod", "labels": {JOB_LABEL: name}, "creationTimestamp": now}
            self._pods[name] = {"metadata": meta, "status": self.pod_status}

    def list_jobs(self) -> Sequence[ScratchJob]:
        """See `ScratchCluster.list_jobs`."""
        return [parse_job(item) for item in self._jobs.values()]

    def delete_job(self, name: str) -> None:
        """See `ScratchCluster.delete_job`."""
        self._jobs.pop(name, None)
        self._pods.pop(name, None)

    def has_pods(self, job: str) -> bool:
        """See `ScratchCluster.has_pods`."""
        return job in self._pods

    def observe_pod(self, job: str) -> ScratchPod:
        """See `ScratchCluster.observe_pod`."""
        pods = [self._pods[job]] if job in self._pods else []
        events = []
        if self.refusal:
            about = {"kind": "Job", "name": job}
            events = [
                parse_event({"involvedObject": about, "reason": "FailedCreate", "message": self.refusal})
            ]
        return parse_scratch_pod(pods, self._jobs.get(job), events)

    def forward_port(self, pod: str, port: int) -> MemoryTunnel:
        """See `ScratchCluster.forward_port`."""
        if all(item["metadata"]["name"] != pod for item in self._pods.values()):
            raise NotFound("the cluster does not have it", value=pod)
        self.on_tunnel()
        return MemoryTunnel(port)

    def find_missing_rights(self) -> Sequence[AccessRight]:
        """See `ScratchCluster.find_missing_rights`."""
        return list(self.missing_rights)

    def end_pods(self, status: Mapping[str, Any]) -> None:
        """Let all pods be in this state from now on."""
        for pod in self._pods.values():
            pod["status"] = dict(status)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of any drill."""
        return not self._jobs and not self._pods


def running_status() -> dict[str, Any]:
    """Of a pod that runs."""
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def _format(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
