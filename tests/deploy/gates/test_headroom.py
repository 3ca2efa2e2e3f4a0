"""Whether a deploy has room on a node: the images that are there, pressure, what nobody measured."""

from __future__ import annotations

from typing import Any

import pytest

from local.fakes.cluster import MemoryCluster
from shared.deploy.gates.headroom import IMAGE_BYTES, evaluate_headroom

MIB, GIB = 1 << 20, 1 << 30
CHAT = "rocketchat/rocket.chat"
ESTIMATED = "disk estimated from the node's images: no Prometheus"


def node(name: str = "vm", *images: str, pressure: str = "", ready: str = "True") -> dict[str, Any]:
    """16 GiB of memory and 100 GiB of disk; each image is told as of 1 GiB."""
    conditions = [{"type": "Ready", "status": ready}]
    conditions += [{"type": pressure, "status": "True"}] if pressure else []
    status = {
        "conditions": conditions,
        "allocatable": {"memory": "16Gi", "ephemeral-storage": "100Gi"},
        "images": [{"names": [image], "sizeBytes": GIB} for image in images],
    }
    return {"kind": "Node", "metadata": {"name": name}, "status": status}


def chat(*images: str, memory: str = "512Mi") -> list[dict[str, Any]]:
    """A Deployment of containers of these images."""
    requests = {"requests": {"memory": memory}}
    containers = [{"image": image, "resources": requests} for image in images]
    return [{"kind": "Deployment", "spec": {"template": {"spec": {"containers": containers}}}}]


OLD, NEW = chat(f"{CHAT}:8.2.0"), chat(f"{CHAT}:8.3.0")


@pytest.fixture
def cluster() -> MemoryCluster:
    """One node of which everything is measured: 4 GiB of memory and 10 GiB of disk are free."""
    made = MemoryCluster()
    made.add(node())
    made.memory_used["vm"] = float(12 * GIB)
    made.disk_free["vm"] = float(10 * GIB)
    return made


def test_what_is_measured_is_told_without_further_words(cluster):
    gate = evaluate_headroom(cluster, OLD, NEW)
    assert (gate.passed, gate.reason) == (True, "memory 4,096 MiB and disk 10,240 MiB free suffice")


def test_a_disk_that_is_almost_full_closes_the_gate_however_large_it_is(cluster):
    cluster.disk_free["vm"] = float(GIB)
    gate = evaluate_headroom(cluster, OLD, NEW)
    assert (gate.passed, gate.pending) == (False, False)
    assert gate.reason == "disk: needs 2,048 MiB, 1,024 MiB are free"


def test_a_disk_that_nobody_measures_is_estimated_and_that_is_said(cluster):
    del cluster.disk_free["vm"]
    cluster.add(node("vm", f"{CHAT}:8.1.0", f"{CHAT}:8.2.0"))
    gate = evaluate_headroom(cluster, OLD, NEW)
    assert gate.passed
    assert gate.reason == f"memory 4,096 MiB and disk 100,352 MiB free suffice ({ESTIMATED})"


def test_an_estimate_that_is_too_small_closes_the_gate_and_says_that_it_is_one(cluster):
    del cluster.disk_free["vm"]
    cluster.add(node("vm", *(f"chat:{number}" for number in range(99))))
    gate = evaluate_headroom(cluster, OLD, NEW)
    assert not gate.passed
    assert gate.reason == f"disk: needs 2,048 MiB, 1,024 MiB are free ({ESTIMATED})"


def test_more_images_than_the_disk_holds_leave_nothing_rather_than_less(cluster):
    del cluster.disk_free["vm"]
    cluster.add(node("vm", *(f"chat:{number}" for number in range(120))))
    assert "0 MiB are free" in evaluate_headroom(cluster, OLD, NEW).reason


@pytest.mark.parametrize(
    "there",
    [
        f"docker.io/{CHAT}:8.3.0",
        f"{CHAT}:8.3.0",
        f"index.docker.io/{CHAT}:8.3.0",
    ],
)
def test_an_image_that_the_node_has_needs_no_room(cluster, there):
    cluster.disk_free["vm"] = 0.0
    assert not evaluate_headroom(cluster, OLD, NEW).passed
    cluster.add(node("vm", there))
    assert evaluate_headroom(cluster, OLD, NEW).passed


@pytest.mark.parametrize(
    "other", [f"{CHAT}:8.2.0", f"registry.example/{CHAT}:8.3.0", CHAT, f"{CHAT}-x:8.3.0"]
)
def test_another_image_makes_no_difference(cluster, other):
    cluster.disk_free["vm"] = 0.0
    cluster.add(node("vm", other))
    assert not evaluate_headroom(cluster, OLD, NEW).passed


def test_an_image_is_known_by_its_digest(cluster):
    digest = f"sha256:{'a' * 64}"
    cluster.disk_free["vm"] = 0.0
    cluster.add(node("vm", f"docker.io/{CHAT}@{digest}"))
    assert evaluate_headroom(cluster, OLD, chat(f"{CHAT}:8.3.0@{digest}")).passed
    assert not evaluate_headroom(cluster, OLD, chat(f"{CHAT}:8.3.0@sha256:{'b' * 64}")).passed


def test_each_new_image_counts_once(cluster):
    two = chat("a:1", "docker.io/library/a:1", "b:1", "a:1")
    cluster.disk_free["vm"] = 2 * IMAGE_BYTES / 0.9 + 1
    assert evaluate_headroom(cluster, [], two).passed
    cluster.disk_free["vm"] -= 2 * MIB
    assert evaluate_headroom(cluster, [], two).reason.startswith("disk: needs 4,096 MiB")


def test_the_first_release_needs_all_its_images(cluster):
    cluster.disk_free["vm"] = float(GIB)
    assert "needs 4,096 MiB" in evaluate_headroom(cluster, [], chat("a:1", "b:1")).reason


def test_where_no_image_changes_nothing_is_needed(cluster):
    cluster.disk_free["vm"] = cluster.memory_used["vm"] = 0.0
    assert evaluate_headroom(cluster, NEW, NEW).passed
    cluster.memory_used["vm"] = float(16 * GIB)
    assert evaluate_headroom(cluster, NEW, NEW).passed


def test_one_more_pod_of_a_deployment_must_fit_into_the_memory(cluster):
    gate = evaluate_headroom(cluster, OLD, chat(f"{CHAT}:8.3.0", memory="8Gi"))
    assert (gate.passed, gate.reason) == (False, "memory: needs 8,192 MiB, 4,096 MiB are free")


def test_memory_that_nobody_measures_is_the_whole_node_s_and_that_is_said(cluster):
    cluster.memory_used.clear()
    gate = evaluate_headroom(cluster, OLD, NEW)
    assert gate.reason == (
        "memory 16,384 MiB and disk 10,240 MiB free suffice (memory is the whole node's: no metrics)"
    )


def test_a_kubelet_that_reports_pressure_is_believed_before_anything_that_is_measured(cluster):
    cluster.add(node("vm", pressure="DiskPressure"))
    gate = evaluate_headroom(cluster, OLD, NEW)
    assert gate.reason == "disk: needs 2,048 MiB, 0 MiB are free (vm has DiskPressure)"
    cluster.add(node("vm", pressure="MemoryPressure"))
    gate = evaluate_headroom(cluster, OLD, NEW)
    assert gate.reason == "memory: needs 512 MiB, 0 MiB are free (vm has MemoryPressure)"


def test_under_pressure_the_images_on_the_node_do_not_count_as_there(cluster):
    cluster.add(node("vm", f"{CHAT}:8.3.0", pressure="DiskPressure"))
    assert not evaluate_headroom(cluster, OLD, NEW).passed, "the kubelet deletes those that no container uses"


def test_one_of_several_nodes_must_have_room_for_both(cluster):
    cluster.add(node("second"))
    cluster.memory_used["second"], cluster.disk_free["second"] = float(16 * GIB), float(50 * GIB)
    cluster.disk_free["vm"] = float(GIB)
    gate = evaluate_headroom(cluster, OLD, NEW)
    assert (gate.passed, gate.reason) == (False, "memory: needs 512 MiB, 0 MiB are free")
    cluster.add(node("vm", f"{CHAT}:8.3.0"))
    assert evaluate_headroom(cluster, OLD, NEW).passed, "one has no memory, the other the image"


@pytest.mark.parametrize("ready", ["False", "Unknown"])
def test_nodes_that_are_not_ready_have_no_room_that_could_be_measured(cluster, ready):
    cluster.add(node("vm", ready=ready))
    gate = evaluate_headroom(cluster, OLD, NEW)
    assert (gate.passed, gate.pending) == (False, True)
    assert gate.reason == "memory and disk could not be measured"
