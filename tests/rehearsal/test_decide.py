"""The decisions of a rehearsal: what is started, what is blanked, why a start ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.fakes.scratch_cluster import GIB, ROOMY_NODE
from shared.formats.rehearsals import FAILED, PASSED, RehearsedProbe
from shared.kernel.errors import NotFound, Refused
from shared.kubernetes.chat_container import ChatContainer, find_chat_container
from shared.kubernetes.pod_requests import PodRequests, sum_pod_requests
from shared.kubernetes.workloads import Node
from shared.rehearsal.blanked import EMPTIED_COLLECTIONS, SETTINGS, list_overrides
from shared.rehearsal.decide import (
    check_kubernetes,
    describe_timeout,
    find_room,
    judge_probes,
    name_job,
    size_storage,
)
from shared.rehearsal.manifest import REQUESTED_CPUS, build_environment, build_job
from shared.rehearsal.model import MigrationControl, RehearsalPod, RehearsalSpec
from shared.rehearsal.observe import explain_exit, parse_rehearsal_pod

CHAT: dict[str, Any] = {
    "name": "rocketchat",
    "image": "registry.example/mirror/rocket.chat:9.0.0",
    "env": [
        {"name": "ROOT_URL", "value": "https://chat.example.org"},
        {"name": "MONGO_URL", "valueFrom": {"secretKeyRef": {"name": "mongo", "key": "uri"}}},
        {"name": "SMTP", "value": "smtp://user:hunter2@mail"},
        {"name": "TRANSPORTER", "value": "monolith+nats://nats:4222"},
        {"name": "OVERWRITE_SETTING_SMTP_Host", "value": "mail.example.org"},
        {"name": "OVERWRITE_SETTING_Site_Name", "value": "Chat"},
    ],
    "envFrom": [{"secretRef": {"name": "more"}}],
    "ports": [{"containerPort": 3000}],
}
SPEC = RehearsalSpec(
    "rehearsal-1", "0123456789abcdef", "mongo:8.0.15", ChatContainer("rocket.chat:9.0.0"), "rocketchat", 2,
    3 * GIB, 2 * GIB, 4 * GIB, timedelta(hours=6),
)  # fmt: skip


def deployment(container: dict[str, Any], **pod: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [container], **pod}}}}


def find(**change: Any) -> ChatContainer:
    return find_chat_container([deployment({**CHAT, **change})], ["hunter2"])


def test_what_a_secret_holds_stays_behind_and_is_named() -> None:
    found = find()
    assert found.left_out == ("MONGO_URL", "SMTP", "all of more")
    assert dict(found.env)["ROOT_URL"] == "https://chat.example.org"
    assert "hunter2" not in repr(found)


def test_the_user_and_command_of_the_chart_are_kept() -> None:
    found = find_chat_container(
        [deployment({**CHAT, "command": ["node"], "args": ["main.js"]}, securityContext={"runAsUser": 999})]
    )
    assert (found.user, found.command, found.args, found.port) == (999, ("node",), ("main.js",), 3000)
    own = find_chat_container([deployment({**CHAT, "securityContext": {"runAsUser": 1000}})])
    assert own.user == 1000
    assert find(securityContext={"runAsUser": 0}).user is None


@pytest.mark.parametrize(
    "change",
    [{"image": "rocket.chat:9.0.1"}, {"env": []}, {"args": ["x"]}, {"ports": [{"containerPort": 80}]}],
)
def test_whatever_is_started_otherwise_has_another_digest(change: dict[str, Any]) -> None:
    assert find().sha256 == find().sha256
    assert find(**change).sha256 != find().sha256


def test_a_chart_without_rocket_chat_cannot_be_rehearsed() -> None:
    with pytest.raises(NotFound, match="nothing that starts"):
        find_chat_container([deployment({"name": "web", "image": "nginx:1"})])
    assert (
        find_chat_container([deployment({"name": "rocketchat", "image": "own/chat:1"})]).image == "own/chat:1"
    )


def test_the_environment_holds_down_what_is_blanked_whatever_the_chart_says() -> None:
    made = build_environment(replace(SPEC, chat=find()))
    assert made["OVERWRITE_SETTING_SMTP_Host"] == "127.0.0.1"
    assert made["OVERWRITE_SETTING_Site_Name"] == "Chat"
    assert "TRANSPORTER" not in made
    assert made["MONGO_URL"].startswith("mongodb://127.0.0.1:27017/rocketchat?")
    assert made["AUTO_ACCEPT_FINGERPRINT"] == "true"


@pytest.mark.parametrize(
    "name",
    ["SMTP_Host", "Push_enable", "Push_gateway", "Livechat_webhookUrl", "Federation_Matrix_enabled",
     "Cloud_Workspace_Client_Secret", "Register_Server", "FileUpload_Storage_Type"],
)  # fmt: skip
def test_every_way_out_is_blanked(name: str) -> None:
    assert name in {one.id for one in SETTINGS}


def test_no_override_is_empty_since_rocket_chat_ignores_those() -> None:
    assert all(list_overrides().values())
    ids = [one.id for one in SETTINGS]
    assert len(ids) == len(set(ids))
    assert "rocketchat_workspace_credentials" in EMPTIED_COLLECTIONS


def test_rocket_chat_starts_only_after_the_marker_and_reaches_nothing_by_a_token() -> None:
    pod = build_job(SPEC)["spec"]["template"]["spec"]
    database, gate = pod["initContainers"]
    assert database["restartPolicy"] == "Always"
    assert "restartPolicy" not in gate
    assert "countDocuments" in gate["command"][-1]
    assert pod["automountServiceAccountToken"] is False
    assert pod["restartPolicy"] == "Never"
    assert build_job(SPEC)["spec"]["backoffLimit"] == 0


def pod(chat: dict[str, Any] | None = None, phase: str = "Pending", **status: Any) -> RehearsalPod:
    rows = {"containerStatuses": [{"name": "rocketchat", "state": chat}]} if chat else {}
    database = {"initContainerStatuses": [{"name": "mongodb", "state": {"running": {}}}]}
    return parse_rehearsal_pod(
        [{"metadata": {"name": "p"}, "status": {"phase": phase, **database, **rows, **status}}],
        {"metadata": {"name": "j"}}, [],
    )  # fmt: skip


def test_a_pod_whose_sidecar_runs_is_ready_for_the_restore_though_it_is_pending() -> None:
    seen = pod({"waiting": {"reason": "PodInitializing"}})
    assert (seen.database_running, seen.chat_running, seen.ended) == (True, False, False)
    assert pod({"running": {}}, "Running").chat_running
    evicted = pod(phase="Failed", reason="Evicted", message="low on memory")
    assert (evicted.database_running, evicted.ended, evicted.reason) == (
        False,
        True,
        "Evicted: low on memory",
    )
    assert parse_rehearsal_pod([], None, []).ended


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("E11000 duplicate key error collection: rc.rocketchat_cron_history index: a_1 dup key: { n: 'ana' }",
         "duplicate keys: rc.rocketchat_cron_history, index a_1"),
        ("Not migrating, control is locked. Attempt 30/30", "migrations.control is locked"),
        ("FATAL ERROR: Reached heap limit - JavaScript heap out of memory", "ran out of memory"),
        ("Your database migration failed:\nmigration to version 327", "the migration to 327 failed"),
        ("TypeError: ana@example.org", "Rocket.Chat ended: Error, exit code 1"),
    ],
)  # fmt: skip
def test_why_a_start_ended_is_told_without_a_value_of_the_data(text: str, reason: str) -> None:
    seen = pod({"terminated": {"reason": "Error", "exitCode": 1, "message": text}}, "Failed")
    assert reason in explain_exit(seen)
    assert "ana" not in explain_exit(seen)


def test_sidecars_need_a_kubernetes_that_has_them() -> None:
    check_kubernetes("v1.29.0")
    for version in ("v1.28.15", "", "later"):
        with pytest.raises(Refused, match="no sidecar containers"):
            check_kubernetes(version)


def test_three_times_the_data_is_asked_for_and_refused_above_the_limit() -> None:
    assert size_storage(0, 64 * GIB) == 4 * GIB
    assert size_storage(10 * GIB, 30 * GIB) == 30 * GIB
    with pytest.raises(Refused, match="30 GiB of 29 GiB"):
        size_storage(10 * GIB, 29 * GIB)


IMAGES = ["docker.io/library/mongo:8.0.15", "registry.example/rocket.chat:9.0.0"]


def room(
    *nodes: Node, requests: dict[str, PodRequests] | None = None, known: bool = True, memory: int = 5 * GIB
) -> str:
    return find_room(
        nodes, (requests or {}) if known else None, memory_bytes=memory, storage_bytes=4 * GIB, images=IMAGES
    )


def test_both_images_need_their_place_and_a_node_that_has_none_is_refused_for_good() -> None:
    # 4 GiB for the copy, a fifth of 120 GiB that stays free, and 2 GiB for each image.
    assert "node has room" in room(replace(ROOMY_NODE, disk_free_bytes=32 * GIB))
    with pytest.raises(Refused, match="GiB of disk free"):
        room(replace(ROOMY_NODE, disk_free_bytes=31 * GIB))


def test_what_the_pods_of_the_release_request_is_not_there_for_the_rehearsal() -> None:
    assert "node has room" in room(ROOMY_NODE, requests={"node": PodRequests(3.5, 11 * GIB)})
    # What another node's pods ask for is taken from that one only.
    assert "node has room" in room(ROOMY_NODE, requests={"other": PodRequests(4, 16 * GIB)})
    with pytest.raises(Refused) as raised:
        room(ROOMY_NODE, requests={"node": PodRequests(3.51, 0)})
    assert raised.value.value == "node has 0.49 CPU not requested of 0.50 needed"
    with pytest.raises(Refused) as raised:
        room(ROOMY_NODE, requests={"node": PodRequests(0, 11 * GIB + 1)})
    assert raised.value.value == "node has 5.0 GiB of memory not requested of 5.0 needed"


def test_a_node_that_tells_no_cpu_has_none_to_give() -> None:
    with pytest.raises(Refused, match="no node has room") as raised:
        room(replace(ROOMY_NODE, cpus=0.0))
    assert raised.value.value == "node has 0.00 CPU not requested of 0.50 needed"


def test_another_node_is_taken_and_every_node_without_room_is_named_where_none_has() -> None:
    full = {"node": PodRequests(4, 0)}
    other = replace(ROOMY_NODE, name="other")
    assert "other has room" in room(ROOMY_NODE, other, requests=full)
    with pytest.raises(Refused) as raised:
        room(ROOMY_NODE, replace(other, memory_used_bytes=12 * GIB), requests=full)
    assert "node has 0.00 CPU" in str(raised.value.value)
    assert "other has 4.0 GiB of memory free of 5.0" in str(raised.value.value)


def test_what_requests_were_not_seen_is_said_and_not_taken_for_none() -> None:
    assert "pods of other namespaces request of CPU and memory is unknown" in room(ROOMY_NODE)
    assert "all pods request of CPU and memory is unknown" in room(ROOMY_NODE, known=False)
    with pytest.raises(Refused, match="there is no node"):
        room()


def test_the_job_requests_what_is_looked_for_room_for() -> None:
    spec = build_job(SPEC)["spec"]["template"]["spec"]
    assert sum_pod_requests(spec) == PodRequests(REQUESTED_CPUS, SPEC.memory_bytes + SPEC.chat_memory_bytes)


def test_one_probe_or_one_way_to_sign_in_that_fails_fails_the_rehearsal() -> None:
    works, broken = RehearsedProbe("message", True, "works"), RehearsedProbe("upload", False, "HTTP 500")
    both = frozenset({"a", "b"})
    assert judge_probes([works], both, both)[0] == PASSED
    assert judge_probes([works], both, both | {"c"})[0] == PASSED
    assert judge_probes([works, broken], both, both)[:2] == (FAILED, "upload: HTTP 500")
    assert judge_probes([works], both, frozenset({"a"}))[:2] == (
        FAILED, "sign-in methods: switched off by the start: b",
    )  # fmt: skip


def test_a_timeout_says_what_the_counter_says() -> None:
    after = timedelta(hours=2)
    assert "locked at version 318" in describe_timeout(MigrationControl(318, locked=True), after)
    assert "its schema is 331" in describe_timeout(MigrationControl(331, locked=False), after)
    assert describe_timeout(None, after) == "timed out after 2 h: Rocket.Chat did not answer"


def test_a_jobs_name_is_one_that_kubernetes_takes() -> None:
    assert name_job("20261128T010000Z", "0123456789abcdef") == "rehearsal-20261128t010000z-012345"
