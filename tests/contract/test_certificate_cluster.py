"""Certificates of a cluster, asked of the Kubernetes API (the stand-in) and of the fake alike."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.fakes.certificates import MemoryCertificates
from local.kubernetes import KubernetesServer
from local.stack import ROOT
from shared.adapters.kubernetes.certificates import connect_certificates
from shared.certificates.ports import CertificateCluster
from shared.kernel.errors import Conflict, NotFound, Refused, Unavailable
from shared.kernel.secret import Secret
from tests.support.certificates import issue
from tests.support.clusters import open_cluster

NAMESPACE = "rocketchat"
RIGHTS = ROOT / "infra" / "chart" / "rbac-certificates.yaml"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
START, END, RENEWAL = NOW - timedelta(days=60), NOW + timedelta(days=30), NOW
CHAT = issue("chat", "chat.example.org")


@dataclass
class Stage:
    """The cluster that is asked, and ways to put objects into it and to look at them."""

    cluster: CertificateCluster
    put: Callable[..., Any]
    get: Callable[[str, str, str], Any]

    def uid(self, kind: str, name: str) -> str:
        return str(self.get(kind, name, NAMESPACE)["metadata"]["uid"])


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    """A cluster in which nothing happens by itself, with the rights that are documented."""
    with open_cluster() as started:
        started.behaviour.paused = True
        started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        started.add(*yaml.safe_load_all(RIGHTS.read_text()))
        yield started


@pytest.fixture(params=["kubernetes", "memory"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    if request.param == "memory":
        fake = MemoryCertificates()
        return Stage(fake, fake.add, fake.get)
    return stage_of(request.getfixturevalue("server"), tmp_path)


def stage_of(server: KubernetesServer, folder: Path) -> Stage:
    """As the service account sees it."""
    token = server.token_for("groundcrew", NAMESPACE)
    kubeconfig = Secret(server.kubeconfig(folder / "kubeconfig", token=token).read_text())
    return Stage(connect_certificates(kubeconfig), server.add, server.get)


def made(
    kind: str, name: str, api: str = "v1", owner: tuple[str, str] = ("", ""), **rest: Any
) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": NAMESPACE}
    if owner[1]:
        reference = {"apiVersion": "v1", "kind": owner[0], "name": name, "uid": owner[1]}
        meta["ownerReferences"] = [reference]
    meta |= rest.pop("meta", {})
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def tls(name: str, certificate: bytes, key: bytes, kind: str = "kubernetes.io/tls") -> dict[str, Any]:
    data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
    return made("Secret", name, type=kind, data=data)


CERT_MANAGER, ACME = "cert-manager.io/v1", "acme.cert-manager.io/v1"
ISSUER = {"issuerRef": {"name": "production"}}
ASKED = {**ISSUER, "request": base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----").decode()}
ACCOUNT = {
    "email": "old@example.org",
    "server": "https://acme.example/directory",
    "privateKeySecretRef": {"name": "account"},
}


def challenge(host: str) -> dict[str, Any]:
    """The spec of a Challenge, as cert-manager makes it."""
    url = "https://acme.example/challenge"
    asked = {
        "authorizationURL": url,
        "url": url,
        "dnsName": host,
        "type": "HTTP-01",
        "token": "t",
        "key": "k",
    }
    return {**ISSUER, **asked, "solver": {"http01": {"ingress": {}}}}


def certificate(status: dict[str, Any], name: str = "chat") -> dict[str, Any]:
    spec = {"secretName": "chat-tls", "dnsNames": ["chat.example.org"], "issuerRef": {"name": "production"}}
    return made("Certificate", name, CERT_MANAGER, spec=spec, status=status)


def condition(kind: str, status: str, **rest: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": "2026-03-01T11:00:00Z", **rest}


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


READY = {
    "conditions": [condition("Ready", "True", reason="Ready")],
    "notBefore": stamp(START),
    "notAfter": stamp(END),
    "renewalTime": stamp(RENEWAL),
    "revision": 3,
}


def test_only_tls_secrets_are_read_and_each_by_itself(stage: Stage) -> None:
    stage.put(
        tls("chat-tls", CHAT.pem, CHAT.key_pem),
        tls("malformed", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", CHAT.key_pem),
        tls("other-key", CHAT.pem, issue("other").key_pem),
        tls("not-tls", CHAT.pem, CHAT.key_pem, "Opaque"),
    )
    good, malformed, other = stage.cluster.list_tls_secrets(NAMESPACE)
    assert (good.reference, good.problem, good.chain[0].names) == (
        "rocketchat/chat-tls", "", ("chat.example.org",),
    )  # fmt: skip
    assert malformed.chain == ()
    assert "tls.crt has no readable certificate" in malformed.problem
    assert other.problem == "tls.key is not the key of tls.crt"


def token_secret(name: str, authority: bytes, **annotations: str) -> dict[str, Any]:
    data = {"ca.crt": base64.b64encode(authority).decode(), "token": base64.b64encode(b"ey.x.y").decode()}
    meta = {"annotations": {"kubernetes.io/service-account.name": "old", **annotations}}
    return made("Secret", name, type="kubernetes.io/service-account-token", data=data, meta=meta)


def test_tokens_that_never_end_are_seen_with_their_age_and_ca_and_never_with_the_token(stage: Stage) -> None:
    stage.put(
        made("ServiceAccount", "old"), token_secret("legacy", CHAT.pem), token_secret("broken", b"no PEM"),
        tls("chat-tls", CHAT.pem, CHAT.key_pem),
    )  # fmt: skip
    found = {one.name: one for one in stage.cluster.list_token_secrets(NAMESPACE)}
    # The cluster may make others for its own accounts.
    legacy, broken = found["legacy"], found["broken"]
    assert (legacy.reference, legacy.account, legacy.problem) == ("rocketchat/legacy", "old", "")
    assert legacy.authority is not None
    assert legacy.authority.names == ("chat.example.org",)
    assert "ca.crt has no readable certificate" in broken.problem
    assert "chat-tls" not in found
    assert "ey.x.y" not in repr(found)


def test_the_hosts_of_ingresses_come_with_their_secret_and_nothing_that_is_no_name(stage: Stage) -> None:
    entries = [
        {"hosts": ["chat.example.org", "*.example.org", "push.example.org"], "secretName": "chat-tls"},
        {"hosts": ["plain.example.org"]},
    ]
    stage.put(made("Ingress", "chat", "networking.k8s.io/v1", spec={"tls": entries, "defaultBackend": {
        "service": {"name": "chat", "port": {"number": 80}}}}))  # fmt: skip
    found = {one.host: (one.secret, one.named) for one in stage.cluster.list_ingress_hosts(NAMESPACE)}
    assert found == {
        "chat.example.org": ("rocketchat/chat-tls", False),
        "push.example.org": ("rocketchat/chat-tls", False),
        "plain.example.org": ("", False),
    }


def test_a_certificate_that_is_ready_tells_when_it_will_be_renewed(stage: Stage) -> None:
    stage.put(certificate(READY))
    (found,) = stage.cluster.list_managed_certificates(NAMESPACE)
    assert (found.reference, found.secret, found.ready, found.issuing) == (
        "rocketchat/chat", "chat-tls", True, False,
    )  # fmt: skip
    assert (found.not_before, found.not_after, found.renews_at) == (START, END, RENEWAL)
    assert (found.failed_attempts, found.failure) == (0, "")


def test_a_certificate_that_is_not_issued_says_why_down_to_the_challenge(stage: Stage) -> None:
    conditions = [
        condition(
            "Ready", "False", reason="DoesNotExist", message="Issuing certificate as Secret does not exist"
        ),
        condition("Issuing", "True", reason="DoesNotExist"),
    ]
    stage.put(certificate({"conditions": conditions, "failedIssuanceAttempts": 2}))
    owner = ("Certificate", stage.uid("Certificate", "chat"))
    revision = {"annotations": {"cert-manager.io/certificate-revision": "1"}}
    request = {
        "conditions": [
            condition("Ready", "False", reason="Pending", message="Waiting on certificate issuance")
        ]
    }
    old = {"conditions": [condition("Ready", "False", reason="Failed", message="the one before")]}
    stage.put(
        made("CertificateRequest", "chat-1", CERT_MANAGER, owner, meta=revision, status=request, spec=ASKED),
        made("CertificateRequest", "chat-0", CERT_MANAGER, owner, status=old, spec=ASKED),
    )
    owner = ("CertificateRequest", stage.uid("CertificateRequest", "chat-1"))
    stage.put(made("Order", "chat-1-99", ACME, owner, spec=ASKED, status={"state": "pending"}))
    owner = ("Order", stage.uid("Order", "chat-1-99"))
    reason = "Waiting for HTTP-01 challenge propagation: failed to perform self check: connection refused"
    stage.put(
        made("Challenge", "chat-1-99-1", ACME, owner, spec=challenge("chat.example.org"),
             status={"state": "pending", "reason": reason, "presented": True, "processing": True}),
        made("Challenge", "chat-1-99-2", ACME, owner, spec=challenge("push.example.org"),
             status={"state": "valid", "presented": False, "processing": False}),
        made("Challenge", "somebody-elses", ACME, ("Order", "another-uid"), spec=challenge("x.example.org"),
             status={"state": "invalid", "presented": False, "processing": False}),
    )  # fmt: skip
    (found,) = stage.cluster.list_managed_certificates(NAMESPACE)
    assert (found.ready, found.issuing, found.failed_attempts) == (False, True, 2)
    assert found.reason == "Issuing certificate as Secret does not exist"
    assert found.failure == (
        "CertificateRequest chat-1 is Pending: Waiting on certificate issuance; Order chat-1-99 is pending; "
        f"Challenge for chat.example.org is pending: {reason}"
    )


def test_a_denied_request_says_so(stage: Stage) -> None:
    stage.put(certificate({"conditions": [condition("Ready", "False")]}))
    denied = {"conditions": [condition("Denied", "True", reason="Denied", message="not by this team")]}
    owner = ("Certificate", stage.uid("Certificate", "chat"))
    stage.put(made("CertificateRequest", "chat-1", CERT_MANAGER, owner, status=denied, spec=ASKED))
    (found,) = stage.cluster.list_managed_certificates(NAMESPACE)
    assert found.failure == "CertificateRequest chat-1 is Denied: not by this team"


def test_a_certificate_without_a_status_is_neither_ready_nor_not(stage: Stage) -> None:
    stage.put(certificate({}))
    (found,) = stage.cluster.list_managed_certificates(NAMESPACE)
    assert (found.ready, found.not_after, found.renews_at) == (None, None, None)


def test_a_renewal_is_triggered_by_the_condition_and_only_once(stage: Stage) -> None:
    stage.put(certificate(READY))
    assert stage.cluster.trigger_renewal(NAMESPACE, "chat", NOW)
    status = stage.get("Certificate", "chat", NAMESPACE)["status"]
    ready, issuing = status["conditions"]
    assert ready == READY["conditions"][0]
    assert (issuing["type"], issuing["status"], issuing["reason"]) == ("Issuing", "True", "ManuallyTriggered")
    assert issuing["lastTransitionTime"] == stamp(NOW)
    assert status["renewalTime"] == stamp(RENEWAL), "the rest of the status stays"
    assert not stage.cluster.trigger_renewal(NAMESPACE, "chat", NOW)


def test_a_condition_that_was_false_becomes_true_and_is_not_there_twice(stage: Stage) -> None:
    conditions = [condition("Issuing", "False", reason="Failed"), *READY["conditions"]]  # type: ignore[misc]
    stage.put(certificate({**READY, "conditions": conditions}))
    assert stage.cluster.trigger_renewal(NAMESPACE, "chat", NOW)
    status = stage.get("Certificate", "chat", NAMESPACE)["status"]
    assert [(one["type"], one["status"]) for one in status["conditions"]] == [
        ("Ready", "True"),
        ("Issuing", "True"),
    ]


def test_a_renewal_of_what_is_not_there_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound):
        stage.cluster.trigger_renewal(NAMESPACE, "nothing", NOW)


def issuer(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": CERT_MANAGER, "kind": "ClusterIssuer", "metadata": {"name": name}, "spec": spec}


def test_the_address_of_an_issuer_is_changed_and_nothing_else(stage: Stage) -> None:
    acme = {**ACCOUNT, "solvers": [{"http01": {"ingress": {}}}]}
    stage.put(issuer("production", acme=acme), issuer("internal", ca={"secretName": "ca"}))
    (found,) = stage.cluster.list_acme_issuers()
    assert (found.name, found.email, found.server) == ("production", "old@example.org", acme["server"])
    stage.cluster.set_issuer_email(found, "new@example.org")
    assert stage.get("ClusterIssuer", "production", "")["spec"] == {
        "acme": {**acme, "email": "new@example.org"}
    }


def test_an_issuer_that_was_changed_since_it_was_read_is_left_alone(stage: Stage) -> None:
    stage.put(issuer("production", acme=ACCOUNT))
    (found,) = stage.cluster.list_acme_issuers()
    stage.cluster.set_issuer_email(found, "first@example.org")
    with pytest.raises(Conflict):
        stage.cluster.set_issuer_email(found, "second@example.org")
    assert stage.get("ClusterIssuer", "production", "")["spec"]["acme"]["email"] == "first@example.org"


def test_where_nothing_is_installed_there_is_nothing(stage: Stage) -> None:
    assert stage.cluster.list_tls_secrets(NAMESPACE) == []
    assert stage.cluster.list_ingress_hosts(NAMESPACE) == []
    assert stage.cluster.list_managed_certificates(NAMESPACE) == []


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[tuple[KubernetesServer, CertificateCluster, CertificateCluster]]:
    """A cluster of its own, seen by an administrator and by somebody without rights."""
    with open_cluster() as started:
        started.behaviour.paused = True
        admin = Secret(started.kubeconfig(tmp_path / "admin").read_text())
        other = Secret(started.kubeconfig(tmp_path / "other", token=started.token_for("other")).read_text())
        yield started, connect_certificates(admin), connect_certificates(other)


def test_a_cluster_without_cert_manager_and_one_that_may_not_be_read_are_told_apart(bare: Any) -> None:
    server, admin, other = bare
    with pytest.raises(Refused):
        other.list_managed_certificates("default")
    for item in server.cluster.list("CustomResourceDefinition"):
        if "cert-manager" in item["metadata"]["name"]:
            server.cluster.delete("CustomResourceDefinition", item["metadata"]["name"], "")
    assert admin.list_managed_certificates("default") == []
    assert admin.list_acme_issuers() == []
    server.stop()
    with pytest.raises(Unavailable):
        admin.list_managed_certificates("default")


def test_without_the_right_to_read_orders_a_certificate_is_seen_and_its_reason_is_unknown(bare: Any) -> None:
    server, _, other = bare
    server.add(
        {**certificate(READY), "metadata": {"name": "chat", "namespace": "default"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
         "metadata": {"name": "some", "namespace": "default"},
         "rules": [{"apiGroups": ["cert-manager.io"], "resources": ["certificates"], "verbs": ["list"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
         "metadata": {"name": "some", "namespace": "default"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some"},
         "subjects": [{"kind": "ServiceAccount", "name": "other", "namespace": "default"}]},
    )  # fmt: skip
    (found,) = other.list_managed_certificates("default")
    assert found.not_after == END
    assert found.failure == "cannot read certificaterequests, orders, challenges"


def test_the_rights_suffice_for_all_that_is_done_and_none_is_left_over(
    server: KubernetesServer, tmp_path: Path
) -> None:
    stage = stage_of(server, tmp_path)
    stage.put(certificate(READY), issuer("production", acme=ACCOUNT))
    stage.cluster.list_tls_secrets(NAMESPACE)
    stage.cluster.list_ingress_hosts(NAMESPACE)
    stage.cluster.list_managed_certificates(NAMESPACE)
    stage.cluster.trigger_renewal(NAMESPACE, "chat", NOW)
    stage.cluster.set_issuer_email(*stage.cluster.list_acme_issuers(), "new@example.org")
    granted = {
        (group, resource, verb)
        for item in yaml.safe_load_all(RIGHTS.read_text())
        for rule in item.get("rules") or ()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    account = f"system:serviceaccount:{NAMESPACE}:groundcrew"
    assert {(one.group, one.resource, one.verb) for one in server.requests if one.user == account} == granted
    assert [one for one in server.requests if one.code == 403] == []
