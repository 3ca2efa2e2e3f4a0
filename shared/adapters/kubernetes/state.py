"""`StateCluster` over the Kubernetes API: whole objects, and an apply that changes nothing."""

from __future__ import annotations

import re

from shared.cluster_state.model import StateKind
from shared.kernel.errors import Unavailable
from shared.kernel.secret import Secret
from shared.kubernetes.api import KubernetesApi, api_root, connect_api, quoted
from shared.kubernetes.manifest import Manifest

_MANAGER = "groundcrew-restore"


class KubernetesState:
    """The cluster behind `api`."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    def read_version(self) -> str:
        """See `StateCluster.read_version`."""
        match = re.match(r"v?(\d+\.\d+\.\d+)", str(self._api.get("/version").get("gitVersion")))
        if not match:
            raise Unavailable("the cluster tells no version", hint="Is it a Kubernetes API?")
        return match[1]

    def list_objects(self, kind: StateKind, namespace: str = "") -> list[Manifest]:
        """See `StateCluster.list_objects`; the items of a list do not say what they are."""
        return [_typed(kind, item) for item in self._api.list_items(_collection(kind, namespace))]

    def read_object(self, kind: StateKind, namespace: str, name: str) -> Manifest:
        """See `StateCluster.read_object`."""
        return _typed(kind, self._api.get(f"{_collection(kind, namespace)}/{quoted(name)}"))

    def try_apply(self, kind: StateKind, manifest: Manifest) -> None:
        """See `StateCluster.try_apply`."""
        meta = manifest["metadata"]
        place = _collection(kind, str(meta.get("namespace") or ""))
        query = {"fieldManager": _MANAGER, "fieldValidation": "Strict", "force": "true", "dryRun": "All"}
        self._api.apply(f"{place}/{quoted(str(meta['name']))}", manifest, query)


def connect_state(kubeconfig: Secret) -> KubernetesState:
    """The kubeconfig's cluster, which is not asked yet. Raises UsageError."""
    return KubernetesState(connect_api(kubeconfig))


def _collection(kind: StateKind, namespace: str) -> str:
    place = f"/namespaces/{quoted(namespace)}" if kind.namespaced else ""
    return f"{api_root(kind.api_version)}{place}/{kind.plural}"


def _typed(kind: StateKind, item: Manifest) -> Manifest:
    return {**item, "apiVersion": kind.api_version, "kind": kind.kind}
