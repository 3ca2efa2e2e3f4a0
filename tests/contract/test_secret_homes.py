"""Homes and readers of secrets: the cluster's stand-in with the rights that are documented, and the fake."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.fakes.clock import ManualClock
from local.fakes.secrets import MemoryHomes
from local.kubernetes import KubernetesServer
from local.stack import ROOT
from shared.adapters.kubernetes.secrets import KubernetesRestarts, connect_restarts, connect_secrets
from shared.kernel.errors import Conflict, Corrupt, NotFound, Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.model import parse_home, parse_reader
from shared.secrets_rotation.ports import SecretHomes
from tests.support.clusters import open_cluster

NAMESPACE = "rocketchat"
HOME = parse_home("kubernetes:rocketchat/mongodb/mongo-uri")
CHAT = parse_reader("deployment:rocketchat/chat")
DEADLINE = 60.0


def wait_for(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    with open_cluster() as started:
        for name in (NAMESPACE, "monitoring"):
            started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        started.add(*yaml.safe_load_all((ROOT / "infra" / "chart" / "rbac.yaml").read_text()))
        yield started


def kubeconfig(server: KubernetesServer, folder: Path) -> Secret:
    token = server.token_for("groundcrew", NAMESPACE)
    return Secret(server.kubeconfig(folder / "kubeconfig", token=token).read_text())


@dataclass
class Stage:
    homes: SecretHomes
    put: Callable[[str], Any]


def secret(value: str | bytes, name: str = "mongodb") -> dict[str, Any]:
    data = value if isinstance(value, bytes) else value.encode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {"mongo-uri": base64.b64encode(data).decode(), "other": "eA=="},
    }


@pytest.fixture(params=["kubernetes", "memory"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    if request.param == "memory":
        clock = ManualClock(datetime.now(UTC))
        homes = MemoryHomes(clock, {})
        return Stage(homes, lambda value: homes.put(str(HOME), value, clock.now()))
    server = request.getfixturevalue("server")
    return Stage(connect_secrets(kubeconfig(server, tmp_path)), lambda value: server.add(secret(value)))


def test_what_is_written_is_read_and_its_time_is_known(stage: Stage) -> None:
    stage.put("first")
    before = stage.homes.read(HOME)
    assert before.value.reveal() == "first"
    stage.homes.write(HOME, Secret("second äöü"), before.version)
    assert stage.homes.read(HOME).value.reveal() == "second äöü"
    changed = stage.homes.changed(HOME)
    assert changed is not None
    assert abs(changed - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_home_that_changed_meanwhile_is_not_written_over(stage: Stage) -> None:
    stage.put("first")
    before = stage.homes.read(HOME)
    stage.homes.write(HOME, Secret("theirs"), before.version)
    with pytest.raises(Conflict):
        stage.homes.write(HOME, Secret("ours"), before.version)
    assert stage.homes.read(HOME).value.reveal() == "theirs"


def test_a_home_that_is_not_there_is_said(stage: Stage) -> None:
    with pytest.raises(NotFound):
        stage.homes.read(HOME)
    with pytest.raises(NotFound):
        stage.homes.changed(HOME)


def test_only_the_one_key_is_written_and_one_that_is_missing_is_said(
    server: KubernetesServer, tmp_path: Path
) -> None:
    server.add(secret("first"))
    homes = connect_secrets(kubeconfig(server, tmp_path))
    homes.write(HOME, Secret("second"), homes.read(HOME).version)
    stored = server.get("Secret", "mongodb", NAMESPACE)
    assert stored is not None
    assert stored["data"]["other"] == "eA=="
    absent = parse_home("kubernetes:rocketchat/mongodb/absent")
    with pytest.raises(NotFound):
        homes.read(absent)
    with pytest.raises(NotFound):
        homes.changed(absent)


def test_bytes_that_are_no_text_are_no_secret_of_ours(server: KubernetesServer, tmp_path: Path) -> None:
    server.add(secret(b"\xff\xfe"))
    with pytest.raises(Corrupt, match="no text"):
        connect_secrets(kubeconfig(server, tmp_path)).read(HOME)


def test_without_the_right_it_is_refused(server: KubernetesServer, tmp_path: Path) -> None:
    server.add(secret("first"))
    elsewhere = parse_home("kubernetes:kube-system/mongodb/mongo-uri")
    with pytest.raises(Refused):
        connect_secrets(kubeconfig(server, tmp_path)).read(elsewhere)


def deployment(replicas: int = 2) -> dict[str, Any]:
    labels = {"app": "chat"}
    container = {"name": "chat", "image": "rocketchat/rocket.chat:8.6.1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat", "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


@pytest.fixture
def restarts(server: KubernetesServer, tmp_path: Path) -> KubernetesRestarts:
    server.add(deployment())
    control = connect_restarts(kubeconfig(server, tmp_path))
    wait_for(
        lambda: (
            (server.get("Deployment", "chat", NAMESPACE) or {}).get("status", {}).get("readyReplicas") == 2
        )
    )
    return control


def test_a_restart_is_done_when_every_pod_is_of_it_and_none_from_before(
    server: KubernetesServer, restarts: KubernetesRestarts
) -> None:
    restarts.restart(CHAT, "20260301T120000Z")
    wait_for(lambda: restarts.observe(CHAT, "20260301T120000Z", ()).done)
    found = server.get("Deployment", "chat", NAMESPACE)
    assert found is not None
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    assert annotations["groundcrew/rotation"] == "20260301T120000Z"


def test_the_same_restart_again_restarts_nothing(
    server: KubernetesServer, restarts: KubernetesRestarts
) -> None:
    restarts.restart(CHAT, "one")
    wait_for(lambda: restarts.observe(CHAT, "one", ()).done)
    before = server.get("Deployment", "chat", NAMESPACE)
    restarts.restart(CHAT, "one")
    after = server.get("Deployment", "chat", NAMESPACE)
    assert before is not None
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_a_restart_that_is_not_asked_for_is_not_seen_as_done(restarts: KubernetesRestarts) -> None:
    state = restarts.observe(CHAT, "never", ())
    assert (state.done, state.reason) == (False, "its restart was taken back by somebody else")


def test_pods_that_are_not_ready_are_waited_for(
    server: KubernetesServer, restarts: KubernetesRestarts
) -> None:
    server.behaviour.paused = True
    restarts.restart(CHAT, "one")
    state = restarts.observe(CHAT, "one", ())
    assert not state.done
    server.behaviour.paused = False
    wait_for(lambda: restarts.observe(CHAT, "one", ()).done)


def test_a_reader_that_is_not_there_is_said(restarts: KubernetesRestarts) -> None:
    with pytest.raises(NotFound):
        restarts.restart(parse_reader("statefulset:rocketchat/chat"), "one")
