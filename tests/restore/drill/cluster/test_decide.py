"""What the drill's Job is to be: its image, its size, its manifest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.kubernetes.admission import admit_pod
from local.kubernetes.store import Store
from shared.adapters.kubernetes_schemas import validate
from shared.kernel.errors import Locked, Refused, Unavailable
from shared.kubernetes.workloads import Node
from shared.restore.drill.cluster.decide import (
    cache_gigabytes,
    check_room,
    check_setup,
    choose_image,
    name_job,
    select_leftovers,
    size_storage,
)
from shared.restore.drill.cluster.manifest import build_job
from shared.restore.drill.cluster.model import NamespaceSetup, ScratchJob, ScratchSpec

GIB = 1 << 30
DIGEST = "@sha256:" + "0" * 64
SPEC = ScratchSpec("drill-x", "owner", "mongo:8.0.15", 2, 3 * GIB, 20 * GIB, timedelta(hours=6))
NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)


def test_the_image_of_the_sets_major_and_minor_version_is_taken() -> None:
    images = ("mongo:7.0.25", "registry.example:5000/mongo:8.0.15" + DIGEST, "mongo:8.2.1")
    assert choose_image(images, "8.0.4") == images[1]
    assert choose_image(images, "7.0.2") == images[0]
    for version in ("6.0.1", "8.1.0", "80.0.1"):
        with pytest.raises(Refused, match=f"MongoDB {version}"):
            choose_image(images, version)


def test_twice_the_data_is_asked_for_and_no_more_than_policy_allows() -> None:
    assert size_storage(0, 64 * GIB) == 4 * GIB
    assert size_storage(10 * GIB, 64 * GIB) == 20 * GIB
    assert size_storage(32 * GIB, 64 * GIB) == 64 * GIB
    with pytest.raises(Refused, match="80 GiB of 64 GiB"):
        size_storage(40 * GIB, 64 * GIB)


def test_the_cache_is_half_of_what_is_above_one_gibibyte() -> None:
    assert [cache_gigabytes(size * GIB) for size in (1, 2, 3, 9)] == [0.25, 0.5, 1.0, 4.0]


def test_the_name_is_one_of_kubernetes() -> None:
    assert name_job("20261123T010000Z", "0123456789abcdef") == "drill-20261123t010000z-012345"


def pod_of_job() -> dict[str, Any]:
    template = build_job(SPEC)["spec"]["template"]
    meta = {**template["metadata"], "name": "x", "namespace": "drill"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def test_the_schemas_of_every_version_in_use_take_the_job() -> None:
    for version in ("1.28.0", "1.31.0", "1.34.0"):
        assert [one.message for one in validate([build_job(SPEC)], version)] == []


def test_the_pod_passes_the_restricted_standard_and_has_limits_a_deadline_and_no_token() -> None:
    store = Store()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    for bucket, name, meta in (
        (("", "namespaces"), "drill", {"labels": labels}),
        (("scheduling.k8s.io", "priorityclasses"), "groundcrew-drill", {}),
    ):
        store.put(bucket, {"metadata": {"name": name, "uid": name, **meta}})
    admit_pod(store, pod_of_job())
    job = build_job(SPEC)["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (0, 6 * 3600)
    assert job["ttlSecondsAfterFinished"] == 600
    pod = job["template"]["spec"]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    (container,) = pod["containers"]
    limits = container["resources"]["limits"]
    assert limits.keys() == {"cpu", "memory", "ephemeral-storage"}
    assert int(limits["ephemeral-storage"]) > 20 * GIB
    assert pod["volumes"][0]["emptyDir"] == {"sizeLimit": str(20 * GIB)}
    assert "--setParameter=ttlMonitorEnabled=false" in container["args"]
    assert "--bind_ip=127.0.0.1" in container["args"]
    assert container["command"] == ["mongod"]  # and nothing of Rocket.Chat


def test_jobs_are_left_over_by_owner_by_end_and_by_age() -> None:
    def job(name: str, owner: str, **more: Any) -> ScratchJob:
        return ScratchJob(name, owner, NOW - timedelta(hours=2), deadline=timedelta(hours=6), **more)

    ours, ended = job("ours", "me"), job("ended", "you", finished=True)
    old = ScratchJob("old", "you", NOW - timedelta(hours=8), deadline=timedelta(hours=6))
    assert select_leftovers([ours, ended, old], "me", NOW) == ["ours", "ended", "old"]
    assert select_leftovers([], "me", NOW) == []


def test_a_job_of_another_that_may_still_run_is_left_alone_and_named() -> None:
    def job(created: timedelta | None, deadline: timedelta | None, **more: Any) -> ScratchJob:
        return ScratchJob(
            "theirs", "you", None if created is None else NOW - created, deadline=deadline, **more
        )

    hour = timedelta(hours=1)
    assert select_leftovers([job(7 * hour + timedelta(seconds=1), 6 * hour)], "me", NOW) == ["theirs"]
    assert select_leftovers([job(None, None, finished=True)], "me", NOW) == ["theirs"]
    for running in (job(7 * hour, 6 * hour), job(9 * hour, None), job(None, 6 * hour)):
        with pytest.raises(Locked, match="another Groundcrew's drill runs in the namespace: theirs"):
            select_leftovers([ScratchJob("ours", "me", NOW), running], "me", NOW)


@pytest.mark.parametrize(
    "tag", ["mongo:8.0", "mongo:8.0.15/x", "mongo", "mongo:latest", "mongo@sha256:" + "0" * 64]
)
def test_an_image_whose_version_is_not_told_is_not_taken(tag: str) -> None:
    with pytest.raises(Refused, match=r"mongo:8\.0\.x to backup\.drill\.cluster\.images"):
        choose_image([tag], "8.0.4")
    assert choose_image([tag, "mongo:8.0.15-noble"], "8.0.4") == "mongo:8.0.15-noble"


def test_the_limit_of_storage_is_the_most_that_is_taken() -> None:
    assert size_storage(2 * GIB, 4 * GIB) == size_storage(2 * GIB - 1, 4 * GIB) == 4 * GIB
    assert size_storage(2 * GIB + 1, 64 * GIB) == 4 * GIB + 2
    with pytest.raises(Refused, match="4 GiB of 4 GiB"):
        size_storage(2 * GIB + 1, 4 * GIB)


def test_a_name_has_no_character_that_kubernetes_refuses() -> None:
    assert name_job("Run_1.x", "abc") == "drill-run-1-x-abc"


@pytest.mark.parametrize(
    ("level", "isolated", "refusal"),
    [
        ("restricted", True, ""),
        ("baseline", True, "does not enforce restricted pods: drill: baseline"),
        ("", True, "does not enforce restricted pods: drill: nothing"),
        ("restricted", False, "does not deny all traffic: drill"),
    ],
)
def test_a_namespace_that_would_let_a_copy_of_production_out_is_refused(
    level: str, isolated: bool, refusal: str
) -> None:
    setup = NamespaceSetup(level, isolated)
    if not refusal:
        check_setup(setup, "drill")
        return
    with pytest.raises(Refused, match=refusal) as refused:
        check_setup(setup, "drill", rights_file="rights.yaml")
    assert refused.value.hint == "kubectl apply -f rights.yaml"


IMAGE = "mongo:8.0.15"
# Of its 100 GiB of disk a fifth stays free, 20 are for the copy, and two for the image that is not there yet.
NODE = Node("node-1", True, 16 * GIB, 8 * GIB, 100 * GIB, disk_free_bytes=42 * GIB, images_bytes=10 * GIB)


def room(*nodes: Node) -> str:
    return check_room(nodes, memory_bytes=3 * GIB, storage_bytes=20 * GIB, image=IMAGE)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "node-1 has room"),
        ({"memory_used_bytes": 13 * GIB}, "node-1 has room"),
        ({"disk_free_bytes": 40 * GIB, "images": frozenset({IMAGE})}, "node-1 has room"),
        ({"memory_used_bytes": None}, "node-1 has room; memory is the whole node's: no metrics"),
        ({"disk_free_bytes": None}, "node-1 has room; disk estimated from the node's images: no Prometheus"),
        (
            {"disk_free_bytes": None, "memory_used_bytes": None},
            "node-1 has room; memory is the whole node's: no metrics;"
            " disk estimated from the node's images: no Prometheus",
        ),
    ],
)
def test_a_node_with_room_is_named_with_what_was_only_estimated(changes: dict[str, Any], answer: str) -> None:
    assert room(replace(NODE, **changes)) == answer


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ready": False}, "node-1 is not ready"),
        ({"pressures": ("DiskPressure", "PIDPressure")}, "node-1 has DiskPressure, PIDPressure"),
        ({"memory_used_bytes": 13 * GIB + 1}, "node-1 has 3.0 GiB of memory free of 3.0"),
        ({"memory_used_bytes": None, "memory_bytes": 2 * GIB}, "node-1 has 2.0 GiB of memory free of 3.0"),
        ({"disk_free_bytes": 41 * GIB}, "node-1 has 41 GiB of disk free of 42 needed"),
        (
            {"disk_free_bytes": 39 * GIB, "images": frozenset({IMAGE})},
            "node-1 has 39 GiB of disk free of 40 needed",
        ),
        ({"disk_free_bytes": None, "images_bytes": 60 * GIB}, "node-1 has 40 GiB of disk free of 42 needed"),
    ],
)
def test_a_node_without_room_says_what_it_lacks(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(Unavailable) as refused:
        room(replace(NODE, **changes))
    assert refused.value.value == problem


def test_of_several_nodes_the_first_by_name_with_room_is_taken() -> None:
    full = replace(NODE, name="node-0", ready=False)
    assert room(replace(NODE, name="node-2"), NODE, full) == "node-1 has room"
    with pytest.raises(Unavailable, match="node-0 is not ready; node-3 is not ready"):
        room(replace(full, name="node-3"), full)
    with pytest.raises(Unavailable, match="no node has room for the drill: there is no node"):
        room()
