"""What a backup reads of the cluster, asked of the Kubernetes API (the stand-in) and of the fake alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.fakes.cluster_state import MemoryState
from local.kubernetes import KubernetesServer
from local.stack import ROOT
from shared.adapters.kubernetes.state import connect_state
from shared.cluster_state.collect import collect_state
from shared.cluster_state.model import CERTIFICATE, CLUSTER_ISSUER, NAMESPACE, SECRET, StateScope
from shared.cluster_state.ports import StateCluster
from shared.formats.cluster_state import ClusterState
from shared.kernel.errors import NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from tests.support.cluster_objects import living_cluster
from tests.support.clusters import open_cluster

PLACE = "rocketchat"
RIGHTS = ROOT / "infra" / "chart" / "rbac-cluster-state.yaml"
SCOPE = StateScope((PLACE,), "cert-manager", (f"{PLACE}/*",))
NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
OUR_META = ("name", "namespace", "labels", "annotations")
ACCOUNTS = {
    "production-account": "production-cert-issuer-account",
    "dns-token": "staging-cert-issuer-account",
}


def objects() -> list[dict[str, Any]]:
    """As a server takes them, and the issuers' Secrets by the names that the Role has."""
    made = []
    for item in living_cluster():
        meta = {key: value for key, value in item["metadata"].items() if key in OUR_META}
        meta["name"] = ACCOUNTS.get(meta["name"], meta["name"])
        made.append({**item, "metadata": meta})
    text = yaml.safe_dump_all(made)
    for old, new in ACCOUNTS.items():
        text = text.replace(f"name: {old}\n", f"name: {new}\n")
    kept = list(yaml.safe_load_all(text))
    return [one for one in kept if one.get("type") != "kubernetes.io/service-account-token"]


@dataclass
class Stage:
    """The cluster that is asked, and how to put objects into it."""

    cluster: StateCluster
    put: Callable[..., Any]
    version: str = "1.31.0"


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    """A cluster in which nothing happens by itself, with the rights that are documented."""
    with open_cluster() as started:
        started.behaviour.paused = True
        started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cert-manager"}})
        started.add(*objects()[:1])
        started.add(*yaml.safe_load_all(RIGHTS.read_text()))
        yield started


def seen_by(server: KubernetesServer, folder: Path, name: str = "groundcrew") -> StateCluster:
    token = server.token_for(name, PLACE)
    return connect_state(Secret(server.kubeconfig(folder / name, token=token).read_text()))


@pytest.fixture(params=["kubernetes", "memory"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    if request.param == "memory":
        fake = MemoryState("1.31.0")
        fake.add(*objects()[:1])
        return Stage(fake, fake.add)
    server = request.getfixturevalue("server")
    return Stage(seen_by(server, tmp_path), server.add, server.version)


def collect(cluster: StateCluster) -> ClusterState:
    return collect_state(lambda: cluster, SCOPE, list, set_="daily/20261123T010000Z", now=NOW)


def test_the_state_is_read_whole_by_whoever_has_the_documented_rights(stage: Stage) -> None:
    stage.put(*objects()[1:])
    state = collect(stage.cluster)
    assert state.unread == ()
    assert state.kubernetes == stage.version
    assert state.contents == (
        "Namespace rocketchat",
        "Secret cert-manager/production-cert-issuer-account",
        "Secret cert-manager/staging-cert-issuer-account",
        "Secret rocketchat/chat-tls",
        "Secret rocketchat/smtp",
        "ClusterIssuer production",
        "Certificate rocketchat/chat",
        "Certificate rocketchat/shimmed",  # nobody owns it here
        "Helm release rocketchat/rocketchat rocketchat-6.27.2",
    )
    assert {key for item in state.objects for key in item["metadata"]} <= {
        "name", "namespace", "labels", "annotations",
    }  # fmt: skip


def test_objects_say_what_they_are_in_lists_too(stage: Stage) -> None:
    stage.put(*objects()[1:])
    for kind, place in ((SECRET, PLACE), (CLUSTER_ISSUER, ""), (CERTIFICATE, PLACE)):
        items = stage.cluster.list_objects(kind, place)
        assert items
        assert {(one["apiVersion"], one["kind"]) for one in items} == {(kind.api_version, kind.kind)}
    assert stage.cluster.read_object(NAMESPACE, "", PLACE)["kind"] == "Namespace"


def test_what_is_not_there_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound):
        stage.cluster.read_object(SECRET, "cert-manager", "production-cert-issuer-account")


def test_the_rights_suffice_for_all_that_is_read_and_none_is_left_over(
    server: KubernetesServer, tmp_path: Path
) -> None:
    server.add(*objects()[1:])
    assert collect(seen_by(server, tmp_path)).unread == ()
    granted = {
        (group, resource, verb)
        for item in yaml.safe_load_all(RIGHTS.read_text())
        for rule in item.get("rules") or ()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    account = f"system:serviceaccount:{PLACE}:groundcrew"
    used = [one for one in server.requests if one.user == account and one.resource]
    assert {(one.group, one.resource, one.verb) for one in used} == granted
    assert [one for one in server.requests if one.code == 403] == []


def test_without_rights_everything_is_named_and_nothing_is_claimed(
    server: KubernetesServer, tmp_path: Path
) -> None:
    server.add(*objects()[1:])
    state = collect(seen_by(server, tmp_path, "nobody"))
    assert state.contents == ()
    assert [item.what for item in state.unread] == [
        "ClusterIssuers",
        "Namespace rocketchat",
        "Issuers of rocketchat",
        "Certificates of rocketchat",
        "Secrets and Helm releases of rocketchat",
    ]
    assert all("does not allow it" in item.reason for item in state.unread)


def test_a_server_that_is_down_is_unavailable(server: KubernetesServer, tmp_path: Path) -> None:
    cluster = seen_by(server, tmp_path)
    server.stop()
    with pytest.raises(Unavailable):
        cluster.read_version()
    assert [item.what for item in collect(cluster).unread] == ["the cluster"]


def test_an_apply_is_tried_without_changing_anything(server: KubernetesServer, tmp_path: Path) -> None:
    server.add(*objects()[1:])
    admin = connect_state(Secret(server.kubeconfig(tmp_path / "admin").read_text()))
    (secret,) = [item for item in collect(admin).objects if item["metadata"]["name"] == "smtp"]
    before = server.get("Secret", "smtp", PLACE)
    admin.try_apply(SECRET, {**secret, "data": {"value": "eA=="}})
    new = {**secret, "metadata": {"name": "new", "namespace": PLACE}}
    admin.try_apply(SECRET, new)
    assert server.get("Secret", "smtp", PLACE) == before
    assert server.get("Secret", "new", PLACE) is None
    with pytest.raises(UsageError):
        admin.try_apply(SECRET, {**secret, "type": "kubernetes.io/tls"})  # which is immutable
    with pytest.raises(NotFound):
        admin.try_apply(SECRET, {**secret, "metadata": {"name": "new", "namespace": "elsewhere"}})
    with pytest.raises(Refused):
        seen_by(server, tmp_path).try_apply(SECRET, new)
