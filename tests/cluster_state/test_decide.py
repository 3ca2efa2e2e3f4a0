"""What is taken of an object, and in which order: nothing that only the server may say."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.cluster_state.decide import (
    choose_releases,
    compare_states,
    find_issuer_secrets,
    find_kind,
    find_missing,
    is_kept,
    order_objects,
    parse_release,
    strip_server_fields,
)
from shared.cluster_state.model import CERTIFICATE, SECRET
from shared.formats.cluster_state import FORMAT, ClusterState, HelmRelease
from shared.formats.extra_parts import UnreadItem
from shared.kernel.errors import Corrupt


def config_map(name: str, namespace: str | None) -> dict[str, Any]:
    meta = {"name": name} | ({"namespace": namespace} if namespace is not None else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def test_of_metadata_only_what_one_would_write_is_left() -> None:
    item = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "settings",
            "namespace": "chat",
            "labels": {"app": "chat"},
            "annotations": {"note": "1", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "uid": "1",
            "resourceVersion": "2",
            "finalizers": ["x"],
            "ownerReferences": [{"uid": "3"}],
        },
        "data": {"a": "b"},
        "status": {"x": 1},
    }
    assert strip_server_fields(item) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "settings",
            "namespace": "chat",
            "labels": {"app": "chat"},
            "annotations": {"note": "1"},
        },
        "data": {"a": "b"},
    }


def test_the_label_that_the_server_sets_is_left_out_of_a_namespace_and_of_nothing_else() -> None:
    labels = {"kubernetes.io/metadata.name": "chat", "team": "ops"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "chat", "labels": labels}}
    assert strip_server_fields(namespace)["metadata"]["labels"] == {"team": "ops"}
    other = config_map("settings", "chat")
    other["metadata"]["labels"] = labels
    assert strip_server_fields(other)["metadata"]["labels"] == labels


def test_an_object_without_metadata_is_no_reason_to_fail() -> None:
    assert strip_server_fields({"apiVersion": "v1", "kind": "ConfigMap"})["metadata"] == {"name": None}


def test_objects_with_and_without_a_namespace_are_ordered_by_it_and_each_comes_once() -> None:
    # As the API gives them: what is of the whole cluster has no namespace at all, or null.
    items = [config_map("b", "z"), config_map("a", None), config_map("b", "z"), config_map("c", "a")]
    assert [item["metadata"]["name"] for item in order_objects(items)] == ["a", "c", "b"]
    # No namespace sorts as an empty one does, and never as the text of None: "N" comes before "a".
    assert [i["metadata"]["name"] for i in order_objects([config_map("b", "A"), config_map("a", None)])] == [
        "a",
        "b",
    ]


# What is taken along.


def secret(name: str = "smtp", kind: str = "Opaque", **meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name, **meta}}


def certificate(*owners: str) -> dict[str, Any]:
    meta = {"name": "chat", "ownerReferences": [{"kind": owner} for owner in owners]}
    return {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": meta}


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        (secret(), True),
        (secret(kind="kubernetes.io/tls"), True),
        (secret(kind="kubernetes.io/service-account-token"), False),
        (secret(kind="bootstrap.kubernetes.io/token"), False),
        (secret(kind="helm.sh/release.v1"), False),
        (secret(labels={"cert-manager.io/next-private-key": "true"}), False),
        (secret(labels={"cert-manager.io/next-private-key": "false"}), True),
        (secret(labels=None), True),
        ({"kind": "Secret"}, True),
        (certificate(), True),
        (certificate("Deployment"), True),
        (certificate("Deployment", "Ingress"), False),
        (certificate("Gateway"), False),
        ({"kind": "Certificate", "metadata": {"ownerReferences": None}}, True),
        ({**certificate("Ingress"), "kind": "Issuer"}, True),
        ({**secret(kind="helm.sh/release.v1"), "kind": "ConfigMap"}, True),
    ],
)
def test_what_the_cluster_makes_for_itself_is_not_taken(item: dict[str, Any], kept: bool) -> None:
    assert is_kept(item) is kept


def test_a_namespaces_spec_is_the_servers_and_nobody_elses() -> None:
    item = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}, "spec": {"finalizers": ["x"]}}
    assert "spec" not in strip_server_fields(item)
    assert strip_server_fields({**item, "kind": "ClusterIssuer"})["spec"] == {"finalizers": ["x"]}


def test_objects_come_in_the_order_in_which_they_are_applied() -> None:
    kinds = ["Other", "Certificate", "Issuer", "ClusterIssuer", "Secret", "Namespace"]
    items = [{"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}} for kind in kinds]
    assert [item["kind"] for item in order_objects(items)] == [*reversed(kinds[1:]), "Other"]


def test_an_issuers_secrets_are_found_wherever_they_are_named() -> None:
    spec = {
        "acme": {
            "privateKeySecretRef": {"name": "account"},
            "solvers": [
                {"dns01": {"azureDNS": {"clientSecretSecretRef": {"name": "dns", "key": "k"}}}},
                {"http01": {"ingress": {"name": "not-a-secret"}}},
                {"dns01": {"webhook": {"apiSecretRef": {"key": "no name"}}}},
                {"dns01": {"webhook": {"apiSecretRef": "text"}}},
            ],
        },
        "ca": {"secretName": "ca"},
        "other": {"secretName": "not-of-a-ca", "tokenSecretRef": {"name": "dns"}},
    }
    assert find_issuer_secrets({"spec": spec}) == ["account", "ca", "dns"]
    assert find_issuer_secrets({"spec": {"ca": {"secretName": ""}}}) == []
    assert find_issuer_secrets({"spec": None}) == find_issuer_secrets({}) == []


def release(name: str, version: str, status: str, **changes: Any) -> dict[str, Any]:
    labels = {"name": name, "version": version, "status": status, **changes}
    return secret(f"sh.helm.release.v1.{name}.v{version}", "helm.sh/release.v1", labels=labels)


def chosen(*secrets: dict[str, Any]) -> list[str]:
    return [one["metadata"]["name"].removeprefix("sh.helm.release.v1.") for one in choose_releases(secrets)]


def test_of_a_release_the_newest_that_is_deployed_counts_else_the_newest() -> None:
    chat = [
        release("chat", "9", "superseded"),
        release("chat", "10", "deployed"),
        release("chat", "11", "failed"),
    ]
    for order in (chat, chat[::-1]):
        assert chosen(*order, release("cert", "1", "failed"), release("cert", "2", "failed")) == [
            "cert.v2",
            "chat.v10",
        ]
    assert chosen(release("chat", "9", "deployed"), release("chat", "10", "deployed")) == ["chat.v10"]


def test_what_has_not_helms_labels_is_no_release_of_helms() -> None:
    good = release("chat", "1", "deployed")
    others = [
        {**release("x", "1", "deployed"), "type": "Opaque"},
        release("", "1", "deployed"),
        release("x", "", "deployed"),
        release("x", "one", "deployed"),
        secret("x", "helm.sh/release.v1", labels=None),
        {"type": "helm.sh/release.v1"},
    ]
    assert chosen(*others, good) == ["chat.v1"]


CONTENT = {
    "name": "chat",
    "namespace": "rocketchat",
    "version": 3,
    "info": {"status": "deployed"},
    "chart": {"metadata": {"name": "rocketchat", "version": "6.27.1", "appVersion": "7.10.0"}},
    "config": {"host": "chat.example.org"},
}


def packed_release(content: object) -> dict[str, Any]:
    data = base64.b64encode(base64.b64encode(json.dumps(content).encode())).decode()
    return {
        **release("chat", "3", "deployed"),
        "metadata": {"namespace": "elsewhere"},
        "data": {"release": data},
    }


def test_helms_record_is_kept_as_what_ran_and_with_which_values() -> None:
    assert parse_release(packed_release(CONTENT)) == HelmRelease(
        "chat", "rocketchat", 3, "deployed", "rocketchat", "6.27.1", "7.10.0", {"host": "chat.example.org"}
    )
    bare = {
        **CONTENT,
        "namespace": "",
        "config": None,
        "chart": {"metadata": {"name": "rocketchat", "version": "1.0.0"}},
    }
    kept = parse_release(packed_release(bare))
    assert (kept.namespace, kept.app_version, kept.values) == ("elsewhere", "", {})


@pytest.mark.parametrize("missing", ["name", "version", "info", "chart"])
def test_a_record_that_lacks_what_a_release_is_is_malformed(missing: str) -> None:
    content = {name: value for name, value in CONTENT.items() if name != missing}
    with pytest.raises(Corrupt, match="Helm's record of the release is malformed: KeyError"):
        parse_release(packed_release(content))


def test_a_secret_without_a_record_is_corrupt() -> None:
    for data in ({}, None):
        with pytest.raises(Corrupt, match="Helm's record of the release"):
            parse_release({**release("chat", "3", "deployed"), "data": data})


def test_only_a_secret_that_policy_names_whole_can_be_missing() -> None:
    patterns = ["chat/smtp", "chat/gone", "chat/*", "none/?", "none/[a]"]
    assert find_missing(patterns, ["chat/smtp", "chat/other"]) == ["chat/gone"]
    assert find_missing([], ["chat/smtp"]) == []


def test_a_kind_is_known_by_its_version_and_its_name() -> None:
    assert find_kind(secret()) == SECRET
    assert find_kind(certificate()) == CERTIFICATE
    assert find_kind({**secret(), "apiVersion": "v2"}) is None
    assert find_kind({**secret(), "kind": "ConfigMap"}) is None


# How a cluster differs from its backup.

CHAT = HelmRelease("chat", "rocketchat", 3, "deployed", "rocketchat", "6.27.1", "7.10.0", {"host": "a"})
BACKUP = ClusterState(
    format=FORMAT,
    set="daily/20261123T010000Z",
    taken=datetime(2026, 11, 23, 1, tzinfo=UTC),
    kubernetes="1.31.0",
    objects=(secret("a", namespace="chat"), secret("b", namespace="chat")),
    releases=(CHAT,),
    files=(),
    unread=(),
)


def differ(
    *objects: dict[str, Any], releases: tuple[HelmRelease, ...] = (CHAT,), unread: tuple[UnreadItem, ...] = ()
):
    return compare_states(BACKUP, replace(BACKUP, objects=objects, releases=releases, unread=unread))


def test_a_cluster_is_compared_with_its_backup_by_names_alone() -> None:
    a, b = BACKUP.objects
    assert differ(a, b) == "3 as in the cluster"
    assert differ(a, {**b, "data": {"password": "hunter2"}}) == (
        "2 as in the cluster, 1 changed since (Secret chat/b)"
    )
    assert differ(a, b, secret("c")) == "3 as in the cluster, 1 new since (Secret c)"
    assert differ(a) == "2 as in the cluster, 1 not in the cluster any more (Secret chat/b)"
    more = [secret(f"n{number}") for number in range(5)]
    assert differ(a, b, *more).endswith("5 new since (Secret n0, Secret n1, Secret n2 and 2 more)")
    assert differ(a, b, *more[:3]).endswith("3 new since (Secret n0, Secret n1, Secret n2)")


def test_what_could_not_be_read_now_is_not_called_missing() -> None:
    unread = (UnreadItem("Secrets", "denied"), UnreadItem("Issuers", "denied"))
    assert differ(unread=unread) == "1 as in the cluster, 2 not seen, since Secrets could not be read"
    assert differ(*BACKUP.objects, unread=unread) == "3 as in the cluster"


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"revision": 4}, False),
        ({"status": "failed"}, False),
        ({"chart": "other"}, True),
        ({"version": "6.27.2"}, True),
        ({"values": {"host": "b"}}, True),
    ],
)
def test_a_release_is_another_by_its_chart_or_its_values(changes: dict[str, Any], changed: bool) -> None:
    told = differ(*BACKUP.objects, releases=(replace(CHAT, **changes),))
    assert ("1 changed since (Helm release rocketchat/chat)" in told) is changed
