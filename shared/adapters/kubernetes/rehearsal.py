"""`RehearsalCluster` over the Kubernetes API. The rights are in infra/chart/rbac-rehearsal.yaml."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from shared.adapters.kubernetes.scratch import KubernetesScratch
from shared.kernel.errors import NotFound, Refused
from shared.kernel.secret import Secret
from shared.kubernetes.api import KubernetesApi, connect_api, quoted
from shared.kubernetes.pod_requests import PodRequests, sum_node_requests
from shared.kubernetes.workloads import parse_event, sorted_events
from shared.rehearsal.manifest import JOB_LABEL
from shared.rehearsal.model import RehearsalPod
from shared.rehearsal.observe import parse_rehearsal_pod

_LOG = logging.getLogger(__name__)


class KubernetesRehearsal(KubernetesScratch):
    """The namespace of rehearsals behind `api`; the same rights as a drill's, in another namespace.

    `release` is the namespace that Rocket.Chat runs in, whose pods rbac.yaml lets us list.
    """

    label = JOB_LABEL

    def __init__(self, api: KubernetesApi, namespace: str, release: str, prometheus: str = "") -> None:
        super().__init__(api, namespace, prometheus)
        self._release = release

    def get_version(self) -> str:
        """See `RehearsalCluster.get_version`."""
        return self._nodes.get_version()

    def list_known_requests(self) -> Mapping[str, PodRequests] | None:
        """See `RehearsalCluster.list_known_requests`."""
        try:
            pods = list(self._api.list_items(f"/api/v1/namespaces/{quoted(self._release)}/pods"))
        except Refused as error:
            _LOG.info("kubernetes.requests_unknown", extra={"error": str(error), "namespace": self._release})
            return None
        return sum_node_requests(pods)

    def observe_rehearsal(self, job: str) -> RehearsalPod:
        """See `RehearsalCluster.observe_rehearsal`."""
        pods = list(self._list_pods(job))
        try:
            item = self._api.get(self._job_path(job))
        except NotFound:
            item = None
        events = self._api.list_items(self._path("/api/v1", "events"), {"fieldSelector": "type=Warning"})
        return parse_rehearsal_pod(pods, item, sorted_events(map(parse_event, events)))


def connect_rehearsal(
    kubeconfig: Secret, namespace: str, release: str, prometheus: str = ""
) -> KubernetesRehearsal:
    """The namespace in the kubeconfig's cluster, which is not asked yet. Raises UsageError."""
    return KubernetesRehearsal(connect_api(kubeconfig), namespace, release, prometheus)
