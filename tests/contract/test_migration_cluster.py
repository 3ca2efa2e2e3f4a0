"""What a migration does in the cluster, with the rights of a deploy: the chat scaled, its Secret switched."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.kubernetes import KubernetesServer
from local.stack import ROOT
from shared.adapters.kubernetes.scaling import connect_scaling
from shared.adapters.kubernetes.secrets import connect_secret
from shared.kernel.secret import Secret
from shared.migrate.connection import SecretConnection
from tests.support.clusters import open_cluster

NAMESPACE, DEADLINE = "rocketchat", 60.0
OLD, NEW = "mongodb://chat:old@old/rocketchat", "mongodb://chat:new@new/rocketchat"


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    with open_cluster() as started:
        for name in (NAMESPACE, "monitoring"):
            started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        started.add(*yaml.safe_load_all((ROOT / "infra" / "chart" / "rbac.yaml").read_text()))
        yield started


def wait_for(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def deployment(name: str, release: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": release}
    container = {"name": "main", "image": "registry.example.org/rocketchat:8.2.0"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def kubeconfig(server: KubernetesServer, folder: Path) -> Secret:
    token = server.token_for("groundcrew", NAMESPACE)
    return Secret(server.kubeconfig(folder / "kubeconfig", token=token).read_text())


def test_the_chat_is_scaled_to_0_and_back_and_others_are_left_alone(
    server: KubernetesServer, tmp_path: Path
) -> None:
    server.add(deployment("rocketchat", "rocketchat"), deployment("operator", "mongodb-kubernetes"))
    chat = connect_scaling(kubeconfig(server, tmp_path), NAMESPACE, "rocketchat")
    wait_for(lambda: len(chat.list_running_pods()) == 2)
    assert chat.list_replicas() == {"rocketchat": 2}
    chat.scale("rocketchat", 0)
    wait_for(lambda: not chat.list_running_pods())
    assert chat.list_replicas() == {"rocketchat": 0}
    operator = server.get("Deployment", "operator", NAMESPACE)
    assert operator is not None
    assert operator["spec"]["replicas"] == 2
    chat.scale("rocketchat", 2)
    wait_for(lambda: len(chat.list_running_pods()) == 2)


def test_the_secret_gets_the_new_address_and_the_old_one_back(
    server: KubernetesServer, tmp_path: Path
) -> None:
    data = {"mongo-uri": base64.b64encode(OLD.encode()).decode()}
    meta = {"name": "chat-mongodb", "namespace": NAMESPACE}
    server.add({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
    config = kubeconfig(server, tmp_path)
    connection = SecretConnection(connect_secret(config, NAMESPACE, "chat-mongodb"), "mongo-uri", Secret(NEW))
    connection.check()
    for act, address in ((connection.switch, NEW), (connection.switch_back, OLD)):
        act()
        stored = server.get("Secret", "chat-mongodb", NAMESPACE)
        assert stored is not None
        assert base64.b64decode(stored["data"]["mongo-uri"]).decode() == address
