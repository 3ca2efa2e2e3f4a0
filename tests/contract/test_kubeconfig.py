"""What a kubeconfig may hold, read and tried against servers with TLS."""

from __future__ import annotations

import base64
import json
import ssl
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509

from local.server import Served
from shared.kernel.errors import GroundcrewError, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.kubernetes.api import KubernetesApi, connect_api
from shared.kubernetes.kubeconfig import parse_kubeconfig
from tests.support.certificates import Issued, issue

TOKEN = "s3cr3t-token"
COMMAND_VERSION = "client.authentication.k8s.io/v1"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Cluster:
    """An API server that answers everything with `answers`, or with an empty object, and notes who asked."""

    authority: Issued
    url: str = ""
    seen: list[str] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)

    def application(self) -> web.Application:
        async def handle(request: web.Request) -> web.StreamResponse:
            peer = request.transport.get_extra_info("peercert") if request.transport else None
            names = [value for part in (peer or {}).get("subject", ()) for _, value in part]
            self.seen.append(request.headers.get("Authorization") or "".join(names) or "nobody")
            return self.answers.pop(0) if self.answers else web.json_response({})

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handle)
        return application

    def config(self, user: dict[str, Any], **cluster: Any) -> Secret:
        """A kubeconfig for that user; what the cluster has more is given by `cluster`."""
        trust = {"certificate-authority-data": base64.b64encode(self.authority.pem).decode()}
        return Secret(kubeconfig({"server": self.url, **trust, **cluster}, user))


def kubeconfig(cluster: dict[str, Any], user: dict[str, Any]) -> str:
    return json.dumps(
        {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "one", "user": "me"}}],
            "clusters": [{"name": "one", "cluster": cluster}],
            "users": [{"name": "me", "user": user}],
        }
    )


@contextmanager
def running(
    folder: Path, host: str = "127.0.0.1", authority: Issued | None = None, leaf: Issued | None = None
) -> Iterator[Cluster]:
    """The server on this machine, with a certificate for `host`; it takes client certificates, if shown."""
    authority = authority or issue("microk8s-ca", authority=True)
    leaf = leaf or issue("kube-apiserver", host, by=authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(written(folder / "server.pem", leaf.pem + leaf.key_pem))
    context.load_verify_locations(cadata=authority.pem.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    cluster = Cluster(authority)
    with Served(cluster.application, tls=context) as served:
        cluster.url = served.url
        yield cluster


def written(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running(tmp_path) as started:
        yield started


def test_a_token_signs_in(cluster: Cluster) -> None:
    connect_api(cluster.config({"token": TOKEN})).get("/version")
    assert cluster.seen == [f"Bearer {TOKEN}"]


def test_a_file_with_a_token_is_read_anew_when_the_old_one_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = written(tmp_path / "token", b"first\n")
    api = connect_api(cluster.config({"tokenFile": str(file), "token": "of-no-use"}))
    api.get("/version")
    file.write_bytes(b"second\n")
    cluster.answers.append(web.json_response({}, status=401))
    api.get("/version")
    assert cluster.seen == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_credential_that_is_refused_twice_is_a_refusal(cluster: Cluster, tmp_path: Path) -> None:
    api = connect_api(cluster.config({"tokenFile": str(written(tmp_path / "token", b"old"))}))
    cluster.answers += [web.json_response({}, status=401) for _ in range(2)]
    with pytest.raises(Refused):
        api.get("/version")
    assert len(cluster.seen) == 2


def test_a_token_that_cannot_change_is_not_tried_again(cluster: Cluster) -> None:
    cluster.answers.append(web.json_response({}, status=401))
    with pytest.raises(Refused):
        connect_api(cluster.config({"token": TOKEN})).get("/version")
    assert len(cluster.seen) == 1


@pytest.mark.parametrize("as_file", [False, True], ids=["data", "file"])
def test_a_client_certificate_signs_in(cluster: Cluster, tmp_path: Path, as_file: bool) -> None:
    mine = client_certificate(cluster)
    if as_file:
        user = {
            "client-certificate": str(written(tmp_path / "mine.pem", mine.pem)),
            "client-key": str(written(tmp_path / "mine.key", mine.key_pem)),
        }
    else:
        user = {
            "client-certificate-data": base64.b64encode(mine.pem).decode(),
            "client-key-data": base64.b64encode(mine.key_pem).decode(),
        }
    connect_api(cluster.config(user)).get("/version")
    assert cluster.seen == ["groundcrew"]


def client_certificate(cluster: Cluster) -> Issued:
    # An authority's leaf is for servers only: this one may sign in since it says nothing of its use.
    return issue("groundcrew", by=cluster.authority, authority=True)


def command(tmp_path: Path, status: dict[str, Any], version: str = COMMAND_VERSION) -> dict[str, Any]:
    """A user whose command prints that status, and leaves what it was told and how often it ran."""
    script = written(
        tmp_path / "plugin.py",
        b"import json, os, sys\n"
        b"open(sys.argv[1], 'a').write(os.environ['KUBERNETES_EXEC_INFO'] + os.environ['PLACE'] + '\\n')\n"
        b"print(open(sys.argv[2]).read())\n",
    )
    printed = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    answer = written(tmp_path / "answer", json.dumps(printed).encode())
    return {
        "exec": {
            "apiVersion": COMMAND_VERSION,
            "command": sys.executable,
            "args": [str(script), str(tmp_path / "told"), str(answer)],
            "env": [{"name": "PLACE", "value": "here"}],
            "provideClusterInfo": True,
        }
    }


def test_a_command_gives_the_token_until_it_expires(cluster: Cluster, tmp_path: Path) -> None:
    status = {"token": TOKEN, "expirationTimestamp": f"{NOW + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"}
    clock = [NOW]
    config = parse_kubeconfig(cluster.config(command(tmp_path, status)))
    api = KubernetesApi(config, now=lambda: clock[0])
    api.get("/version")
    api.get("/version")
    told = (tmp_path / "told").read_text().splitlines()
    assert len(told) == 1
    assert told[0].endswith("here")
    assert json.loads(told[0].removesuffix("here"))["spec"]["cluster"]["server"] == cluster.url
    clock[0] += timedelta(hours=1)
    api.get("/version")
    assert len((tmp_path / "told").read_text().splitlines()) == 2
    assert cluster.seen == [f"Bearer {TOKEN}"] * 3


def test_a_command_may_give_a_certificate(cluster: Cluster, tmp_path: Path) -> None:
    mine = client_certificate(cluster)
    status = {"clientCertificateData": mine.pem.decode(), "clientKeyData": mine.key_pem.decode()}
    connect_api(cluster.config(command(tmp_path, status))).get("/version")
    assert cluster.seen == ["groundcrew"]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda user: user["exec"].update(command="/no/such/command"),
        lambda user: user["exec"].update(args=["-c", "print('s3cr3t-token'); raise SystemExit(3)"]),
        lambda user: user["exec"].update(args=["-c", "print('s3cr3t-token')"]),
        lambda user: user["exec"].update(apiVersion="client.authentication.k8s.io/v1beta1"),
    ],
    ids=["not there", "failed", "no JSON", "another version"],
)
def test_a_command_that_fails_is_told_without_what_it_printed(
    cluster: Cluster, tmp_path: Path, break_it: Callable[[dict[str, Any]], None]
) -> None:
    user = command(tmp_path, {"token": TOKEN})
    break_it(user)
    with pytest.raises(Refused, match="gives no credential") as caught:
        connect_api(cluster.config(user)).get("/version")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert cluster.seen == []


def test_a_server_of_another_authority_gets_no_token(cluster: Cluster) -> None:
    stranger = base64.b64encode(issue("other-ca", authority=True).pem).decode()
    with pytest.raises(Unavailable):
        connect_api(cluster.config({"token": TOKEN}, **{"certificate-authority-data": stranger})).get("/v")
    assert cluster.seen == []


def test_a_server_by_another_name_gets_no_token(tmp_path: Path) -> None:
    with running(tmp_path, host="chat.example.org") as cluster:
        with pytest.raises(Unavailable):
            connect_api(cluster.config({"token": TOKEN})).get("/version")
        assert cluster.seen == []
        named = cluster.config({"token": TOKEN}, **{"tls-server-name": "chat.example.org"})
        connect_api(named).get("/version")
        assert cluster.seen == [f"Bearer {TOKEN}"]


def test_an_authority_as_microk8s_makes_it_is_trusted_though_it_names_no_use_of_its_key(
    tmp_path: Path,
) -> None:
    # openssl req -x509 -new -sha256 -nodes -subj /CN=10.152.183.1: basic constraints, and no key usage.
    authority = issue("10.152.183.1", authority=True, key_usage=False)
    with pytest.raises(x509.ExtensionNotFound):
        authority.certificate.extensions.get_extension_for_class(x509.KeyUsage)
    with running(tmp_path, authority=authority) as cluster:
        connect_api(cluster.config({"token": TOKEN})).get("/version")
        assert cluster.seen == [f"Bearer {TOKEN}"]


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_server_is_not_verified_only_where_the_kubeconfig_says_so(cluster: Cluster) -> None:
    server = {"server": cluster.url}
    with pytest.raises(Unavailable):
        connect_api(Secret(kubeconfig(server, {"token": TOKEN}))).get("/version")
    open_to_all = {**server, "insecure-skip-tls-verify": True}
    connect_api(Secret(kubeconfig(open_to_all, {"token": TOKEN}))).get("/version")
    assert cluster.seen == [f"Bearer {TOKEN}"]


def test_a_busy_server_is_asked_again_when_it_says(cluster: Cluster) -> None:
    later = {"Retry-After": "0"}
    cluster.answers += [
        web.json_response({}, status=429, headers=later),
        web.json_response({}, status=503, headers=later),
        web.json_response({"kind": "Pod"}),
    ]
    assert connect_api(cluster.config({"token": TOKEN})).post("/pods", {}) == {"kind": "Pod"}
    assert len(cluster.seen) == 3


@pytest.mark.parametrize(
    ("status", "headers", "asked"),
    [
        (429, {"Retry-After": "0"}, 3),  # however often it says so
        (429, {"Retry-After": "3600"}, 1),  # longer than a function waits
        (429, {}, 1),
        (503, {}, 1),  # perhaps it was taken up
        (404, {"Retry-After": "0"}, 1),
    ],
)
def test_a_server_is_not_asked_again_for_ever_nor_unasked(
    cluster: Cluster, status: int, headers: dict[str, str], asked: int
) -> None:
    cluster.answers += [web.json_response({}, status=status, headers=headers) for _ in range(9)]
    with pytest.raises(GroundcrewError) as caught:
        connect_api(cluster.config({"token": TOKEN})).post("/pods", {})
    assert isinstance(caught.value, NotFound if status == 404 else Unavailable)
    assert len(cluster.seen) == asked


def test_a_redirect_is_not_followed(cluster: Cluster) -> None:
    with running_elsewhere() as other:
        cluster.answers.append(web.json_response({}, status=307, headers={"Location": other.url}))
        with pytest.raises(Unavailable):
            connect_api(cluster.config({"token": TOKEN})).get("/version")
        assert other.seen == []


@contextmanager
def running_elsewhere() -> Iterator[Cluster]:
    other = Cluster(issue("other-ca", authority=True))
    with Served(other.application) as served:
        other.url = served.url
        yield other


def test_a_proxy_of_the_kubeconfig_or_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = {"server": "http://localhost:1"}
    with running_elsewhere() as proxy:
        named = {**server, "proxy-url": proxy.url}
        connect_api(Secret(kubeconfig(named, {"token": TOKEN}))).get("/version")
        assert proxy.seen == [f"Bearer {TOKEN}"]
        monkeypatch.setenv("http_proxy", proxy.url)
        connect_api(Secret(kubeconfig(server, {"token": TOKEN}))).get("/version")
        assert len(proxy.seen) == 2
        monkeypatch.setenv("no_proxy", "localhost")
        with pytest.raises(Unavailable):
            connect_api(Secret(kubeconfig(server, {"token": TOKEN}))).get("/version")


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({"server": "http://10.0.0.4:8080"}, {"token": TOKEN}, "not https"),
        ({"server": "ftp://127.0.0.1"}, {"token": TOKEN}, "no server's address"),
        ({"server": "10.0.0.4:16443"}, {"token": TOKEN}, "no server's address"),
        ({"server": "https://10.0.0.4:x"}, {"token": TOKEN}, "cannot be read"),
        ({"server": "https://:6443"}, {"token": TOKEN}, "no server's address"),
        ({"server": "https://10.0.0.4:0"}, {"token": TOKEN}, "no server's address"),
        ({}, {"token": TOKEN}, "cannot be read"),
        ({"server": "https://a"}, {"username": "admin", "password": TOKEN}, "no longer takes"),
        ({"server": "https://a"}, {"auth-provider": {"name": "azure"}}, "no longer takes"),
    ],
)
def test_what_would_not_work_or_not_be_safe_is_refused_before_anything_is_asked(
    cluster: dict[str, Any], user: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        connect_api(Secret(kubeconfig(cluster, user)))
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("more", "user"),
    [
        ({"certificate-authority-data": "%%%"}, {"token": TOKEN}),
        ({"certificate-authority-data": base64.b64encode(b"no PEM").decode()}, {"token": TOKEN}),
        ({"certificate-authority": "/no/such/file", "certificate-authority-data": ""}, {"token": TOKEN}),
        ({}, {"tokenFile": "/no/such/file"}),
        ({}, {"client-certificate-data": base64.b64encode(b"x").decode(), "client-key-data": "eA=="}),
    ],
)
def test_certificates_and_files_that_cannot_be_read_are_told(
    cluster: Cluster, more: dict[str, Any], user: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        connect_api(cluster.config(user, **more)).get("/version")
    assert cluster.seen == []


def test_the_context_that_is_current_is_the_one_that_is_used() -> None:
    content = json.loads(kubeconfig({"server": "https://one/"}, {"token": TOKEN}))
    content["contexts"].insert(0, {"name": "there", "context": {"cluster": "two", "user": "you"}})
    content["clusters"].insert(0, {"name": "two", "cluster": {"server": "https://two"}})
    content["users"].insert(0, {"name": "you", "user": {"token": "other"}})
    found = parse_kubeconfig(Secret(json.dumps(content)))
    assert (found.server, found.user) == ("https://one", {"token": TOKEN})
    content["current-context"] = "nowhere"
    with pytest.raises(UsageError):
        parse_kubeconfig(Secret(json.dumps(content)))


@pytest.mark.parametrize("users", [None, []])
def test_a_kubeconfig_without_users_signs_nobody_in(users: list[Any] | None) -> None:
    content = json.loads(kubeconfig({"server": "https://one"}, {"token": TOKEN}))
    content["users"] = users
    assert parse_kubeconfig(Secret(json.dumps(content))).user == {}
    content["users"] = [{"name": "another", "user": {"token": TOKEN}}]
    with pytest.raises(UsageError, match="cannot be read"):
        parse_kubeconfig(Secret(json.dumps(content)))
    del content["contexts"][0]["context"]["user"]
    assert parse_kubeconfig(Secret(json.dumps(content))).user == {}
