"""The cluster of GROUNDCREW_TEST_KUBECONFIG with the stand-in's ways, so that the same tests run in both.

What tests do to the stand-in beside its API is done here by the API: objects are put and looked at, tokens
are made, requests are read from the audit log, controllers are stopped by SIGSTOP. What a real cluster cannot
be told to do skips the test with the reason. A test takes namespaces, nodes and definitions as it likes, so
this refuses every cluster but those that say they are to be thrown away (`local.real.control_plane`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from kubernetes.client.exceptions import ApiException

from local.kubernetes.errors import Object
from local.kubernetes.requests import Request, parse_target
from local.real.api import AGENT, ClusterApi, collection_path
from local.real.behaviour import RealBehaviour, Skip
from local.real.control_plane import MARK, VARIABLE
from local.real.forwarding import Forwarder
from shared.kernel.errors import Refused, UsageError

_PATIENCE_SECONDS = 90.0


def kubeconfig_path() -> Path | None:
    """The real cluster's kubeconfig, if the environment names one."""
    text = os.environ.get(VARIABLE)
    return Path(text) if text else None


@dataclass
class RealCluster:
    """A context manager, as `KubernetesServer`. Raises `Refused` for a cluster that others use."""

    skip: Skip
    _namespaces: set[str] = field(default_factory=set)
    _made: list[tuple[str, str]] = field(
        default_factory=list
    )  # collection and name, of what is in no namespace

    _definitions: list[Object] = field(default_factory=list)  # that were there before the test

    def __post_init__(self) -> None:
        path = kubeconfig_path()
        if path is None:
            raise UsageError("no cluster is named", hint=f"Set {VARIABLE} to a kubeconfig.")
        self._document = _read_document(path)
        self.api = ClusterApi(path)
        beside = path.parent
        pids = beside / "controllers.json"
        self.behaviour = RealBehaviour(json.loads(pids.read_text()) if pids.exists() else [], self.skip)
        self._audit = beside / "audit.log"
        self._forwarder = Forwarder(*_address(self.api.host))
        self.cluster = self  # the stand-in keeps its objects in a part of its own

    def __enter__(self) -> RealCluster:
        found, _ = self.api.ask("GET", f"/api/v1/namespaces/{MARK[0]}/configmaps/{MARK[1]}")
        if found == 404:
            raise Refused(
                "this cluster is not to be thrown away",
                value=self.api.host,
                hint="Tests delete what they like in it. Use `python -m local.real.control_plane`.",
            )
        self._offset = self._audit.stat().st_size if self._audit.exists() else 0
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.behaviour.paused = False
        self._wipe()
        self.api.close()

    def start(self) -> None:
        """Let clients in, who come by a port of ours."""
        self._forwarder.start()

    def stop(self) -> None:
        """Cut clients off: nothing listens on the port that they know."""
        self._forwarder.stop()

    def restart(self) -> None:
        """Cut clients off, and let them in again."""
        self.stop()
        self.start()

    @property
    def url(self) -> str:
        """Where clients come in."""
        return f"https://127.0.0.1:{self._forwarder.port}"

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return str(self._document["users"][0]["user"]["token"])

    @property
    def version(self) -> str:
        """`1.36.3`."""
        return str(self.api.ask("GET", "/version")[1]["gitVersion"]).removeprefix("v")

    @property
    def requests(self) -> list[Request]:
        """Every request since the start but those of this class, from the audit log, oldest first."""
        if not self._audit.exists():
            self.skip("this cluster's audit log cannot be read")
        with self._audit.open("rb") as log:
            log.seek(self._offset)
            lines = log.read().splitlines()
        events = [json.loads(line) for line in lines if line.endswith(b"}")]
        # What runs for long, as a watch, is there when it starts and when it ends.
        asked = {one["auditID"]: one for one in events if one.get("userAgent") != AGENT}
        return [_parse_event(one) for one in asked.values()]

    @property
    def store(self) -> RealCluster:
        """Objects below all checks: here they are changed by the API."""
        return self

    def add(self, *items: Mapping[str, Any]) -> list[Object]:
        """Create objects as an administrator; a `status` is kept. Raises `ApiException`."""
        return [self._add(dict(item)) for item in items]

    def _add(self, item: Object) -> Object:
        group, plural, namespaced = self.api.kind(item["kind"], item["apiVersion"])
        meta = item["metadata"]
        namespace = meta.get("namespace", "default") if namespaced else ""
        if item["kind"] == "Namespace":
            self._namespaces.add(meta["name"])
        collection = collection_path(group, plural, namespace)
        if not namespaced and item["kind"] != "Namespace":
            self._made.append((collection, meta["name"]))
        body = {key: value for key, value in item.items() if key != "status"}
        status, answer = self.api.ask("POST", collection, body)
        if status == 409 and item["kind"] in ("Namespace", "ServiceAccount"):
            # Left by the test before, or made by a controller.
            status, answer = self.api.ask("GET", f"{collection}/{meta['name']}")
        if status >= 400:
            raise ApiException(status=status, reason=json.dumps(answer))
        if item["kind"] == "CustomResourceDefinition":
            self._wait_until_served(collection, meta["name"])
        if item["kind"] == "Namespace":
            self._wait_for_account(meta["name"])
        return self.set_status(answer, item["status"]) if item.get("status") else answer

    def _wait_until_served(self, collection: str, name: str) -> None:
        def is_established() -> bool:
            found = self.api.ask("GET", f"{collection}/{name}")[1]
            conditions = (found.get("status") or {}).get("conditions") or ()
            return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

        self._until(is_established)

    def _wait_for_account(self, namespace: str) -> None:
        # Pods are refused before the controllers have made it: they may run for as long as that takes.
        paused, self.behaviour.paused = self.behaviour.paused, False
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        self._until(lambda: self.api.ask("GET", path)[0] == 200)
        self.behaviour.paused = paused

    def _until(self, is_met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not is_met():
            if time.monotonic() > deadline:
                raise TimeoutError("timed out waiting for the cluster")
            time.sleep(0.05)

    def set_status(self, item: Object, status: Mapping[str, Any]) -> Object:
        """Replace the status of an object, as its controller would. Raises `ApiException`."""
        path = self.api.path_of(item)
        for _ in range(10):
            current = self.api.ask("GET", path)[1]
            code, answer = self.api.ask("PUT", f"{path}/status", {**current, "status": dict(status)})
            if code != 409:  # a controller wrote in between
                break
        if code >= 400:
            raise ApiException(status=code, reason=json.dumps(answer))
        found: Object = answer
        return found

    def put(self, _bucket: tuple[str, str], item: Object) -> None:
        """Replace an object. Raises `ApiException`."""
        current = self.api.ask("GET", self.api.path_of(item))[1]
        version = {"resourceVersion": current["metadata"]["resourceVersion"]}
        body = {**item, "metadata": {**item["metadata"], **version}}
        code, answer = self.api.ask("PUT", self.api.path_of(item), body)
        if code >= 400:
            raise ApiException(status=code, reason=json.dumps(answer))

    def items(self, bucket: tuple[str, str], namespace: str = "") -> list[Object]:
        """All objects of a kind, by group and plural."""
        for (kind, api_version), (group, plural, namespaced) in self.api.all_kinds().items():
            if (api_version.rpartition("/")[0], plural) == bucket:
                answer = self.api.ask("GET", collection_path(group, plural, namespace if namespaced else ""))[
                    1
                ]
                return [{**one, "kind": kind, "apiVersion": api_version} for one in answer["items"]]
        raise KeyError(bucket)

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        """All objects of a kind."""
        group, plural, namespaced = self.api.kind(kind)
        return list(
            self.api.ask("GET", collection_path(group, plural, namespace if namespaced else ""))[1]["items"]
        )

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """The object, or None."""
        code, answer = self.api.ask("GET", f"{self.api.collection(kind, namespace)}/{name}")
        return answer if code == 200 else None

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete as an administrator, and wait until it is gone. Raises `ApiException` 404."""
        path = f"{self.api.collection(kind, namespace)}/{name}"
        before = self.api.ask("GET", path)[1]
        code, answer = self.api.ask("DELETE", path)
        if kind == "CustomResourceDefinition" and code < 400:
            self._definitions.append(before)  # the next test finds it as it was
        if code >= 400:
            raise ApiException(status=code, reason=json.dumps(answer))
        self._until(lambda: self.api.ask("GET", path)[0] == 404)
        self.api.forget_kinds()

    def token_for(self, name: str, namespace: str = "default", *, secret: str = "") -> str:
        """A bearer token of a service account, bound to a Secret if one is named."""
        accounts = collection_path("/api/v1", "serviceaccounts", namespace)
        self.api.ask("POST", accounts, {"metadata": {"name": name}})  # 409: it is there
        spec: Object = {"expirationSeconds": 7200}
        if secret:
            spec["boundObjectRef"] = {"kind": "Secret", "apiVersion": "v1", "name": secret}
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        code, answer = self.api.ask("POST", f"{accounts}/{name}/token", {**kind, "spec": spec})
        if code >= 400:
            raise ApiException(status=code, reason=json.dumps(answer))
        return str(answer["status"]["token"])

    def kubeconfig(self, path: Path, *, token: str | None = None, namespace: str = "default") -> Path:
        """Write a kubeconfig (mode 0600) that comes in by our port."""
        document = json.loads(json.dumps(self._document))
        document["clusters"][0]["cluster"]["server"] = self.url
        document["contexts"][0]["context"]["namespace"] = namespace
        if token:
            document["users"][0]["user"] = {"token": token}
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=2), encoding="utf-8")
        return path

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.skip(f"a real cluster has no {name}")

    def _wipe(self) -> None:
        """Take away what the test made: a namespace's objects one and all, then the namespace."""
        for item in self._definitions:
            meta = {"name": item["metadata"]["name"]}
            self._add({**item, "metadata": meta, "status": {}})
            self._made.pop()
        for collection, name in reversed(self._made):
            self.api.ask("DELETE", f"{collection}/{name}")
        for name in self._namespaces:
            self.api.ask("DELETE", f"/api/v1/namespaces/{name}")
        for name in self._namespaces:
            self._until(lambda name=name: self.api.ask("GET", f"/api/v1/namespaces/{name}")[0] == 404)  # type: ignore[misc]


def _read_document(path: Path) -> Object:
    document: Object = json.loads(path.read_text(encoding="utf-8"))
    return document


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(host)
    return parts.hostname or "127.0.0.1", parts.port or 443


def _parse_event(event: Object) -> Request:
    """One line of the audit log as the stand-in's own log has it."""
    parts = urlsplit(event["requestURI"])
    query = dict(parse_qsl(parts.query))
    method = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}.get(
        event["verb"], "GET"
    )
    if event["verb"] == "deletecollection":
        method = "DELETE"
    code = (event.get("responseStatus") or {}).get("code", 0)
    target = parse_target(method, parts.path, query)
    return Request(method, parts.path, query, "", event["user"]["username"], target, code)
