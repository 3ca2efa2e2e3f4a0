"""The stand-in as one thing to start: `with KubernetesServer() as server: server.kubeconfig(path)`."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from local.kubernetes.app import ApiServerApp
from local.kubernetes.behaviour import Behaviour
from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.errors import Object
from local.kubernetes.requests import Request
from local.kubernetes.store import Store
from local.kubernetes.tls import Authority
from local.server import Served


class KubernetesServer:
    """A Kubernetes API on 127.0.0.1 with a simulated MicroK8s of one node behind it.

    `state` names a file that the objects are read from, if it is there, and written to at the end;
    `version` is one of those that `kubernetes_validate` has schemas for; with `tls` the server has a
    certificate of an authority of its own, which the kubeconfig names. Without it Helm and kubectl are
    refused, since they send no token over plain HTTP; the Python client does.
    """

    def __init__(
        self,
        state: Path | None = None,
        version: str = "1.31",
        *,
        tls: bool = True,
        port: int = 0,
        behaviour: Behaviour | None = None,
    ) -> None:
        self._state, self._port = state, port
        self.cluster = EmbeddedCluster(version, behaviour)
        self._authority = Authority() if tls else None
        self._served: Served | None = None

    def __enter__(self) -> KubernetesServer:
        if self._state is not None and self._state.exists():
            self.cluster.load(self._state)
        else:
            self.cluster.seed()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._state is not None:
            self.cluster.save(self._state)

    def start(self) -> None:
        """Serve, on the same port as before if it was served before."""
        tls = self._authority.context() if self._authority else None
        served = Served(lambda: ApiServerApp(self.cluster).application(), port=self._port, tls=tls)
        served.__enter__()
        self._served, self._port = served, served.port

    def stop(self) -> None:
        """Go down: all connections are cut off, nothing listens, nothing happens in the cluster."""
        if self._served is not None:
            self._served.__exit__(None, None, None)
            self._served = None

    def restart(self) -> None:
        """Go down and come up again with the same objects."""
        self.stop()
        self.start()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`, or https."""
        return f"{'https' if self._authority else 'http'}://127.0.0.1:{self._port}"

    @property
    def version(self) -> str:
        """Of Kubernetes, in three numbers."""
        return f"{self.cluster.version}.0"

    @property
    def store(self) -> Store:
        """The objects with their revisions, below all checks; `add` goes through the checks."""
        return self.cluster.store

    @property
    def behaviour(self) -> Behaviour:
        """What fails and how long things take; may be changed at any time."""
        return self.cluster.behaviour

    @property
    def requests(self) -> list[Request]:
        """Every request that was answered, oldest first."""
        return self.cluster.requests

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return self.cluster.admin_token

    def token_for(self, name: str, namespace: str = "default") -> str:
        """A bearer token of a service account, who may do only what Roles and bindings allow."""
        return self.cluster.token_for(name, namespace)

    def add(self, *items: Mapping[str, Any]) -> list[Object]:
        """Create objects as an administrator; a `status` is kept. Raises `ApiError`."""
        return self.cluster.add(*items)

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """A copy of an object, or None."""
        return self.cluster.get(kind, name, namespace)

    def kubeconfig(self, path: Path, *, token: str | None = None, namespace: str = "default") -> Path:
        """Write a kubeconfig (mode 0600) for the administrator, or for the holder of `token`."""
        cluster: Object = {"server": self.url}
        if self._authority:
            cluster["certificate-authority-data"] = base64.b64encode(self._authority.certificate).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "microk8s",
            "clusters": [{"name": "microk8s", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token or self.token}}],
            "contexts": [
                {
                    "name": "microk8s",
                    "context": {"cluster": "microk8s", "user": "user", "namespace": namespace},
                }
            ],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2), "utf-8")  # JSON is YAML
        return path
