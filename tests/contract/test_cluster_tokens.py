"""Tokens of service accounts: the cluster's stand-in with the rights that are documented, and the fake."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from local.fakes.secret_systems import MemoryTokenCluster, write_token
from local.kubernetes import KubernetesServer
from local.stack import ROOT
from shared.adapters.kubernetes.tokens import connect_tokens
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.authorities.cluster_tokens import ClusterTokens, ServiceAccountTokens
from tests.support.clusters import open_cluster

NAMESPACE, ACCOUNT = "rocketchat", "groundcrew"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
MONTH = timedelta(days=30)


@dataclass
class Rig:
    connect: Callable[[Secret], ClusterTokens]
    first: Secret  # a kubeconfig
    write: Callable[[str], Secret]  # a kubeconfig with that token
    limit: Callable[[timedelta], None]

    def signs_out(self, kubeconfig: Secret) -> bool:
        """Whether the token is refused in the end: an API server remembers for seconds that it was valid."""
        deadline = time.monotonic() + 90
        while self.signs_in(kubeconfig) and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.signs_in(kubeconfig)

    def signs_in(self, kubeconfig: Secret) -> bool:
        try:
            return self.connect(kubeconfig).whoami() == USER
        except GroundcrewError:
            return False


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    with open_cluster() as started:
        for name in (NAMESPACE, "monitoring"):
            started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for file in ("rbac.yaml", "rbac-rotation.yaml"):
            started.add(*yaml.safe_load_all((ROOT / "infra" / "chart" / file).read_text()))
        yield started


@pytest.fixture(params=["memory", "kubernetes"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    if request.param == "memory":
        cluster = MemoryTokenCluster()
        token = cluster.add_token(NAMESPACE, ACCOUNT, "first")
        return Rig(cluster.connect, Secret(token), Secret, lambda limit: setattr(cluster, "longest", limit))
    server = request.getfixturevalue("server")

    def write(token: str) -> Secret:
        return Secret(server.kubeconfig(tmp_path / "kubeconfig", token=token).read_text())

    def limit(longest: timedelta) -> None:
        server.cluster.longest_token_seconds = int(longest.total_seconds())

    meta = {"name": "first", "namespace": NAMESPACE}
    meta["annotations"] = {"kubernetes.io/service-account.name": ACCOUNT}  # type: ignore[assignment]
    server.add({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque"})
    token = server.cluster.token_for(ACCOUNT, NAMESPACE, secret="first")
    return Rig(connect_tokens, write(token), write, limit)


@pytest.mark.parametrize("lifetime", [None, MONTH], ids=["of-a-secret", "bound"])
def test_a_token_is_valid_beside_the_old_one_until_its_secret_is_deleted(
    rig: Rig, lifetime: timedelta | None
) -> None:
    tokens = rig.connect(rig.first)
    made = rig.write(tokens.make_token(NAMESPACE, ACCOUNT, "second", lifetime).reveal())
    assert rig.signs_in(rig.first)
    assert rig.signs_in(made)
    # A run that died after it was made does it again.
    again = rig.write(tokens.make_token(NAMESPACE, ACCOUNT, "second", lifetime).reveal())
    assert rig.signs_in(again)
    rig.connect(made).delete_token(NAMESPACE, ACCOUNT, "first")
    assert rig.signs_out(rig.first)
    rig.connect(again).delete_token(NAMESPACE, ACCOUNT, "first")  # gone already
    assert rig.signs_in(again)


def test_a_cluster_that_gives_shorter_tokens_than_policy_wants_is_said(rig: Rig) -> None:
    rig.limit(MONTH)  # as the real control plane has it from its start
    with pytest.raises(Refused, match="shorter token"):
        rig.connect(rig.first).make_token(NAMESPACE, ACCOUNT, "second", 2 * MONTH)


def test_a_rotation_with_these_rights_replaces_the_token_in_a_kubeconfig(rig: Rig) -> None:
    authority = ServiceAccountTokens(f"{NAMESPACE}/{ACCOUNT}", rig.connect, MONTH)
    chosen = authority.choose(rig.first, "20260301T120000Z")
    assert (chosen.old_label, chosen.new_label) == ("first", "groundcrew-token-20260301t120000z")
    value = authority.render(rig.first, chosen.new_label, authority.issue(chosen, rig.first))
    authority.prove(value, chosen.new_label)
    with pytest.raises(Refused, match="the one in use"):
        authority.revoke(chosen.new_label, value)
    assert authority.revoke("first", value) == ""
    assert rig.signs_out(rig.first)
    authority.prove(value, chosen.new_label)


def test_only_secrets_of_the_accounts_tokens_are_deleted_whatever_a_token_says(
    server: KubernetesServer, tmp_path: Path
) -> None:
    meta = {"name": "mongodb", "namespace": NAMESPACE}
    server.add({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"uri": "eA=="}})
    token = server.token_for(ACCOUNT, NAMESPACE)
    tokens = connect_tokens(Secret(server.kubeconfig(tmp_path / "k", token=token).read_text()))
    with pytest.raises(Refused, match="no Secret of the account's tokens"):
        tokens.delete_token(NAMESPACE, ACCOUNT, "mongodb")
    with pytest.raises(Refused, match="another Secret of this name"):
        tokens.make_token(NAMESPACE, ACCOUNT, "mongodb", None)
    assert server.get("Secret", "mongodb", NAMESPACE) is not None


def test_a_token_without_a_secret_is_replaced_and_a_person_is_told_that_it_stays_valid() -> None:
    cluster = MemoryTokenCluster()

    claims = {
        "kubernetes.io": {"namespace": NAMESPACE, "serviceaccount": {"name": ACCOUNT}},
        "exp": 4102444800,
    }
    authority = ServiceAccountTokens(f"{NAMESPACE}/{ACCOUNT}", cluster.connect)
    chosen = authority.choose(Secret(write_token(claims)), "20260301T120000Z")
    assert chosen.old_label == "token without a Secret, valid until 2100-01-01"
    remains = authority.revoke(chosen.old_label, Secret(cluster.add_token(NAMESPACE, ACCOUNT, "new")))
    assert "delete and make anew the ServiceAccount rocketchat/groundcrew" in remains
