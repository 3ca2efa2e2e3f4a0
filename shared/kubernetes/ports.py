"""The cluster's API as a port: what is read of it, and the little that is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from shared.kubernetes.access import AccessRight, ServedResource
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import Claim, ClusterEvent, Node, Pod, Workload


class Cluster(Protocol):
    """One namespace of a Kubernetes cluster, read only. Raises `Unavailable`, and `Refused` for missing
    rights."""

    def get_version(self) -> str:
        """`1.31.2`: the API server's version, which is also the check that it is there."""
        ...

    def list_workloads(self) -> list[Workload]:
        """Deployments and StatefulSets, sorted by kind and name."""
        ...

    def list_pods(self, selector: str = "") -> list[Pod]:
        """Pods by label selector, sorted by name."""
        ...

    def list_events(self, *, warnings_only: bool = True) -> list[ClusterEvent]:
        """Newest first."""
        ...

    def list_secret_keys(self) -> Mapping[str, frozenset[str]]:
        """The names of the Secrets and of the keys in each; never a value. Releases are left out."""
        ...

    def list_claims(self) -> list[Claim]:
        """PersistentVolumeClaims, sorted by name."""
        ...

    def list_nodes(self, *, disks: bool = False) -> list[Node]:
        """The nodes with their memory, sorted by name; with `disks` also how much of their disk is free.

        Prometheus is asked for that, since Kubernetes does not tell; what it does not answer is not measured.
        """
        ...

    def resource_of(self, api_version: str, kind: str) -> ServedResource | None:
        """How the API serves a kind; None if it does not."""
        ...

    def is_allowed(self, right: AccessRight) -> bool:
        """Whether the API would let us: a SelfSubjectAccessReview."""
        ...

    def get_live_objects(self, manifests: Sequence[Manifest]) -> list[Manifest | None]:
        """The live object behind each manifest, with managedFields; None where it is not there."""
        ...
