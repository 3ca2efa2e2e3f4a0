"""`ChatWorkloads` over the Kubernetes API: the Deployments of one Helm release, and their pods.

Only Deployments: what holds data (MongoDB, NATS) is a StatefulSet, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.kernel.secret import Secret
from shared.kubernetes.api import Json, KubernetesApi, connect_api, quoted

# https://helm.sh/docs/chart_best_practices/labels/
_RELEASE = "app.kubernetes.io/instance"


class KubernetesScaling:
    """The release in the namespace, behind `api`. The rights are those of a deploy."""

    def __init__(self, api: KubernetesApi, namespace: str, release: str) -> None:
        self._api, self._release = api, release
        self._apps = f"/apis/apps/v1/namespaces/{quoted(namespace)}/deployments"
        self._pods = f"/api/v1/namespaces/{quoted(namespace)}/pods"

    def list_replicas(self) -> Mapping[str, int]:
        """See `ChatWorkloads.list_replicas`."""
        replicas = ((item, (item.get("spec") or {}).get("replicas")) for item in self._list_deployments())
        # Absent is one: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#replicas
        return {str(item["metadata"]["name"]): 1 if count is None else int(count) for item, count in replicas}

    def scale(self, name: str, replicas: int) -> None:
        """See `ChatWorkloads.scale`."""
        # The object and not its subresource `scale`, for which whoever deploys need not have a right.
        self._api.merge_patch(f"{self._apps}/{quoted(name)}", {"spec": {"replicas": replicas}})

    def list_running_pods(self) -> list[str]:
        """See `ChatWorkloads.list_running_pods`: one that is being ended may still write."""
        names: set[str] = set()
        for item in self._list_deployments():
            labels = ((item.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
            selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
            pods = self._api.list_items(self._pods, {"labelSelector": selector})
            names |= {str(pod["metadata"]["name"]) for pod in pods if not _has_ended(pod)}
        return sorted(names)

    def _list_deployments(self) -> Iterator[Json]:
        return self._api.list_items(self._apps, {"labelSelector": f"{_RELEASE}={self._release}"})


def _has_ended(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def connect_scaling(kubeconfig: Secret, namespace: str, release: str) -> KubernetesScaling:
    """The release in the kubeconfig's cluster. Imports the client. Raises UsageError."""
    return KubernetesScaling(connect_api(kubeconfig), namespace, release)
