"""Kubernetes' and cert-manager's objects as values, whatever they lack."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.certificates.model import AcmeIssuer, HostTarget
from shared.certificates.objects import (
    issuing_status,
    parse_acme_issuer,
    parse_ingress_hosts,
    parse_managed,
    parse_tls_secret,
    parse_token_secret,
)
from tests.support.certificates import Issued, issue

NOW = datetime(2026, 11, 28, 4, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST, SECOND = (issue("chat", "chat.example.org", start=NOW, lasting=days * DAY) for days in (90, 30))


def encoded(*parts: bytes) -> str:
    return base64.b64encode(b"".join(parts)).decode()


def tls_secret(**data: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "rocketchat", "name": "chat-tls"}, "data": data}


def read_tls(certificate: object, key: object) -> Any:
    return parse_tls_secret(tls_secret(**{"tls.crt": certificate, "tls.key": key}))


def pair(issued: Issued) -> tuple[str, str]:
    return encoded(issued.pem), encoded(issued.key_pem)


def test_a_secret_with_a_certificate_and_its_key_has_no_problem() -> None:
    secret = read_tls(*pair(FIRST))
    assert (secret.reference, secret.problem, len(secret.chain)) == ("rocketchat/chat-tls", "", 1)
    chain = read_tls(encoded(FIRST.pem, SECOND.pem), pair(FIRST)[1])
    assert (len(chain.chain), chain.problem) == (2, "")


@pytest.mark.parametrize(
    ("certificate", "key", "problem", "count"),
    [
        ("", pair(FIRST)[1], "tls.crt is empty", 0),
        (None, pair(FIRST)[1], "tls.crt is empty", 0),
        (pair(FIRST)[0], "", "tls.key is empty", 0),
        ("%%%", pair(FIRST)[1], "tls.crt is not base64", 0),
        (pair(FIRST)[0], "%%%", "tls.key is not base64", 0),
        (*(pair(FIRST)[0], pair(SECOND)[1]), "tls.key is not the key of tls.crt", 1),
        (pair(FIRST)[0], encoded(b"no key"), "tls.key", 1),
        (encoded(b"no certificate"), pair(FIRST)[1], "tls.crt", 0),
    ],
    ids=["empty", "none", "no key", "odd text", "odd key", "another's key", "no PEM key", "no PEM"],
)
def test_what_is_wrong_with_a_secret_is_told_with_what_could_be_read(
    certificate: object, key: object, problem: str, count: int
) -> None:
    secret = read_tls(certificate, key)
    assert secret.problem.startswith(problem)
    assert len(secret.chain) == count


def test_a_secret_without_data_is_one_with_a_problem() -> None:
    assert parse_tls_secret({"metadata": {"namespace": "n", "name": "x"}}).problem == "tls.crt is empty"


def test_of_a_token_the_newest_authority_beside_it_counts() -> None:
    item = tls_secret(**{"ca.crt": encoded(SECOND.pem, FIRST.pem)})
    item["metadata"] |= {
        "annotations": {"kubernetes.io/service-account.name": "deployer"},
        "creationTimestamp": "2026-11-28T04:00:00Z",
    }
    token = parse_token_secret(item)
    assert (token.account, token.created, token.problem) == ("deployer", NOW, "")
    assert token.authority is not None
    assert token.authority.not_after == NOW + 90 * DAY
    bare = parse_token_secret(tls_secret())
    assert (bare.account, bare.created, bare.authority, bare.problem) == (
        "unknown", None, None, "ca.crt is empty",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("chat.example.org", True), ("CHAT.Example.org", True), ("a_b.example.org", True),
        ("xn--bcher-kva.example", True), ("localhost", False), ("*.example.org", False), ("", False),
        ("10.0.0.4", False), ("chat.example.org:8443", False), ("chat.example.org/x", False),
        (f"{'a' * 63}.example", True), (f"{'a' * 64}.example", False),
        (".".join(["a" * 49] * 5 + ["org"]), True), (".".join(["a" * 49] * 5 + ["orgs"]), False),
        ("-a.example", False), ("a-.example", False),
    ],
)  # fmt: skip
def test_only_names_of_hosts_are_ever_asked(host: str, asked: bool) -> None:
    item = {"metadata": {"namespace": "n"}, "spec": {"tls": [{"hosts": [host], "secretName": "s"}]}}
    found = [*parse_ingress_hosts(item)]
    assert found == ([HostTarget(host.lower(), secret="n/s", named=False)] if asked else [])


def test_every_host_of_an_ingress_has_the_secret_beside_it() -> None:
    tls = [{"hosts": ["a.example", "b.example"], "secretName": "s"}, {"hosts": ["c.example"]}, {}]
    found = parse_ingress_hosts({"metadata": {"namespace": "n"}, "spec": {"tls": tls}})
    assert [(one.host, one.secret) for one in found] == [
        ("a.example", "n/s"), ("b.example", "n/s"), ("c.example", ""),
    ]  # fmt: skip
    for item in ({"metadata": {"namespace": "n"}}, {"metadata": {"namespace": "n"}, "spec": {"tls": None}}):
        assert [*parse_ingress_hosts(item)] == []


def named(name: str, owner: str = "", **more: Any) -> dict[str, Any]:
    owners = [{"uid": "other"}, {"uid": owner}] if owner else []
    return {"metadata": {"namespace": "n", "name": name, "uid": name, "ownerReferences": owners}, **more}


def certificate(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    return named("chat", spec={"secretName": "chat-tls"}, status={"conditions": list(conditions), **status})


def request(name: str, revision: Any, *conditions: dict[str, Any], owner: str = "chat") -> dict[str, Any]:
    made = named(name, owner, status={"conditions": list(conditions)})
    made["metadata"]["annotations"] = {"cert-manager.io/certificate-revision": revision}
    return made


def condition(kind: str, status: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False), ("Unknown", None)])
def test_a_certificate_is_ready_by_its_condition_alone(status: str, ready: bool | None) -> None:
    item = certificate(
        condition("Issuing", "True"),
        condition("Ready", status, reason="Pending", lastTransitionTime="2026-11-28T04:00:00Z"),
        notBefore="2026-11-27T04:00:00Z", notAfter="2026-11-29T04:00:00Z",
        renewalTime="2026-11-28T04:00:00Z", failedIssuanceAttempts="2",
    )  # fmt: skip
    read = parse_managed(item, [], [], [])
    assert (read.reference, read.secret, read.ready) == ("n/chat", "chat-tls", ready)
    assert (read.ready_since, read.reason, read.issuing, read.failed_attempts) == (NOW, "Pending", True, 2)
    assert (read.not_before, read.not_after, read.renews_at) == (NOW - DAY, NOW + DAY, NOW)


def test_a_certificate_without_a_status_is_not_ready_since_it_was_made() -> None:
    item = named("chat")
    item["metadata"]["creationTimestamp"] = "2026-11-28T04:00:00Z"
    read = parse_managed(item, [], [], [], "no right")
    assert (read.ready, read.ready_since, read.issuing, read.failed_attempts) == (None, NOW, False, 0)
    assert (read.secret, read.reason, read.failure) == ("", "", "no right")
    odd = parse_managed(certificate(condition("Issuing", "False"), failedIssuanceAttempts="x"), [], [], [])
    assert (odd.issuing, odd.failed_attempts) == (False, 0)
    told = certificate(condition("Ready", "False", reason="R", message="the  message."))
    assert parse_managed(told, [], [], []).reason == "the message"


def test_of_several_requests_the_one_of_the_highest_revision_says_why() -> None:
    old = request("r9", "9", condition("Ready", "False", reason="Failed", message="old"))
    new = request("r10", "10", condition("Ready", "False", reason="Failed", message="new"))
    others = request("r11", "11", condition("Ready", "False", message="another's"), owner="elsewhere")
    read = parse_managed(certificate(), [old, new, others], [], [])
    assert read.failure == "CertificateRequest r10 is Failed: new"
    odd = request("r1", "x", condition("Ready", "False", reason="Failed"))
    assert parse_managed(certificate(), [odd, old], [], []).failure.startswith("CertificateRequest r9")


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ([condition("Denied", "True", reason="Policy", message="no"), condition("Ready", "False")],
         "CertificateRequest r1 is Policy: no"),
        ([condition("InvalidRequest", "True", message="bad"), condition("Ready", "False")],
         "CertificateRequest r1 is InvalidRequest: bad"),
        ([condition("Denied", "False"), condition("Ready", "False", reason="Pending")],
         "CertificateRequest r1 is Pending"),
        ([condition("Ready", "True")], ""),
        ([condition("Ready", "Unknown")], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_the_first_thing_that_is_wrong_with_a_request_is_told(
    conditions: list[dict[str, Any]], told: str
) -> None:
    assert parse_managed(certificate(), [request("r1", "1", *conditions)], [], []).failure == told


def test_orders_and_challenges_are_told_from_the_outside_in() -> None:
    asked = request("r1", "1", condition("Ready", "False", reason="Pending"))
    orders = [
        named("o1", "r1", status={"state": "pending"}),
        named("o2", "r1", status={"state": "ready"}),
        named("o3", "elsewhere", status={"state": "invalid"}),
    ]
    challenges = [
        named(
            "c1", "o1", spec={"dnsName": "chat.example.org"}, status={"state": "invalid", "reason": "404."}
        ),
        named("c2", "o1", status={"state": "valid"}),
        named("c3", "o2"),
        named("c4", "o3", status={"state": "invalid"}),
    ]
    read = parse_managed(certificate(), [asked], orders, challenges, "events cannot be read")
    assert read.failure == (
        "CertificateRequest r1 is Pending; Order o1 is pending; "
        "Challenge for chat.example.org is invalid: 404; Challenge c3 is not begun; events cannot be read"
    )


def test_what_an_authority_says_is_cut() -> None:
    long = request("r1", "1", condition("Ready", "False", reason="F", message="x " * 400))
    told = parse_managed(certificate(), [long], [], []).failure.removeprefix("CertificateRequest r1 is F: ")
    assert len(told) == 299
    assert told.endswith("x")


def test_issuing_is_asked_for_once_and_leaves_the_rest_of_the_status() -> None:
    ready = condition("Ready", "True")
    item = certificate(condition("Issuing", "False"), ready, revision=3)
    item["metadata"]["generation"] = 7
    made = issuing_status(item, "2026-11-28T04:00:00Z")
    assert made is not None
    assert made["status"]["revision"] == 3
    assert made["status"]["conditions"] == [
        ready,
        {
            "type": "Issuing", "status": "True", "lastTransitionTime": "2026-11-28T04:00:00Z",
            "observedGeneration": 7, "reason": "ManuallyTriggered",
            "message": "Certificate re-issuance manually triggered",
        },
    ]  # fmt: skip
    assert item["status"]["conditions"][0]["status"] == "False", "the object itself is not changed"
    assert issuing_status(certificate(condition("Issuing", "True")), "x") is None
    bare = issuing_status(named("chat"), "x")
    assert bare is not None
    assert bare["status"]["conditions"][0]["observedGeneration"] == 0


def test_an_issuer_with_an_acme_account_is_read_and_another_is_none() -> None:
    meta = {"name": "le", "resourceVersion": "5"}
    acme = {"email": "a@example.org", "server": "https://acme.example"}
    item = {"metadata": meta, "spec": {"acme": acme}}
    assert parse_acme_issuer(item) == AcmeIssuer("le", "a@example.org", "https://acme.example", "5")
    assert parse_acme_issuer({"metadata": meta, "spec": {"acme": {}}}) == AcmeIssuer("le", "", "", "5")
    for spec in ({}, None, {"acme": "x"}, {"ca": {}}):
        assert parse_acme_issuer({"metadata": meta, "spec": spec}) is None
