"""Requests to a real cluster as an administrator, by kind: what a cluster serves is asked of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from local.kubernetes.errors import Object

AGENT = "groundcrew-tests"  # by which these requests are told from those that are tested


class ClusterApi:
    """The API of a kubeconfig's cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        configuration = client.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=configuration)
        configuration.retries = False
        self._client = client.ApiClient(configuration)
        self._client.user_agent = AGENT
        self._kinds: dict[tuple[str, str], tuple[str, str, bool]] = {}
        self.host = str(configuration.host)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def forget_kinds(self) -> None:
        """Ask anew what is served."""
        self._kinds.clear()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON."""
        try:
            answer, code, _ = self._client.call_api(
                path, method, body=body, response_type="object", auth_settings=["BearerToken"],
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                _return_http_data_only=False,
            )  # fmt: skip
        except ApiException as error:
            with contextlib.suppress(TypeError, ValueError):
                return error.status, json.loads(error.body)
            return error.status, {"message": str(error.reason)}
        return code, answer

    def kind(self, kind: str, api_version: str = "") -> tuple[str, str, bool]:
        """Path of the group and version, plural, and whether it is in a namespace. Raises KeyError."""
        for _ in range(2):
            for (each, version), found in self.all_kinds().items():
                if each == kind and api_version in ("", version):
                    return found
            self._kinds.clear()  # it may have been added since
        raise KeyError(f"{api_version} {kind}")

    def all_kinds(self) -> dict[tuple[str, str], tuple[str, str, bool]]:
        """By kind and version: path of the group, plural, whether it is in a namespace."""
        if not self._kinds:
            groups = self.ask("GET", "/apis")[1]["groups"]
            paths = [
                "/api/v1",
                *(f"/apis/{version['groupVersion']}" for one in groups for version in one["versions"]),
            ]
            for path in paths:
                code, answer = self.ask("GET", path)
                if code == 200:  # a definition that was just deleted is listed for a moment longer
                    self._kinds |= dict(_kinds_of(path, answer))
        return self._kinds

    def path_of(self, item: Object) -> str:
        """Where the object is."""
        meta = item["metadata"]
        place = self.collection(item["kind"], meta.get("namespace", "default"), item["apiVersion"])
        return f"{place}/{meta['name']}"

    def collection(self, kind: str, namespace: str = "", api_version: str = "") -> str:
        """Where objects of a kind are; the namespace is for kinds that are in one. Raises KeyError."""
        group, plural, namespaced = self.kind(kind, api_version)
        return collection_path(group, plural, namespace if namespaced else "")


def _kinds_of(path: str, answer: Object) -> Iterator[tuple[tuple[str, str], tuple[str, str, bool]]]:
    for resource in answer["resources"]:
        if "/" not in resource["name"]:
            key = (resource["kind"], answer["groupVersion"])
            yield key, (path, resource["name"], resource["namespaced"])


def collection_path(group_path: str, plural: str, namespace: str) -> str:
    """Where the objects of a kind are; an empty namespace for those in none, or in all."""
    return f"{group_path}/namespaces/{namespace}/{plural}" if namespace else f"{group_path}/{plural}"
