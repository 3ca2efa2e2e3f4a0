"""`ScratchCluster` over the Kubernetes API. The rights are in infra/chart/rbac-drill.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.adapters.kubernetes.cluster import KubernetesCluster
from shared.adapters.kubernetes.port_forward import PortForward, open_forward
from shared.kernel.errors import NotFound
from shared.kernel.secret import Secret
from shared.kubernetes.access import REVIEWS, AccessRight, build_review, parse_review
from shared.kubernetes.api import KubernetesApi, connect_api, quoted
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import Node, parse_event, sorted_events
from shared.restore.drill.cluster.manifest import JOB_LABEL
from shared.restore.drill.cluster.model import NamespaceSetup, ScratchJob, ScratchPod
from shared.restore.drill.cluster.observe import (
    LEVEL_LABEL,
    denies_all_traffic,
    parse_job,
    parse_scratch_pod,
)


class KubernetesScratch:
    """The namespace of drills behind `api`; `prometheus` is `namespace/service:port`, empty for none."""

    label = JOB_LABEL  # on our Jobs and their pods

    def __init__(self, api: KubernetesApi, namespace: str, prometheus: str = "") -> None:
        self._api, self.namespace = api, namespace
        self._nodes = KubernetesCluster(api, namespace, prometheus)

    def read_setup(self) -> NamespaceSetup:
        """See `ScratchCluster.read_setup`."""
        item = self._api.get(f"/api/v1/namespaces/{quoted(self.namespace)}")
        labels = (item.get("metadata") or {}).get("labels") or {}
        policies = self._api.list_items(self._path("/apis/networking.k8s.io/v1", "networkpolicies"))
        return NamespaceSetup(str(labels.get(LEVEL_LABEL, "")), denies_all_traffic(policies))

    def list_nodes(self) -> Sequence[Node]:
        """See `ScratchCluster.list_nodes`."""
        return self._nodes.list_nodes(disks=True)

    def create_job(self, manifest: Manifest) -> None:
        """See `ScratchCluster.create_job`."""
        self._api.post(self._path("/apis/batch/v1", "jobs"), manifest)

    def list_jobs(self) -> Sequence[ScratchJob]:
        """See `ScratchCluster.list_jobs`."""
        jobs = self._api.list_items(self._path("/apis/batch/v1", "jobs"), {"labelSelector": self.label})
        return [parse_job(item) for item in jobs]

    def delete_job(self, name: str) -> None:
        """See `ScratchCluster.delete_job`.

        Without a policy the API deletes a Job and lets its pods run on:
        https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup
        """
        try:
            self._api.delete(self._job_path(name), {"propagationPolicy": "Background"})
        except NotFound:
            return

    def has_pods(self, job: str) -> bool:
        """See `ScratchCluster.has_pods`."""
        return any(True for _ in self._list_pods(job))

    def observe_pod(self, job: str) -> ScratchPod:
        """See `ScratchCluster.observe_pod`."""
        pods = list(self._list_pods(job))
        try:
            item = self._api.get(self._job_path(job))
        except NotFound:
            item = None
        query = {"fieldSelector": "type=Warning"}
        events = self._api.list_items(self._path("/api/v1", "events"), query)
        return parse_scratch_pod(pods, item, sorted_events(map(parse_event, events)))

    def forward_port(self, pod: str, port: int) -> PortForward:
        """See `ScratchCluster.forward_port`."""
        return open_forward(self._api, self.namespace, pod, port)

    def find_missing_rights(self) -> Sequence[AccessRight]:
        """See `ScratchCluster.find_missing_rights`."""
        return [
            right
            for right in list_drill_rights(self.namespace)
            if not parse_review(self._api.post(REVIEWS, build_review(right)))
        ]

    def _list_pods(self, job: str) -> Iterator[Manifest]:
        # By our own label: what Kubernetes puts on the pods of Jobs is called otherwise by older versions.
        query = {"labelSelector": f"{self.label}={job}"}
        yield from self._api.list_items(self._path("/api/v1", "pods"), query)

    def _job_path(self, name: str) -> str:
        return f"{self._path('/apis/batch/v1', 'jobs')}/{quoted(name)}"

    def _path(self, root: str, plural: str) -> str:
        return f"{root}/namespaces/{quoted(self.namespace)}/{plural}"


def list_drill_rights(namespace: str) -> list[AccessRight]:
    """All that a drill in the cluster asks of the API, besides the nodes' memory and disk."""
    rights = [AccessRight("batch", "jobs", verb, namespace) for verb in ("create", "delete", "get", "list")]
    rights += [AccessRight("", "pods", "list", namespace), AccessRight("", "events", "list", namespace)]
    # A WebSocket begins with a GET; since Kubernetes 1.35 it takes the right to create, too.
    rights += [AccessRight("", "pods/portforward", verb, namespace) for verb in ("create", "get")]
    rights.append(AccessRight("networking.k8s.io", "networkpolicies", "list", namespace))
    rights.append(AccessRight("", "namespaces", "get", namespace, namespace))
    return [*rights, AccessRight("", "nodes", "list")]


def connect_scratch(kubeconfig: Secret, namespace: str, prometheus: str = "") -> KubernetesScratch:
    """The namespace in the kubeconfig's cluster, which is not asked yet. Raises UsageError."""
    return KubernetesScratch(connect_api(kubeconfig), namespace, prometheus)
