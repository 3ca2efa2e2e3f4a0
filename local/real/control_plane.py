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
from local.real.arguments import api_arguments, controller_arguments, etcd_arguments
from local.real.definitions import load_definitions
from shared.kernel.errors import NotFound, Unavailable

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
MINOR_VARIABLE = "GROUNDCREW_TEST_KUBERNETES"  # another minor version than the newest, as 1.35
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


def name_of(program: str, minor: str) -> str:
    """Under which name a program was brought: Kubernetes' end with the minor version if one is named."""
    return f"{program}-{minor}" if minor and program.startswith("kube-") else program


class ControlPlane:
    """A context manager; `kubeconfig` is an administrator's. Raises `NotFound` if a program is missing.

    `minor` is of Kubernetes, if it is not to be the newest that is brought: `1.35`.
    """

    def __init__(self, folder: Path, minor: str = "") -> None:
        self._folder = folder
        self._programs = {name: find_program(name_of(name, minor)) for name in PROGRAMS}
        missing = [name_of(name, minor) for name, path in self._programs.items() if path is None]
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
        self._run("etcd", *etcd_arguments(folder / "etcd", etcd, peer))
        api = self._run(
            "kube-apiserver", *api_arguments(folder, self.port, etcd, (self._certificate, self._key))
        )
        self._wait_for(api, "/readyz")
        self._seed()
        controllers = [
            self._run("kube-controller-manager",
                      *controller_arguments(folder, self.kubeconfig, self._trusted)),
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
        # cert-manager's own definitions if they were brought: those of the stand-in take any spec.
        published = {item["metadata"]["name"]: item for item in load_definitions()}
        for item in [*seed_objects("1.31"), mark]:
            name = item["metadata"]["name"]
            if (item["kind"], name) not in _BUILT_IN:
                self._create(published.get(name) or _adapted(item))

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
            with ControlPlane(Path(folder), os.environ.get(MINOR_VARIABLE, "")) as plane:
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
