"""What pods request of a node, as the scheduler counts it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.kubernetes.pod_requests import PodRequests, sum_node_requests, sum_pod_requests


def container(cpu: str = "0", memory: str = "0", **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


def pod(node: str, phase: str = "Running", *containers: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"nodeName": node, "containers": list(containers)}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("spec", "cpus"),
    [
        ({"containers": [container("250m"), container("1")]}, 1.25),
        # What ends before the others begin adds nothing, unless it alone asks for more.
        ({"initContainers": [container("500m")], "containers": [container("1")]}, 1.0),
        ({"initContainers": [container("2"), container("1")], "containers": [container("1")]}, 2.0),
        # A sidecar runs beside the others, and beside the initial containers that come after it.
        ({"initContainers": [container("1", restartPolicy="Always")], "containers": [container("1")]}, 2.0),
        ({"initContainers": [container("1", restartPolicy="Always"), container("3")], "containers": []}, 4.0),
        ({"initContainers": [container("3"), container("1", restartPolicy="Always")], "containers": []}, 3.0),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1.25),
        ({"containers": [{}, {"resources": None}, {"resources": {"requests": {"cpu": "much"}}}]}, 0.0),
        ({"initContainers": None}, 0.0),
    ],
)  # fmt: skip
def test_a_pod_requests_what_runs_of_it_at_one_time(spec: dict[str, Any], cpus: float) -> None:
    assert sum_pod_requests(spec) == PodRequests(cpus, 0.0)


def test_cpu_and_memory_are_counted_each_by_itself() -> None:
    spec = {"initContainers": [container("1", "1Gi")], "containers": [container("250m", "2Gi")]}
    assert sum_pod_requests(spec) == PodRequests(1.0, float(2 << 30))


def test_pods_are_summed_by_their_node_and_those_that_ended_or_have_none_are_left_out() -> None:
    pods = [
        pod("a", "Running", container("1", "1Gi")),
        pod("a", "Pending", container("500m")),  # bound: its place is taken already
        pod("a", "Succeeded", container("4")),
        pod("a", "Failed", container("4")),
        pod("", "Pending", container("4")),
        pod("b", "Running", container("2")),
        {},
    ]
    assert sum_node_requests(pods) == {
        "a": PodRequests(1.5, float(1 << 30)), "b": PodRequests(2.0, 0.0),
    }  # fmt: skip
