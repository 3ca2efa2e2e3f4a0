"""`Cluster` over the Kubernetes API, for one namespace, read only.

The objects are taken as JSON, without the client's models: those drop what they do not know, and take a
tenth of a second per hundred pods to build.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.kubernetes.access import AccessRight, ServedResource
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

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_MOST_ANSWER_BYTES = 64 << 20
_PAGE, _MOST_PAGES = 250, 40
_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RELEASE_TYPE = "helm.sh/release.v1"
_LOG = logging.getLogger(__name__)
Json = Mapping[str, Any]


class KubernetesCluster:
    """The namespace of `api`; safe for threads. `prometheus` is `namespace/service:port`, empty for none."""

    def __init__(self, api: ApiClient, namespace: str, prometheus: str = "") -> None:
        self._api, self._namespace, self._prometheus = api, namespace, prometheus
        self._lock = threading.Lock()
        self._served: dict[str, Mapping[str, tuple[str, bool]]] = {}

    def version(self) -> str:
        """See `Cluster.version`."""
        found = re.match(r"v?(\d+\.\d+\.\d+)", str(self._get("/version").get("gitVersion")))
        if not found:
            raise Unavailable("the cluster tells no version", hint="Is it a Kubernetes API?")
        return found[1]

    def workloads(self) -> list[Workload]:
        """See `Cluster.workloads`."""
        found = [
            parse_workload({"kind": kind, **item})
            for kind, plural in (("Deployment", "deployments"), ("StatefulSet", "statefulsets"))
            for item in self._list(f"/apis/apps/v1{self._within}/{plural}")
        ]
        return sorted(found, key=lambda one: (one.kind, one.name))

    def pods(self, selector: str = "") -> list[Pod]:
        """See `Cluster.pods`."""
        asked = {"labelSelector": selector} if selector else {}
        found = self._list(f"/api/v1{self._within}/pods", asked)
        return sorted(map(parse_pod, found), key=lambda one: one.name)

    def events(self, *, warnings_only: bool = True) -> list[ClusterEvent]:
        """See `Cluster.events`."""
        asked = {"fieldSelector": "type=Warning"} if warnings_only else {}
        return sorted_events(map(parse_event, self._list(f"/api/v1{self._within}/events", asked)))

    def secret_keys(self) -> Mapping[str, frozenset[str]]:
        """See `Cluster.secret_keys`."""
        asked = {"fieldSelector": f"type!={RELEASE_TYPE}"}
        found = self._list(f"/api/v1{self._within}/secrets", asked)
        return {item["metadata"]["name"]: frozenset(item.get("data") or ()) for item in found}

    def claims(self) -> list[Claim]:
        """See `Cluster.claims`."""
        found = self._list(f"/api/v1{self._within}/persistentvolumeclaims")
        return sorted(map(parse_claim, found), key=lambda one: one.name)

    def nodes(self, *, disks: bool = False) -> list[Node]:
        """See `Cluster.nodes`."""
        used = self._memory_used()
        items = list(self._list("/api/v1/nodes"))
        free = self._disk_free(items) if disks else {}
        return sorted((parse_node(item, used, free) for item in items), key=lambda one: one.name)

    def _memory_used(self) -> dict[str, float]:
        try:
            found = list(self._list("/apis/metrics.k8s.io/v1beta1/nodes"))
        except (NotFound, Refused, Unavailable):
            return {}  # no metrics server, or none that may be asked: the node's own answer will tell
        return {item["metadata"]["name"]: parse_quantity_or_zero(item["usage"]["memory"]) for item in found}

    def _disk_free(self, nodes: Sequence[Json]) -> dict[str, float]:
        """Of Prometheus, through the API server, which is the one way into the cluster that the app has.

        https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#manually-constructing-apiserver-proxy-urls
        """
        namespace, _, service = self._prometheus.partition("/")
        if not service:
            return {}
        place = f"/api/v1/namespaces/{_quoted(namespace)}/services/http:{quote(service, safe=':')}"
        try:
            answer = self._get(f"{place}/proxy/api/v1/query", {"query": QUERY, "timeout": "10s"})
        except GroundcrewError as error:
            # Absent, not up yet, not to be asked, or odd: the disk is estimated, and the gate says so.
            _LOG.info("kubernetes.disk_not_measured", extra={"reason": str(error)})
            return {}
        found = parse_free_disk(answer, nodes)
        if not found:
            _LOG.info("kubernetes.disk_not_measured", extra={"reason": "Prometheus has no sample of a node"})
        return found

    def resource_of(self, api_version: str, kind: str) -> ServedResource | None:
        """See `Cluster.resource_of`."""
        served = self._kind(api_version, kind)
        return ServedResource(api_version.rpartition("/")[0], *served) if served else None

    def may(self, right: AccessRight) -> bool:
        """See `Cluster.may`.

        https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
        """
        attributes = {"group": right.group, "resource": right.resource, "verb": right.verb}
        if right.namespace:
            attributes["namespace"] = right.namespace
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._call("POST", _REVIEWS, body=review)
        status = answer.get("status")
        return isinstance(status, dict) and status.get("allowed") is True

    def live(self, manifests: Sequence[Manifest]) -> list[Manifest | None]:
        """See `Cluster.live`."""
        return [self._live(manifest) for manifest in manifests]

    def _live(self, manifest: Manifest) -> Manifest | None:
        api_version, kind = str(manifest.get("apiVersion", "")), str(manifest.get("kind", ""))
        meta = manifest.get("metadata") or {}
        served = self._kind(api_version, kind)
        if served is None:
            return None
        plural, namespaced = served
        place = f"/namespaces/{_quoted(str(meta.get('namespace') or self._namespace))}" if namespaced else ""
        path = f"{_root(api_version)}{place}/{plural}/{_quoted(str(meta.get('name', '')))}"
        try:
            return self._get(path)
        except NotFound:
            return None

    def _kind(self, api_version: str, kind: str) -> tuple[str, bool] | None:
        """Plural and scope of a kind; None if it is not served. What was not is asked for again."""
        with self._lock:
            if kind not in self._served.get(api_version, {}):
                self._served[api_version] = self._discovered(api_version)
            return self._served[api_version].get(kind)

    def _discovered(self, api_version: str) -> Mapping[str, tuple[str, bool]]:
        if not re.fullmatch(r"[a-z0-9.-]+(/[a-z0-9]+)?", api_version):
            return {}
        try:
            listed = self._get(_root(api_version)).get("resources") or ()
        except NotFound:
            return {}
        return {
            item["kind"]: (item["name"], bool(item["namespaced"]))
            for item in listed
            if "/" not in item["name"]
        }

    @property
    def _within(self) -> str:
        return f"/namespaces/{self._namespace}"

    def _list(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Json]:
        asked = {"limit": str(_PAGE), **(query or {})}
        for _ in range(_MOST_PAGES):
            page = self._get(path, asked)
            yield from page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            asked["continue"] = token
        raise Refused("the cluster lists more than is read", value=path, hint="Tidy the namespace up")

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        return self._call("GET", path, query)

    def _call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Json | None = None
    ) -> Json:
        import urllib3
        from kubernetes.client import ApiException

        try:
            answer, _status, _headers = self._api.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                response_type=None,
                _preload_content=False,
                _request_timeout=_TIMEOUT,
            )
            data = answer.read(_MOST_ANSWER_BYTES + 1)
            answer.release_conn()
            content = json.loads(data)
        except ApiException as error:
            # Not chained: the exception's text has the headers and the whole answer in it.
            raise failure(error.status, _said(error.body), path) from None
        except (urllib3.exceptions.HTTPError, ValueError, OSError, RecursionError) as error:
            raise Unavailable(
                "the cluster does not answer", value=type(error).__name__, hint="Is the VM up?"
            ) from error
        if not isinstance(content, dict):
            raise Unavailable("the cluster's answer is not an object", value=path)
        return content


def failure(status: int, said: str, path: str) -> GroundcrewError:
    """The API's refusal in our words. `status` is 0 if there was no answer."""
    if status == 401:
        return Refused("the cluster does not accept the kubeconfig", hint="Export it anew")
    if status == 403:
        hint = "Compare infra/chart/rbac.yaml with what the cluster has"
        return Refused("the cluster does not allow it", value=said or path, hint=hint)
    if status == 404:
        return NotFound("the cluster does not have it", value=path)
    if status in (409, 410):  # 410: the list was too old to be continued
        return Conflict("the cluster changed meanwhile", value=path)
    if 400 <= status < 500 and status != 429:
        return UsageError("the cluster does not understand", value=f"{path}: {said}")
    return Unavailable("the cluster does not answer", value=f"HTTP {status}", hint="Is the VM up?")


def _said(body: object) -> str:
    """The `message` of the Status object that the API answers with, cut."""
    try:
        said = json.loads(body if isinstance(body, str | bytes) else "null")
    except ValueError:
        return ""
    return str(said.get("message") or "")[:300] if isinstance(said, dict) else ""


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _quoted(name: str) -> str:
    return quote(name, safe="")


def connect(kubeconfig: Secret, namespace: str, prometheus: str = "") -> KubernetesCluster:
    """The namespace of the kubeconfig's cluster. Imports the client. Raises UsageError."""
    import yaml
    from kubernetes import client, config

    if not _NAMESPACE.fullmatch(namespace):
        raise UsageError("not a namespace", value=namespace)
    settings = client.Configuration()
    try:
        loaded = yaml.safe_load(kubeconfig.reveal())
        config.load_kube_config_from_dict(loaded, client_configuration=settings)
    except (config.ConfigException, yaml.YAMLError, TypeError, AttributeError, ValueError):
        # Not chained: the parsers quote the line, which may hold the token.
        raise UsageError("the kubeconfig cannot be read", hint="Export it anew: microk8s config") from None
    settings.retries = False
    return KubernetesCluster(client.ApiClient(settings), namespace, prometheus)
