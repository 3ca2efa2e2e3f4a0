"""`Cluster` over the Kubernetes API, for one namespace, read only."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from shared.kernel.errors import GroundcrewError, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.kubernetes.access import REVIEWS, AccessRight, ServedResource, build_review, parse_review
from shared.kubernetes.api import Json, KubernetesApi, api_root, connect_api, quoted
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.node_disk import QUERY, parse_free_disk
from shared.kubernetes.workloads import (
    Claim,
    ClusterEvent,
    Node,
    Pod,
    Workload,
    parse_claim,
    parse_event,
    parse_node,
    parse_pod,
    parse_quantity_or_zero,
    parse_workload,
    sorted_events,
)

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
RELEASE_TYPE = "helm.sh/release.v1"
_LOG = logging.getLogger(__name__)


class KubernetesCluster:
    """The namespace of `api`; safe for threads. `prometheus` is `namespace/service:port`, empty for none."""

    def __init__(self, api: KubernetesApi, namespace: str, prometheus: str = "") -> None:
        self._api, self._namespace, self._prometheus = api, namespace, prometheus
        self._lock = threading.Lock()
        self._served: dict[str, Mapping[str, tuple[str, bool]]] = {}

    def get_version(self) -> str:
        """See `Cluster.get_version`."""
        match = re.match(r"v?(\d+\.\d+\.\d+)", str(self._api.get("/version").get("gitVersion")))
        if not match:
            raise Unavailable("the cluster tells no version", hint="Is it a Kubernetes API?")
        return match[1]

    def list_workloads(self) -> list[Workload]:
        """See `Cluster.list_workloads`."""
        workloads = [
            parse_workload({"kind": kind, **item})
            for kind, plural in (("Deployment", "deployments"), ("StatefulSet", "statefulsets"))
            for item in self._api.list_items(f"/apis/apps/v1{self._within}/{plural}")
        ]
        return sorted(workloads, key=lambda one: (one.kind, one.name))

    def list_pods(self, selector: str = "") -> list[Pod]:
        """See `Cluster.list_pods`."""
        query = {"labelSelector": selector} if selector else {}
        items = self._api.list_items(f"/api/v1{self._within}/pods", query)
        return sorted(map(parse_pod, items), key=lambda one: one.name)

    def list_events(self, *, warnings_only: bool = True) -> list[ClusterEvent]:
        """See `Cluster.list_events`."""
        query = {"fieldSelector": "type=Warning"} if warnings_only else {}
        return sorted_events(map(parse_event, self._api.list_items(f"/api/v1{self._within}/events", query)))

    def list_secret_keys(self) -> Mapping[str, frozenset[str]]:
        """See `Cluster.list_secret_keys`."""
        # Helm's own records are megabytes, and hold every value of every release.
        query = {"fieldSelector": f"type!={RELEASE_TYPE}"}
        items = self._api.list_items(f"/api/v1{self._within}/secrets", query)
        # Names of keys only: the values are let go of at once, and never logged or compared.
        return {item["metadata"]["name"]: frozenset(item.get("data") or ()) for item in items}

    def list_claims(self) -> list[Claim]:
        """See `Cluster.list_claims`."""
        items = self._api.list_items(f"/api/v1{self._within}/persistentvolumeclaims")
        return sorted(map(parse_claim, items), key=lambda one: one.name)

    def list_nodes(self, *, disks: bool = False) -> list[Node]:
        """See `Cluster.list_nodes`."""
        used = self._memory_used()
        items = list(self._api.list_items("/api/v1/nodes"))
        free = self._disk_free(items) if disks else {}
        return sorted((parse_node(item, used, free) for item in items), key=lambda one: one.name)

    def _memory_used(self) -> dict[str, float]:
        try:
            metrics = list(self._api.list_items("/apis/metrics.k8s.io/v1beta1/nodes"))
        except (NotFound, Refused, Unavailable):
            return {}  # no metrics server, or none that may be asked: the node's own answer will tell
        return {item["metadata"]["name"]: parse_quantity_or_zero(item["usage"]["memory"]) for item in metrics}

    def _disk_free(self, nodes: Sequence[Json]) -> dict[str, float]:
        """Of Prometheus, through the API server, which is the one way into the cluster that the app has.

        https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#manually-constructing-apiserver-proxy-urls
        """
        namespace, _, service = self._prometheus.partition("/")
        if not service:
            return {}
        place = f"/api/v1/namespaces/{quoted(namespace)}/services/http:{quote(service, safe=':')}"
        try:
            answer = self._api.get(f"{place}/proxy/api/v1/query", {"query": QUERY, "timeout": "10s"})
        except GroundcrewError as error:
            # Absent, not up yet, not to be asked, or odd: the disk is estimated, and the gate says so.
            _LOG.info("kubernetes.disk_not_measured", extra={"reason": str(error)})
            return {}
        free = parse_free_disk(answer, nodes)
        if not free:
            _LOG.info("kubernetes.disk_sample_missing", extra={"reason": "no sample of a node"})
        return free

    def resource_of(self, api_version: str, kind: str) -> ServedResource | None:
        """See `Cluster.resource_of`."""
        served = self._kind(api_version, kind)
        return ServedResource(api_version.rpartition("/")[0], *served) if served else None

    def is_allowed(self, right: AccessRight) -> bool:
        """See `Cluster.is_allowed`."""
        return parse_review(self._api.post(REVIEWS, build_review(right)))

    def get_live_objects(self, manifests: Sequence[Manifest]) -> list[Manifest | None]:
        """See `Cluster.get_live_objects`."""
        return [self._live(manifest) for manifest in manifests]

    def _live(self, manifest: Manifest) -> Manifest | None:
        api_version, kind = str(manifest.get("apiVersion", "")), str(manifest.get("kind", ""))
        meta = manifest.get("metadata") or {}
        served = self._kind(api_version, kind)
        if served is None:
            return None
        plural, namespaced = served
        place = f"/namespaces/{quoted(str(meta.get('namespace') or self._namespace))}" if namespaced else ""
        path = f"{api_root(api_version)}{place}/{plural}/{quoted(str(meta.get('name', '')))}"
        try:
            return self._api.get(path)
        except NotFound:
            return None

    def _kind(self, api_version: str, kind: str) -> tuple[str, bool] | None:
        """Plural and scope of a kind; None if it is not served. What was not is asked for again."""
        with self._lock:
            # A chart may bring a CRD and an object of it: what was not served a minute ago may be now.
            if kind not in self._served.get(api_version, {}):
                self._served[api_version] = self._discovered(api_version)
            return self._served[api_version].get(kind)

    def _discovered(self, api_version: str) -> Mapping[str, tuple[str, bool]]:
        if not re.fullmatch(r"[a-z0-9.-]+(/[a-z0-9]+)?", api_version):
            return {}
        try:
            listed = self._api.get(api_root(api_version)).get("resources") or ()
        except NotFound:
            return {}
        return {
            item["kind"]: (item["name"], bool(item["namespaced"]))
            for item in listed
            # `deployments/scale` and the like are subresources, of the same kind as what they belong to.
            if "/" not in item["name"]
        }

    @property
    def _within(self) -> str:
        return f"/namespaces/{self._namespace}"


def connect(kubeconfig: Secret, namespace: str, prometheus: str = "") -> KubernetesCluster:
    """The namespace of the kubeconfig's cluster. Raises UsageError."""
    if not _NAMESPACE.fullmatch(namespace):
        raise UsageError("not a namespace", value=namespace)
    return KubernetesCluster(connect_api(kubeconfig), namespace, prometheus)
