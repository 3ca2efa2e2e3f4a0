"""The cluster in which a drill's MongoDB runs, as the drill needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shared.kubernetes.access import AccessRight
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import Node
from shared.restore.drill.cluster.model import NamespaceSetup, ScratchJob, ScratchPod


class PortTunnel(Protocol):
    """A port of a pod, on 127.0.0.1."""

    port: int  # on which it listens here
    problem: str  # what the cluster said of the last connection that it ended; empty if nothing

    def close(self) -> None:
        """Listen no more. May be called twice."""
        ...


class ScratchCluster(Protocol):
    """One namespace, and the nodes. All raise Refused without a right, Unavailable without an answer."""

    namespace: str

    def read_setup(self) -> NamespaceSetup:
        """How the namespace is shut in. Raises NotFound if there is no such namespace."""
        ...

    def list_nodes(self) -> Sequence[Node]:
        """The nodes with their free memory and disk, as far as these are measured."""
        ...

    def create_job(self, manifest: Manifest) -> None:
        """Create a Job. Raises Conflict if there is one of that name."""
        ...

    def list_jobs(self) -> Sequence[ScratchJob]:
        """All drills' Jobs in the namespace, whoever's."""
        ...

    def delete_job(self, name: str) -> None:
        """Delete a Job and its pods; one that is gone is fine. Pods may take a while to stop."""
        ...

    def has_pods(self, job: str) -> bool:
        """Whether pods of the Job are left, also after the Job itself is gone."""
        ...

    def observe_pod(self, job: str) -> ScratchPod:
        """The Job's pod as it is now, or why there is none."""
        ...

    def forward_port(self, pod: str, port: int) -> PortTunnel:
        """A tunnel to the pod's port. Raises NotFound for a pod that is gone."""
        ...

    def find_missing_rights(self) -> Sequence[AccessRight]:
        """Of the rights that a drill needs those that the app does not have."""
        ...
