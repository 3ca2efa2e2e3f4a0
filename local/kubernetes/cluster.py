"""Everything that outlives a restart of the API server: objects, pages, logs, tokens, the log of requests."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Hashable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from local.kubernetes import deletion
from local.kubernetes.access import User, make_token, service_account
from local.kubernetes.addons import seed_objects
from local.kubernetes.behaviour import Behaviour, PodProgram
from local.kubernetes.errors import Object
from local.kubernetes.listing import Pages
from local.kubernetes.registry import Registry, Write
from local.kubernetes.requests import Request
from local.kubernetes.resources import ApiResource
from local.kubernetes.store import Store

ADMIN = User("admin", ("system:masters", "system:authenticated"))


class EmbeddedCluster:
    """The state of a MicroK8s of one node. Objects are added by `add`, read by `get` and `list`."""

    def __init__(self, version: str = "1.31", behaviour: Behaviour | None = None) -> None:
        self.version = version
        self.behaviour = behaviour or Behaviour()
        self.store = Store()
        self.registry = Registry(self.store, version)
        self.pages = Pages()
        self.requests: list[Request] = []
        self.logs: dict[tuple[str, str, str], list[str]] = {}
        self.timers: dict[Hashable, float] = {}
        self.programs: dict[tuple[str, str], PodProgram] = {}  # by the pod's uid and the container's name
        self.admin_token = secrets.token_urlsafe(24)
        self.tokens: dict[str, User] = {self.admin_token: ADMIN}
        self.bound: dict[str, tuple[str, str, datetime | None]] = {}  # namespace, Secret, end
        # A token that was just accepted is accepted for so long even if its Secret is gone meanwhile:
        # https://github.com/kubernetes/kubernetes/blob/master/pkg/kubeapiserver/authenticator/config.go
        # has a cache of successes. In simulated seconds.
        self.token_cache_seconds = 10.0
        self._accepted: dict[str, float] = {}
        self.longest_token_seconds = 365 * 86400  # what --service-account-max-token-expiration allows

    def seed(self) -> None:
        """Put what a fresh MicroK8s with its usual add-ons has."""
        self.add(*seed_objects(self.version))

    def resource(self, kind: str, api_version: str = "") -> ApiResource:
        """The served resource of a kind. Raises KeyError."""
        found = self.registry.catalogue.by_kind(api_version, kind) if api_version else None
        return found or self.registry.catalogue.find_kind(kind)

    def add(self, *items: Mapping[str, Any]) -> list[Object]:
        """Create objects as an administrator would; a `status` is kept. Raises `ApiError`."""
        created = []
        for item in items:
            resource = self.resource(item["kind"], item["apiVersion"])
            namespace = item["metadata"].get("namespace", "default") if resource.namespaced else ""
            new = self.registry.create(resource, namespace, item, Write("groundcrew-seed", "Strict"))
            if "status" in item and "status" in resource.subresources:
                new = self.set_status(new, item["status"])
            created.append(new)
        return created

    def set_status(self, item: Object, status: Mapping[str, Any], manager: str = "groundcrew-seed") -> Object:
        """Replace the status of an object, as its controller would."""
        resource = self.resource(item["kind"], item["apiVersion"])
        meta = item["metadata"]
        write = Write(manager, "Ignore", subresource="status")

        def change(current: Object) -> Object:
            return {**current, "status": dict(status)}

        return self.registry.edit(resource, meta.get("namespace", ""), meta["name"], change, write)

    def get(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """A copy of the object, or None."""
        resource = self.resource(kind)
        item = self.store.get(resource.bucket, namespace if resource.namespaced else "", name)
        copied: Object | None = json.loads(json.dumps(item))
        return copied

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        """Copies of all objects of a kind."""
        copied: list[Object] = json.loads(json.dumps(self.store.items(self.resource(kind).bucket, namespace)))
        return copied

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete as an administrator would. Raises `ApiError` 404."""
        deletion.delete_object(self.registry, self.resource(kind), namespace, name, {})

    def token_for(
        self, name: str, namespace: str = "default", *, secret: str = "", ends: datetime | None = None
    ) -> str:
        """A bearer token of a service account, who may do only what RBAC objects allow.

        One that is bound to a Secret is a JWT that says so, and ends with it or at `ends`.
        """
        token = make_token(namespace, name, secret, ends) if secret else secrets.token_urlsafe(24)
        self.tokens[token] = service_account(namespace, name)
        if secret:
            self.bound[token] = (namespace, secret, ends)
        return token

    def find_user(self, token: str) -> User | None:
        """Whose token it is; None for one that is nobody's, has ended, or whose Secret is gone."""
        namespace, secret, ends = self.bound.get(token, ("", "", None))
        if ends is not None and self.registry.now() >= ends:
            return None
        now = time.monotonic()
        if secret and self.store.get(("", "secrets"), namespace, secret) is None:
            until = self._accepted.get(token, 0.0)
            return self.tokens.get(token) if now < until else None
        self._accepted.setdefault(token, 0.0)
        if now >= self._accepted[token]:
            self._accepted[token] = now + self.token_cache_seconds * self.behaviour.second
        return self.tokens.get(token)

    def save(self, path: Path) -> None:
        """Write all objects to a file, for a later process."""
        with self.store.lock:
            items = [[*bucket, item] for bucket, item in self.store.all()]
            document = {"revision": self.store.revision, "token": self.admin_token, "items": items}
        path.touch(mode=0o600)
        path.write_text(json.dumps(document), "utf-8")

    def load(self, path: Path) -> None:
        """Begin with what `save` wrote. Raises OSError, ValueError."""
        document = json.loads(path.read_text("utf-8"))
        self.store.load(
            document["revision"], [((group, plural), item) for group, plural, item in document["items"]]
        )
        self.admin_token = document["token"]
        self.tokens = {self.admin_token: ADMIN}
