"""The nodes' health, asked of the Kubernetes API (the stand-in) and of the fake alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.fakes.cluster import MemoryCluster
from local.kubernetes import KubernetesServer
from shared.adapters.kubernetes.cluster import connect
from shared.health.node_probe import NodeHealth
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret

NAMESPACE = "rocketchat"


@dataclass
class Stage:
    """The probe, and a way to put nodes in place that report nothing by themselves."""

    probe: NodeHealth
    put: Callable[..., Any]


def node(name: str, ready: str, *pressures: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}, *({"type": one, "status": "True"} for one in pressures)]
    status = {"conditions": conditions, "allocatable": {"memory": "16271572Ki"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}, "status": status}


@pytest.fixture(params=["kubernetes", "memory"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    if request.param == "memory":
        fake = MemoryCluster(NAMESPACE)
        fake.add(node("microk8s-vm", "True"))
        yield Stage(NodeHealth(fake), fake.add)
        return
    with KubernetesServer() as server:
        server.behaviour.paused = True
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig").read_text()
        yield Stage(NodeHealth(connect(Secret(kubeconfig), NAMESPACE)), server.add)


def test_a_ready_node_is_well(stage: Stage) -> None:
    look = stage.probe.check()
    assert (look.healthy, look.message) == (True, "the node is ready")


@pytest.mark.parametrize("ready", ["False", "Unknown"])
def test_one_node_of_several_that_is_not_ready_is_named_and_unwell(stage: Stage, ready: str) -> None:
    stage.put(node("second", "True"))
    assert stage.probe.check().message == "2 nodes are ready"
    stage.put(node("third", ready))
    look = stage.probe.check()
    assert (look.healthy, look.message) == (False, "not ready: third")


def test_a_node_under_pressure_is_ready_and_that_is_told(stage: Stage) -> None:
    stage.put(node("second", "True", "DiskPressure"))
    look = stage.probe.check()
    assert (look.healthy, look.message) == (True, "2 nodes are ready; second has DiskPressure")


def test_no_node_at_all_is_unwell() -> None:
    look = NodeHealth(MemoryCluster(NAMESPACE)).check()
    assert (look.healthy, look.message) == (False, "the cluster has no node")


def test_a_cluster_that_does_not_answer_is_unwell_and_nothing_is_raised(tmp_path: Path) -> None:
    with KubernetesServer() as server:
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig").read_text()
        address = server.url
    look = NodeHealth(connect(Secret(kubeconfig), NAMESPACE)).check()
    assert not look.healthy
    assert "does not answer" in look.message
    assert address not in look.message


def test_a_right_that_is_missing_does_not_make_the_server_unwell_and_is_told(tmp_path: Path) -> None:
    with KubernetesServer() as server:
        token = server.token_for("nobody", NAMESPACE)
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", token=token).read_text()
        look = NodeHealth(connect(Secret(kubeconfig), NAMESPACE)).check()
    assert look.healthy
    assert "were not checked" in look.message
    assert token not in look.message


@pytest.mark.parametrize("error", [Refused("no right"), Unavailable("no answer")], ids=["refused", "away"])
def test_the_fake_and_the_adapter_agree_on_what_a_failure_means(error: Exception) -> None:
    fake = MemoryCluster(NAMESPACE)
    fake.failures.append(error)
    assert NodeHealth(fake).check().healthy is isinstance(error, Refused)
