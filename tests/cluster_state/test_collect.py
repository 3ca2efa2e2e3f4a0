"""What a backup reads of the cluster: all that a restore needs, and by name what could not be read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local.fakes.cluster_state import MemoryState
from shared.cluster_state.collect import collect_state
from shared.cluster_state.model import StateScope
from shared.formats.cluster_state import ClusterState, RepositoryFile
from shared.kernel.errors import Refused, Unavailable, UsageError
from tests.support.cluster_objects import (
    NAMESPACE,
    PASSWORD,
    acme_issuer,
    living_cluster,
    release,
    secret,
    served,
)

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
SET = "daily/20261123T010000Z"
SCOPE = StateScope((NAMESPACE,), "cert-manager", (f"{NAMESPACE}/*",))
FILE = RepositoryFile("acme/chat", "a" * 40, "values-production.yaml", "replicaCount: 2\n")


@pytest.fixture
def cluster() -> MemoryState:
    made = MemoryState()
    made.add(*living_cluster())
    return made


def collect(cluster: MemoryState, scope: StateScope = SCOPE, files: Any = lambda: [FILE]) -> ClusterState:
    return collect_state(lambda: cluster, scope, files, set_=SET, now=NOW)


def unread(state: ClusterState) -> dict[str, str]:
    return {item.what: item.reason for item in state.unread}


def test_a_living_cluster_is_read_whole_and_in_the_order_in_which_it_is_applied(cluster: MemoryState) -> None:
    state = collect(cluster)
    assert state.contents == (
        "Namespace rocketchat",
        "Secret cert-manager/dns-token",
        "Secret cert-manager/production-account",
        "Secret rocketchat/chat-tls",
        "Secret rocketchat/smtp",
        "ClusterIssuer production",
        "Certificate rocketchat/chat",
        "Helm release rocketchat/rocketchat rocketchat-6.27.2",
        "File values-production.yaml at aaaaaaaaaaaa",
    )
    assert (state.unread, state.kubernetes, state.set) == ((), "1.31.0", SET)
    assert state.releases[0].values["mongodb"]["auth"]["rootPassword"] == PASSWORD


def test_nothing_that_the_server_adds_is_kept(cluster: MemoryState) -> None:
    cluster.add(served("Secret", "plain", type="Opaque", data={}, meta={
        "annotations": {"cert-manager.io/issuer-name": "production"}, "finalizers": ["x/y"],
        "generateName": "plain-", "selfLink": "/x", "deletionTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [{"kind": "Certificate", "name": "chat"}]}))  # fmt: skip
    state = collect(cluster)
    metadata = {key for item in state.objects for key in item["metadata"]}
    assert metadata == {"name", "namespace", "labels", "annotations"}
    assert all("status" not in item for item in state.objects)
    text = json.dumps(state.objects)
    assert "last-applied-configuration" not in text
    assert "finalizers" not in text
    assert "cert-manager.io/issuer-name" in text  # by which cert-manager knows its Secret again


def test_without_policy_only_tls_secrets_and_those_of_issuers_are_taken(cluster: MemoryState) -> None:
    issuer = {**acme_issuer("local", "local-account"), "kind": "Issuer"}
    issuer["metadata"] = {"name": "local", "namespace": NAMESPACE}
    ca = served("Issuer", "ca", api="cert-manager.io/v1", spec={"ca": {"secretName": "ca-pair"}})
    cluster.add(issuer, ca, secret("local-account"), secret("ca-pair"))
    names = collect(cluster, StateScope((NAMESPACE,), "cert-manager", ())).contents
    assert [one for one in names if one.startswith("Secret rocketchat")] == [
        "Secret rocketchat/ca-pair", "Secret rocketchat/chat-tls", "Secret rocketchat/local-account",
    ]  # fmt: skip


def test_a_secret_that_policy_or_an_issuer_names_and_nobody_has_is_unknown(cluster: MemoryState) -> None:
    cluster.add(acme_issuer("staging", "staging-account"))
    named = (f"{NAMESPACE}/smtp", f"{NAMESPACE}/oauth", "elsewhere/key", f"{NAMESPACE}/x*")
    state = collect(cluster, StateScope((NAMESPACE,), "cert-manager", named))
    assert sorted(unread(state)) == [
        "Secret cert-manager/staging-account", "Secret elsewhere/key", "Secret rocketchat/oauth",
    ]  # fmt: skip
    assert "Secret rocketchat/smtp" in state.contents
    assert not any("oauth" in one for one in state.contents)


@pytest.mark.parametrize(
    ("plural", "names", "lost"),
    [
        ("secrets", {"Secrets and Helm releases of rocketchat", "Secret cert-manager/dns-token",
                     "Secret cert-manager/production-account"}, "Secret"),
        ("clusterissuers", {"ClusterIssuers"}, "ClusterIssuer"),
        ("issuers", {"Issuers of rocketchat"}, "Issuer"),
        ("certificates", {"Certificates of rocketchat"}, "Certificate"),
        ("namespaces", {"Namespace rocketchat"}, "Namespace"),
    ],
)  # fmt: skip
def test_what_the_rights_do_not_show_is_named_and_the_rest_is_read(
    cluster: MemoryState, plural: str, names: set[str], lost: str
) -> None:
    cluster.deny(plural)
    state = collect(cluster)
    assert set(unread(state)) == names
    assert not [item for item in state.objects if item["kind"] == lost]
    assert "File values-production.yaml at aaaaaaaaaaaa" in state.contents
    assert len(state.contents) >= 4


def test_a_cluster_that_does_not_answer_is_one_line_and_the_files_are_read(cluster: MemoryState) -> None:
    cluster.failures["version"] = Unavailable("the cluster does not answer")
    state = collect(cluster)
    assert unread(state) == {"the cluster": "the cluster does not answer"}
    assert state.contents == ("File values-production.yaml at aaaaaaaaaaaa",)


def test_a_kubeconfig_that_is_missing_and_a_repository_that_refuses_are_named() -> None:
    def connect() -> MemoryState:
        raise UsageError("GROUNDCREW_KUBECONFIG is not set")

    def files() -> list[RepositoryFile]:
        raise Refused("GitHub does not allow it")

    state = collect_state(connect, SCOPE, files, set_=SET, now=NOW)
    assert unread(state) == {
        "the cluster": "GROUNDCREW_KUBECONFIG is not set",
        "the repository's values files": "GitHub does not allow it",
    }


def test_a_bug_of_ours_costs_the_part_and_not_the_backup(cluster: MemoryState) -> None:
    cluster.add(
        {"apiVersion": "v1", "kind": "ClusterIssuer", "metadata": {"name": "odd"}, "spec": "text"},
        {"apiVersion": "v1", "kind": "ClusterIssuer", "metadata": {"name": "../odd"}, "spec": {}},
    )
    state = collect(cluster)
    assert "internal error (AttributeError)" in unread(state)["the cluster"]
    assert unread(state)["ClusterIssuer"] == "name is malformed: '../odd'"
    assert "File values-production.yaml at aaaaaaaaaaaa" in state.contents


def test_a_cluster_without_cert_manager_lacks_nothing(cluster: MemoryState) -> None:
    cluster.absent |= {"clusterissuers", "issuers", "certificates"}
    state = collect(cluster)
    assert state.unread == ()
    assert {item["kind"] for item in state.objects} == {"Namespace", "Secret"}


def test_of_a_release_that_is_not_deployed_the_newest_revision_counts() -> None:
    cluster = MemoryState()
    cluster.add(
        served("Namespace", NAMESPACE, ""), release("chat", 9, "failed"), release("chat", 10, "failed")
    )
    (found,) = collect(cluster).releases
    assert (found.revision, found.status, found.version) == (10, "failed", "6.27.10")


def test_a_record_of_helm_that_cannot_be_read_is_named_and_not_quoted(cluster: MemoryState) -> None:
    broken = release("other", 1)
    broken["data"]["release"] = "bm90IGEgcmVsZWFzZQ=="
    cluster.add(broken)
    state = collect(cluster)
    assert unread(state) == {
        "Helm release sh.helm.release.v1.other.v1": "Helm's record of the release cannot be read: Error"
    }
    assert len(state.releases) == 1


def test_the_state_shows_no_value_of_itself(cluster: MemoryState) -> None:
    state = collect(cluster)
    assert PASSWORD not in repr(state)
    assert "replicaCount: 2" not in repr(state)
    assert PASSWORD not in "".join(state.contents)
