"""The chat's Deployments, scaled to 0 and back, and their pods until they are gone."""

from __future__ import annotations

from typing import Any

from shared.adapters.kubernetes.scaling import KubernetesScaling

DEPLOYMENTS = "/apis/apps/v1/namespaces/rocketchat/deployments"
PODS = "/api/v1/namespaces/rocketchat/pods"


def deployment(name: str, release: str = "rocketchat", **spec: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/instance": release}
    match = {"app.kubernetes.io/name": name, **labels}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {**spec, "selector": {"matchLabels": match}},
    }


def pod(name: str, of: str, release: str = "rocketchat", phase: str = "Running") -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": of, "app.kubernetes.io/instance": release}
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}}


class ListedApi:
    """As much of the API as is asked: lists by label, and a merge patch."""

    def __init__(self, **items: list[dict[str, Any]]) -> None:
        self.items = {DEPLOYMENTS: items.get("deployments", []), PODS: items.get("pods", [])}
        self.patches: list[tuple[str, Any]] = []

    def list_items(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        wanted = dict(term.split("=", 1) for term in query["labelSelector"].split(","))
        return [one for one in self.items[path] if wanted.items() <= one["metadata"]["labels"].items()]

    def merge_patch(self, path: str, change: Any) -> None:
        self.patches.append((path, change))


def scaling(api: ListedApi) -> KubernetesScaling:
    return KubernetesScaling(api, "rocketchat", "rocketchat")  # type: ignore[arg-type]


def test_only_the_releases_own_deployments_count_and_one_that_names_no_number_has_one() -> None:
    api = ListedApi(
        deployments=[
            deployment("rocketchat", replicas=2),
            deployment("presence"),
            deployment("stopped", replicas=0),
            deployment("mongodb-operator", release="mongodb-kubernetes", replicas=1),
        ]
    )
    assert scaling(api).list_replicas() == {"rocketchat": 2, "presence": 1, "stopped": 0}
    scaling(api).scale("rocketchat", 0)
    assert api.patches == [(f"{DEPLOYMENTS}/rocketchat", {"spec": {"replicas": 0}})]


def test_pods_count_until_they_have_ended_and_those_of_stateful_sets_do_not() -> None:
    api = ListedApi(
        deployments=[deployment("rocketchat", replicas=0)],
        pods=[
            pod("rocketchat-1", "rocketchat"),
            pod("rocketchat-2", "rocketchat", phase="Pending"),
            pod("rocketchat-3", "rocketchat", phase="Succeeded"),
            pod("rocketchat-4", "rocketchat", phase="Failed"),
            pod("rocketchat-mongodb-0", "mongodb"),
            pod("rocketchat-nats-0", "nats"),
        ],
    )
    assert scaling(api).list_running_pods() == ["rocketchat-1", "rocketchat-2"]
