"""What runs in a namespace, as Kubernetes' own objects tell it: what is missing there is not so yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.kubernetes.workloads import (
    ClusterEvent,
    Node,
    Pod,
    Workload,
    describe_unhealthy,
    parse_claim,
    parse_event,
    parse_node,
    parse_pod,
    parse_quantity_or_zero,
    parse_workload,
    select_of_release,
    sorted_events,
)

NOW = datetime(2026, 11, 28, 4, tzinfo=UTC)
GIB = 1 << 30


def deployment(status: dict[str, Any], *, generation: Any = 4, replicas: Any = 2) -> dict[str, Any]:
    containers = [{"name": "rocketchat", "image": "rocket.chat:8.2.0"}, {"name": "sidecar"}]
    return {
        "kind": "Deployment",
        "metadata": {"name": "chat", "generation": generation},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": containers}}},
        "status": status,
    }


DONE = {"observedGeneration": 4, "readyReplicas": 2, "updatedReplicas": 2}


@pytest.mark.parametrize(
    ("change", "settled"),
    [
        ({}, True),
        ({"observedGeneration": 5}, True),
        ({"observedGeneration": 3}, False),
        ({"observedGeneration": None}, False),
        ({"readyReplicas": 1}, False),
        ({"readyReplicas": 3}, True),
        ({"readyReplicas": None}, False),
        ({"updatedReplicas": 1}, False),
        ({"updatedReplicas": 3}, True),
        ({"updatedReplicas": None}, False),
        ({"conditions": [{"type": "Progressing", "status": "False", "reason": "Late"}]}, False),
        ({"conditions": [{"type": "Progressing", "status": "True", "reason": "New"}]}, True),
        ({"conditions": [{"type": "Available", "status": "False"}]}, True),
        ({"conditions": [{"type": "ReplicaFailure", "status": "False"}]}, True),
    ],
)
def test_a_workload_is_settled_when_all_replicas_of_the_newest_change_are_ready(
    change: dict[str, Any], settled: bool
) -> None:
    assert parse_workload(deployment({**DONE, **change})).settled is settled


def test_a_workload_is_read_with_its_images() -> None:
    assert parse_workload(deployment(DONE)) == Workload(
        "Deployment", "chat", 2, 2, 2, True, ("rocket.chat:8.2.0", "")
    )


@pytest.mark.parametrize(("replicas", "desired"), [(0, 0), (None, 1), (3, 3)])
def test_without_a_number_one_replica_is_wanted_and_nought_is_one(replicas: Any, desired: int) -> None:
    assert parse_workload(deployment({}, replicas=replicas)).desired == desired
    assert parse_workload({"kind": "Deployment", "metadata": {"name": "x"}, "spec": {}}).desired == 1


def test_a_workload_scaled_to_nought_is_settled_once_its_controller_saw_it() -> None:
    assert parse_workload(deployment({"observedGeneration": 4}, replicas=0)).settled
    assert not parse_workload(deployment({"observedGeneration": 3}, replicas=0)).settled
    assert parse_workload(deployment({}, replicas=0, generation=None)).settled


@pytest.mark.parametrize(
    ("conditions", "failure"),
    [
        ([], ""),
        ([{"type": "Progressing", "status": "False", "reason": "Late", "message": "took too long"}],
         "Late: took too long"),
        ([{"type": "ReplicaFailure", "status": "True", "reason": "Quota"}], "Quota"),
        ([{"type": "Available", "status": "True"},
          {"type": "ReplicaFailure", "status": "True", "reason": "Quota", "message": "full"}], "Quota: full"),
        ([{"type": "ReplicaFailure", "status": "Unknown", "reason": "Quota"}], ""),
        ([{"type": "Progressing", "status": "Unknown", "reason": "Late"}], ""),
    ],
)  # fmt: skip
def test_what_a_controller_gave_up_is_told_in_its_words(
    conditions: list[dict[str, str]], failure: str
) -> None:
    assert parse_workload(deployment({**DONE, "conditions": conditions})).failure == failure


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "rocketchat", "state": state, **more}


@pytest.mark.parametrize(
    ("statuses", "started"),
    [
        ([], False),
        ([container({"waiting": {"reason": "ContainerCreating"}})], False),
        ([container({"running": {}})], True),
        ([container({"terminated": {"exitCode": 1}})], True),
        ([container({"waiting": {}}, lastState={"terminated": {}})], True),
        ([container({"waiting": {}}, restartCount=1)], True),
        ([container({"waiting": {}}, restartCount=0)], False),
        ([container({"waiting": {}}), container({"running": {}})], True),
    ],
)
def test_a_pod_has_started_once_a_main_container_ran(statuses: list[dict[str, Any]], started: bool) -> None:
    status = {"containerStatuses": statuses, "initContainerStatuses": [container({"terminated": {}})]}
    assert parse_pod({"metadata": {"name": "chat-0"}, "status": status}).started is started


@pytest.mark.parametrize(
    ("reason", "blocked"),
    [
        ("ImagePullBackOff", True), ("ErrImagePull", True), ("InvalidImageName", True),
        ("CrashLoopBackOff", True), ("CreateContainerConfigError", True), ("CreateContainerError", True),
        ("RunContainerError", True), ("ContainerCreating", False), ("PodInitializing", False), ("", False),
    ],
)  # fmt: skip
def test_a_container_that_will_not_start_by_itself_is_named(reason: str, blocked: bool) -> None:
    waiting = container({"waiting": {"reason": reason, "message": "why"}})
    well = container({"running": {}}, name="other")
    for field in ("containerStatuses", "initContainerStatuses"):
        pod = parse_pod({"status": {field: [well, waiting]}})
        assert pod.blocked_reason == (f"rocketchat: {reason}: why" if blocked else "")
    bare = container({"waiting": {"reason": "CrashLoopBackOff"}})
    assert (
        parse_pod({"status": {"containerStatuses": [bare]}}).blocked_reason == "rocketchat: CrashLoopBackOff"
    )


def test_a_pod_is_read_whole() -> None:
    conditions = [{"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "True"}]
    pod = parse_pod({
        "metadata": {
            "name": "chat-0", "labels": {"app": "chat"}, "creationTimestamp": "2026-11-28T04:00:00Z",
        },
        "spec": {"containers": [{"image": "a"}, {"image": "b"}], "initContainers": [{"image": "c"}]},
        "status": {
            "phase": "Running", "conditions": conditions,
            "containerStatuses": [container({"running": {}}, restartCount=2)],
            "initContainerStatuses": [container({"terminated": {}}, restartCount=1)],
        },
    })  # fmt: skip
    assert pod == Pod("chat-0", "Running", True, ("a", "b"), 3, "", True, {"app": "chat"}, NOW)
    assert parse_pod({"status": {"containerStatuses": [container({"running": {}})]}}).restarts == 0


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [{"type": "Ready", "status": "False"}],
        [{"type": "Ready", "status": "Unknown"}],
        [{"type": "Initialized", "status": "True"}],
    ],
)
def test_a_pod_is_ready_only_by_its_own_condition(conditions: list[dict[str, str]]) -> None:
    assert not parse_pod({"status": {"conditions": conditions}}).ready


def test_of_an_object_without_anything_nothing_is_so_yet() -> None:
    assert parse_pod({}) == Pod("", "Pending", False, ())
    assert parse_workload({}) == Workload("", "", 1, 0, 0, True)
    assert parse_claim({}).phase == "Pending"
    assert parse_node({}, {}) == Node("", False, 0.0)
    assert parse_pod({"metadata": "x", "spec": [], "status": None}).phase == "Pending"


def test_an_event_is_dated_by_its_last_occurrence() -> None:
    times = {
        "lastTimestamp": "2026-11-28T04:00:00Z", "eventTime": "2026-11-28T03:00:00Z",
        "firstTimestamp": "2026-11-28T02:00:00Z",
    }  # fmt: skip
    event = {
        "type": "Warning", "reason": "BackOff", "message": "m", "count": 7,
        "involvedObject": {"kind": "Pod", "name": "chat-0"},
    }  # fmt: skip
    assert parse_event({**event, **times}) == ClusterEvent("Warning", "Pod/chat-0", "BackOff", "m", NOW, 7)
    for left in (1, 2):
        kept = dict(list(times.items())[left:])
        assert parse_event({**event, **kept}).at == NOW - timedelta(hours=left)
    assert parse_event({}).at is None
    assert parse_event({"count": None}).count == ClusterEvent("", "", "", "", None).count == 1


def test_events_come_newest_first_then_by_what_they_are_about() -> None:
    first = ClusterEvent("Warning", "Pod/b", "X", "", NOW)
    others = [replace(first, about="Pod/a"), replace(first, reason="W"), replace(first, at=None)]
    newer = replace(first, at=NOW + timedelta(seconds=1))
    found = sorted_events([others[2], first, *others[:2], newer])
    assert found == [newer, others[0], others[1], first, others[2]]


@pytest.mark.parametrize(
    ("claim", "size"),
    [
        ({"status": {"capacity": {"storage": "2Gi"}}, "spec": {}}, 2 * GIB),
        ({"spec": {"resources": {"requests": {"storage": "1Gi"}}}}, GIB),
        ({"status": {"capacity": {"storage": "2Gi"}},
          "spec": {"resources": {"requests": {"storage": "1Gi"}}}}, 2 * GIB),
        ({"spec": {"resources": {"requests": {"storage": "much"}}}}, 0),
    ],
)  # fmt: skip
def test_a_claim_is_as_large_as_it_was_given_or_asked_for(claim: dict[str, Any], size: float) -> None:
    assert parse_claim(claim).size_bytes == size


def test_a_node_is_read_with_what_was_measured() -> None:
    node = {
        "metadata": {"name": "n1"},
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "PIDPressure", "status": "True"},
                {"type": "DiskPressure", "status": "True"}, {"type": "MemoryPressure", "status": "False"},
                {"type": "NetworkUnavailable", "status": "True"},
            ],
            "allocatable": {"memory": "4Gi", "ephemeral-storage": "8Gi", "cpu": "1500m"},
            "images": [{"names": ["docker.io/library/a:1"], "sizeBytes": GIB}],
        },
    }  # fmt: skip
    read = parse_node(node, {"n1": GIB, "n2": 5}, {"n1": 3 * GIB})
    assert (read.ready, read.pressures, read.cpus) == (True, ("DiskPressure", "PIDPressure"), 1.5)
    assert (read.memory_free_bytes, read.disk_free_bytes) == (3 * GIB, 3 * GIB)
    assert (read.disk_bytes, read.disk_estimated_bytes) == (8 * GIB, 7 * GIB)
    unknown = parse_node(node, {"n2": 5})
    assert (unknown.memory_free_bytes, unknown.disk_free_bytes) == (None, None)
    assert replace(read, memory_used_bytes=9.0 * GIB).memory_free_bytes == 0
    assert replace(read, images_bytes=9.0 * GIB).disk_estimated_bytes == 0
    silent = {**node, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    assert not parse_node(silent, {}).ready


WELL = Workload("Deployment", "chat", 2, 2, 2, True)


def test_everything_that_is_not_well_is_told_in_a_stable_order() -> None:
    workloads = [
        replace(WELL, kind="StatefulSet", name="db", ready=0),
        replace(WELL, name="z", failure="Quota: full"),
        WELL,
        replace(WELL, name="b", updated=1),
        replace(WELL, name="a", current=False),
    ]
    pods = [
        Pod("p2", "Pending", False, (), blocked_reason="x: ErrImagePull"),
        Pod("p3", "Pending", False, ()),
        Pod("p1", "Pending", False, (), blocked_reason="y: ErrImagePull"),
    ]
    assert describe_unhealthy(workloads, pods) == [
        "Deployment a: 2 of 2 ready, 2 updated",
        "Deployment b: 2 of 2 ready, 1 updated",
        "Deployment z: Quota: full",
        "StatefulSet db: 0 of 2 ready, 2 updated",
        "Pod p1: y: ErrImagePull",
        "Pod p2: x: ErrImagePull",
    ]
    assert describe_unhealthy([WELL], [Pod("p", "Running", True, ())]) == []


def test_of_a_namespace_only_what_a_release_made_is_its_own() -> None:
    def manifest(kind: str, name: str, labels: dict[str, str]) -> dict[str, Any]:
        return {"kind": kind, "metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}}}

    manifests = [
        manifest("Deployment", "chat", {"app": "chat", "tier": "web"}),
        manifest("StatefulSet", "db", {"app": "db"}),
        manifest("Deployment", "loose", {}),
        manifest("Service", "other", {"app": "other"}),
    ]
    others = [replace(WELL, name="other"), replace(WELL, kind="StatefulSet", name="chat")]
    database = replace(WELL, kind="StatefulSet", name="db")
    workloads, pods = select_of_release(
        manifests,
        [WELL, *others, database],
        [
            Pod(str(number), "Running", True, (), labels=labels)
            for number, labels in enumerate((
                {"app": "chat", "tier": "web", "more": "x"}, {"app": "chat"}, {"app": "db"},
                {"app": "other"}, {},
            ))
        ],
    )  # fmt: skip
    assert workloads == [WELL, database]
    assert [one.name for one in pods] == ["0", "2"]


def test_what_is_no_quantity_counts_as_nothing() -> None:
    assert parse_quantity_or_zero("1Ki") == 1024
    assert parse_quantity_or_zero("much") == 0.0
