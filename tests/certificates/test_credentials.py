"""What in a kubeconfig ends, and where the API server is; nothing of it is ever quoted."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.kubernetes import KubernetesServer
from shared.certificates.credentials import parse_credentials
from shared.certificates.model import HostTarget
from shared.certificates.ports import ClusterCredentials
from shared.kernel.errors import Corrupt
from shared.kernel.secret import Secret
from tests.support.certificates import DAY, issue

START = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY = issue("microk8s-ca", authority=True, start=START, lasting=3650 * DAY)
CLIENT = issue("admin", start=START, lasting=365 * DAY)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def token(**claims: Any) -> str:
    parts = ({"alg": "RS256"}, claims)
    head = ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts)
    return f"{head}.c2lnbmF0dXJl"


def read(user: dict[str, Any], **cluster: Any) -> ClusterCredentials:
    known = {
        "server": "https://10.0.0.4:16443",
        "certificate-authority-data": encoded(AUTHORITY.pem),
        **cluster,
    }
    config = {
        "current-context": "microk8s",
        "contexts": [{"name": "microk8s", "context": {"cluster": "one", "user": "crew"}}],
        "clusters": [{"name": "other", "cluster": {}}, {"name": "one", "cluster": known}],
        "users": [{"name": "crew", "user": user}],
    }
    return parse_credentials(Secret(yaml.safe_dump(config)))


def test_the_authority_the_client_and_the_token_end() -> None:
    end = START + 30 * DAY
    user = {
        "client-certificate-data": encoded(CLIENT.pem),
        "token": token(iat=START.timestamp(), exp=end.timestamp()),
    }
    found = {one.name: (one.not_before, one.not_after) for one in read(user).items}
    assert found == {
        "CA of the cluster": (START, START + 3650 * DAY),
        "client certificate": (START, START + 365 * DAY),
        "service account token": (START, end),
    }


@pytest.mark.parametrize(
    "text", ["opaque", "a.b", "a.!!.c", token(), token(exp="soon"), token(exp=1e30)],
    ids=["opaque", "two parts", "no base64", "no end", "no number", "out of range"],
)  # fmt: skip
def test_a_token_that_tells_no_end_is_not_listed(text: str) -> None:
    assert [one.name for one in read({"token": text}).items] == ["CA of the cluster"]


def test_while_one_authority_replaces_another_the_new_one_counts() -> None:
    old = issue("microk8s-ca", authority=True, start=START - 3650 * DAY, lasting=3651 * DAY)
    both = encoded(old.pem + AUTHORITY.pem)
    (found,) = read({}, **{"certificate-authority-data": both}).items
    assert found.not_after == START + 3650 * DAY


def test_an_authority_that_cannot_be_read_is_a_problem() -> None:
    (found,) = read({}, **{"certificate-authority-data": encoded(b"nothing")}).items
    assert (found.problem, found.not_after) == ("cannot be read", None)


def test_the_api_server_is_looked_at_with_the_roots_of_its_own() -> None:
    roots = AUTHORITY.pem.decode()
    assert read({}).server == HostTarget("10.0.0.4", 16443, trusted_roots=roots, label="Kubernetes API")
    assert read({}, server="http://10.0.0.4:8080").server is None
    assert read({}, **{"insecure-skip-tls-verify": True}).server is None
    assert read({}, server="https://10.0.0.4:port").server is None


def test_a_real_kubeconfig_is_read(tmp_path: Path) -> None:
    with KubernetesServer() as server:
        found = parse_credentials(Secret(server.kubeconfig(tmp_path / "kubeconfig").read_text()))
        assert found.server is not None
        assert server.url == f"https://{found.server.host}:{found.server.port}"
    assert [one.name for one in found.items] == ["CA of the cluster"]


@pytest.mark.parametrize(
    "text", ["", "[]", "contexts: []", "{token: hunter2hunter2", "contexts: [{name: a}]"]
)
def test_what_is_no_kubeconfig_is_corrupt_and_not_quoted(text: str) -> None:
    with pytest.raises(Corrupt, match="the kubeconfig cannot be read") as caught:
        parse_credentials(Secret(text))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
