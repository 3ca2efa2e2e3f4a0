"""`RehearsalCluster` over the Kubernetes API. The rights are in infra/chart/rbac-rehearsal.yaml."""

from __future__ import annotations

from shared.adapters.kubernetes.scratch import KubernetesScratch
from shared.kernel.errors import NotFound
from shared.kernel.secret import Secret
from shared.kubernetes.api import connect_api
from shared.kubernetes.workloads import parse_event, sorted_events
from shared.rehearsal.manifest import JOB_LABEL
from shared.rehearsal.model import RehearsalPod
from shared.rehearsal.observe import parse_rehearsal_pod


class KubernetesRehearsal(KubernetesScratch):
    """The namespace of rehearsals behind `api`; the same rights as a drill's, in another namespace."""

    label = JOB_LABEL

    def get_version(self) -> str:
        """See `RehearsalCluster.get_version`."""
        return self._nodes.get_version()

    def observe_rehearsal(self, job: str) -> RehearsalPod:
        """See `RehearsalCluster.observe_rehearsal`."""
        pods = list(self._list_pods(job))
        try:
            item = self._api.get(self._job_path(job))
        except NotFound:
            item = None
        events = self._api.list_items(self._path("/api/v1", "events"), {"fieldSelector": "type=Warning"})
        return parse_rehearsal_pod(pods, item, sorted_events(map(parse_event, events)))


def connect_rehearsal(kubeconfig: Secret, namespace: str, prometheus: str = "") -> KubernetesRehearsal:
    """The namespace in the kubeconfig's cluster, which is not asked yet. Raises UsageError."""
    return KubernetesRehearsal(connect_api(kubeconfig), namespace, prometheus)
