"""A real Kubernetes control plane on 127.0.0.1: etcd, API server, controllers, scheduler, kwok as the node.

    python -m local.real.control_plane [COMMAND …]

starts it, runs the command with `GROUNDCREW_TEST_KUBECONFIG`, and ends with its exit code; without a command
it stays up until it is interrupted. The programs are those of `make real`. It is to be thrown away: a
ConfigMap says so, and only in a cluster that has it do tests take what they like (`local.real.cluster`).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.kubernetes.addons import seed_objects
from local.kubernetes.tls import Authority
from local.process import Child
from local.real import find_program
from shared.kernel.errors import NotFound, Unavailable

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
VARIABLE = "GROUNDCREW_TEST_KUBECONFIG"
MARK = ("kube-system", "groundcrew-test-cluster")
STAGES = Path(__file__).with_name("kwok-stages.yaml")
_UP_SECONDS = 120.0
# Each request with who asked and what was answered: tests compare them with the rights that are granted.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
# What the API server makes by itself is not created a second time.
_BUILT_IN = {
    ("Namespace", "default"), ("Namespace", "kube-system"), ("Namespace", "kube-public"),
    ("Namespace", "kube-node-lease"), ("Service", "kubernetes"), ("ClusterRole", "cluster-admin"),
}  # fmt: skip


class ControlPlane:
    """A context manager; `kubeconfig` is an administrator's. Raises `NotFound` if a program is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs = {name: find_program(name) for name in PROGRAMS}
        missing = [name for name, path in self._programs.items() if path is None]
        if missing:
            raise NotFound(
                "real programs", value=", ".join(missing), hint="Build them: make real SLOW=1 (needs Go)"
            )
        self._token = secrets.token_urlsafe(24)
        self._open = ExitStack()
        self.kubeconfig = folder / "kubeconfig"
        self.port = 0

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _start(self) -> None:
        folder = self._folder
        authority = Authority()
        (self._certificate, self._key), self._trusted = authority.write(folder)
        self._context = ssl.create_default_context(cafile=str(self._trusted))
        _write_signing_keys(folder)
        _write_private(folder / "tokens.csv", f'{self._token},admin,admin,"system:masters"\n')
        (folder / "audit-policy.yaml").write_text(json.dumps(_AUDIT_POLICY))
        etcd, peer, self.port = find_ports(3)
        self._write_kubeconfig(authority)
        self._run("etcd", *_etcd_arguments(folder / "etcd", etcd, peer))
        api = self._run("kube-apiserver", *self._api_arguments(etcd))
        self._wait_for(api, "/readyz")
        self._seed()
        controllers = [
            self._run("kube-controller-manager", *self._controller_arguments()),
            self._run("kube-scheduler", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false",
                      "--secure-port=0"),
            self._run("kwok", f"--kubeconfig={self.kubeconfig}", f"--config={STAGES}", "--manage-all-nodes"),
        ]  # fmt: skip
        # Tests in which nothing may happen by itself stop these for a while.
        (folder / "controllers.json").write_text(json.dumps([child.pid for child in controllers]))
        # The controllers are up when they have made it; pods are refused before.
        self._wait_for(api, "/api/v1/namespaces/default/serviceaccounts/default")

    def _run(self, name: str, *arguments: str) -> Child:
        argv = [str(self._programs[name]), *arguments]
        # kwok looks for a configuration in HOME.
        env = {"PATH": os.defpath, "HOME": str(self._folder)}
        return self._open.enter_context(Child(name, argv, log=self._folder / f"{name}.log", env=env))

    def _write_kubeconfig(self, authority: Authority) -> None:
        cluster = {
            "server": f"https://127.0.0.1:{self.port}",
            # By name, not in the file: whoever reads the file by itself needs nothing beside it.
            "certificate-authority-data": _base64(authority.certificate),
        }
        context = {"cluster": "real", "user": "admin", "namespace": "default"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "real",
            "clusters": [{"name": "real", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "real", "context": context}],
        }
        _write_private(self.kubeconfig, json.dumps(document, indent=2))

    def _api_arguments(self, etcd: int) -> list[str]:
        folder = self._folder
        return [
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self._certificate}",
            f"--tls-private-key-file={self._key}",
            f"--service-account-key-file={folder / 'sa.pub'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            # As a cluster with short tokens: who asks for a longer one gets less than was asked for.
            "--service-account-max-token-expiration=720h",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.152.183.0/24",
            # Endpoints on loopback are refused, and there is no other address.
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--allow-privileged=true",
            f"--audit-policy-file={folder / 'audit-policy.yaml'}",
            f"--audit-log-path={folder / 'audit.log'}",
        ]

    def _controller_arguments(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--service-account-private-key-file={self._folder / 'sa.key'}",
            f"--root-ca-file={self._trusted}",
            # Claims are bound as MicroK8s' hostpath provisioner does it; the folders are below /tmp.
            "--enable-hostpath-provisioner",
            # Only kwok says how the node is, and it may be stopped for the length of a test.
            "--node-monitor-grace-period=24h",
        ]

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of an administrator's request. Raises OSError if nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        url = f"https://127.0.0.1:{self.port}{path}"
        asked = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=30, context=self._context) as answer:  # noqa: S310
                text, status = answer.read(), answer.status
        except urllib.error.HTTPError as error:
            text, status = error.read(), error.code
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode(errors="replace")

    def _wait_for(self, api: Child, path: str) -> None:
        deadline = time.monotonic() + _UP_SECONDS
        while time.monotonic() < deadline and api.returncode is None:
            try:
                if self.request("GET", path)[0] == 200:
                    return
            except OSError:
                pass  # nobody listens yet
            time.sleep(0.2)
        raise Unavailable("kube-apiserver did not come up", value=f"{_UP_SECONDS:g} s", hint=api.tail())

    def _seed(self) -> None:
        """What a MicroK8s with its add-ons has, from the stand-in's own list."""
        mark: dict[str, Any] = {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": MARK[0], "name": MARK[1]},
        }  # fmt: skip
        for item in [*seed_objects("1.31"), mark]:
            if (item["kind"], item["metadata"]["name"]) in _BUILT_IN:
                continue
            self._create(_adapted(item))

    def _create(self, item: dict[str, Any]) -> None:
        path = _collection_path(item)
        status, answer = self.request("POST", path, item)
        if status not in (200, 201):
            raise Unavailable(f"{item['kind']} was refused", value=answer)
        if item["kind"] == "Node":
            self.request("PATCH", f"{path}/{item['metadata']['name']}/status", {"status": item["status"]})


_COLLECTIONS = {
    "Node": "/api/v1/nodes",
    "ConfigMap": f"/api/v1/namespaces/{MARK[0]}/configmaps",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "IngressClass": "/apis/networking.k8s.io/v1/ingressclasses",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}


def _collection_path(item: dict[str, Any]) -> str:
    return _COLLECTIONS[item["kind"]]


def _adapted(item: dict[str, Any]) -> dict[str, Any]:
    """The provisioner that the controllers bring along, in the place of MicroK8s' own."""
    return {**item, "provisioner": "kubernetes.io/host-path"} if item["kind"] == "StorageClass" else item


def _etcd_arguments(data: Path, client: int, peer: int) -> list[str]:
    urls = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={urls[0]}", f"--advertise-client-urls={urls[0]}",
        f"--listen-peer-urls={urls[1]}", f"--initial-advertise-peer-urls={urls[1]}",
        f"--initial-cluster=default={urls[1]}",
        "--unsafe-no-fsync",  # it is thrown away
        "--log-level=warn",
    ]  # fmt: skip


def _write_signing_keys(folder: Path) -> None:
    """The keys of service accounts' tokens."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write_private(folder / "sa.key", private.decode())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "sa.pub").write_bytes(public)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def find_ports(count: int) -> list[int]:
    """Free ports on 127.0.0.1. Another program may take one before it is used; then the start fails."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    with tempfile.TemporaryDirectory(prefix="groundcrew-real-") as folder:
        try:
            with ControlPlane(Path(folder)) as plane:
                print(f"{VARIABLE}={plane.kubeconfig}", flush=True)
                if not arguments:
                    time.sleep(float("inf"))
                return subprocess.run(
                    arguments, env={**os.environ, VARIABLE: str(plane.kubeconfig)}
                ).returncode
        except KeyboardInterrupt:
            return 130
        except NotFound as error:
            print(f"not run: {error}", file=sys.stderr)
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
