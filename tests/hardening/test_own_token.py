"""What the app signs in to the cluster with: bound or not, how long it lasts, what says nothing of itself."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
import yaml

from shared.hardening.model import AuditVerdict
from shared.hardening.own_token import judge_own_token
from shared.kernel.secret import Secret

BEGIN, DAY = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()), 86400
BOUND = {"kubernetes.io": {"secret": {"name": "groundcrew-token-1"}}}
UNBOUND = {"kubernetes.io": {"serviceaccount": {"name": "groundcrew"}}}
LEGACY = {"kubernetes.io/serviceaccount/secret.name": "groundcrew-token"}


def kubeconfig(*users: object) -> Secret:
    listed = [{"name": f"u{number}", "user": user} for number, user in enumerate(users)]
    return Secret(yaml.safe_dump({"users": listed}))


def token(claims: object) -> dict[str, str]:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return {"token": f"eyJhbGciOiJSUzI1NiJ9.{body}.c2lnbmF0dXJl"}


def judge(*users: object) -> dict[str, str]:
    findings = judge_own_token(kubeconfig(*users))
    return {one.id.removeprefix("cluster/own-token"): str(one.verdict) for one in findings}


@pytest.mark.parametrize(
    ("claims", "days", "bound", "lifetime"),
    [
        (BOUND, 90, "met", "met"),
        (BOUND, 100, "met", "met"),
        (BOUND, 101, "met", "missed"),
        (UNBOUND, 90, "missed", "met"),
        (UNBOUND, 365, "missed", "missed"),
        (LEGACY, None, "met", "missed"),
        ({}, None, "missed", "missed"),
    ],
)
def test_a_token_is_judged_by_its_secret_and_by_how_long_it_lasts(
    claims: dict[str, object], days: int | None, bound: str, lifetime: str
) -> None:
    times = {"iat": BEGIN, "exp": BEGIN + days * DAY} if days else {"iat": BEGIN}
    assert judge(token({**claims, **times})) == {"/bound": bound, "/lifetime": lifetime}


@pytest.mark.parametrize(
    "users",
    [
        ({"token": "opaque"},), ({"token": "a.!.c"},), (token([1]),), ({"client-certificate-data": "eA=="},),
        (token(BOUND), token(UNBOUND)), ({},), (),
    ],
)  # fmt: skip
def test_what_says_nothing_of_itself_is_unknown_and_nothing_of_it_is_quoted(
    users: tuple[object, ...],
) -> None:
    (finding,) = judge_own_token(kubeconfig(*users))
    assert finding.verdict is AuditVerdict.UNKNOWN
    assert "opaque" not in finding.seen


def test_a_program_that_makes_a_credential_at_each_sign_in_keeps_none() -> None:
    assert judge({"exec": {"command": "kubelogin"}}) == {}


@pytest.mark.parametrize("text", ["", "[]", "users: 1", "users: [{}]", "a: [", "users: [{user: 1}]"])
def test_a_kubeconfig_that_is_none_is_unknown(text: str) -> None:
    (finding,) = judge_own_token(Secret(text))
    assert (finding.id, finding.verdict) == ("cluster/own-token", AuditVerdict.UNKNOWN)


def test_durations_are_told_in_words() -> None:
    times = {"iat": BEGIN, "exp": BEGIN + 365 * DAY}
    _, lifetime = judge_own_token(kubeconfig(token({**UNBOUND, **times})))
    assert "365 d" in lifetime.seen
