"""What is served: the built-in kinds of a Kubernetes cluster, and those that CRDs add at run time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from local.kubernetes.errors import Object

Bucket = tuple[str, str]
"""(group, plural): where objects of all versions of a kind are kept."""

STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class ApiResource:
    """One kind in one version, as discovery describes it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    short: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    verbs: tuple[str, ...] = STANDARD_VERBS
    schema: Object | None = None
    """Of a custom resource: its OpenAPI v3 schema; built-in kinds are found by their name."""
    custom: bool = False

    @property
    def bucket(self) -> Bucket:
        """The key of its objects in the store."""
        return (self.group, self.plural)

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version


# kind plural scope(n|c) short subresources, by group and version
_BUILT_IN = {
    "v1": """
        ConfigMap configmaps n cm -
        Endpoints endpoints n ep -
        Event events n ev -
        LimitRange limitranges n limits -
        Namespace namespaces c ns status,finalize
        Node nodes c no status
        PersistentVolume persistentvolumes c pv status
        PersistentVolumeClaim persistentvolumeclaims n pvc status
        Pod pods n po status,log,eviction,portforward
        ResourceQuota resourcequotas n quota status
        Secret secrets n - -
        Service services n svc status,proxy
        ServiceAccount serviceaccounts n sa token
    """,
    "apps/v1": """
        ControllerRevision controllerrevisions n - -
        DaemonSet daemonsets n ds status
        Deployment deployments n deploy status,scale
        ReplicaSet replicasets n rs status,scale
        StatefulSet statefulsets n sts status,scale
    """,
    "batch/v1": """
        CronJob cronjobs n cj status
        Job jobs n - status
    """,
    "autoscaling/v2": "HorizontalPodAutoscaler horizontalpodautoscalers n hpa status",
    "policy/v1": "PodDisruptionBudget poddisruptionbudgets n pdb status",
    "networking.k8s.io/v1": """
        Ingress ingresses n ing status
        IngressClass ingressclasses c - -
        NetworkPolicy networkpolicies n netpol -
    """,
    "rbac.authorization.k8s.io/v1": """
        ClusterRole clusterroles c - -
        ClusterRoleBinding clusterrolebindings c - -
        Role roles n - -
        RoleBinding rolebindings n - -
    """,
    "coordination.k8s.io/v1": "Lease leases n - -",
    "discovery.k8s.io/v1": "EndpointSlice endpointslices n - -",
    "events.k8s.io/v1": "Event events n ev -",
    "storage.k8s.io/v1": "StorageClass storageclasses c sc -",
    "scheduling.k8s.io/v1": "PriorityClass priorityclasses c pc -",
    "admissionregistration.k8s.io/v1": """
        MutatingWebhookConfiguration mutatingwebhookconfigurations c - -
        ValidatingWebhookConfiguration validatingwebhookconfigurations c - -
    """,
    "apiextensions.k8s.io/v1": "CustomResourceDefinition customresourcedefinitions c crd,crds status",
    "apiregistration.k8s.io/v1": "APIService apiservices c - status",
}
# Kinds that are only posted and answered, never kept.
_REVIEWS = {
    "authorization.k8s.io/v1": "SelfSubjectAccessReview selfsubjectaccessreviews c - -",
    "authentication.k8s.io/v1": "SelfSubjectReview selfsubjectreviews c - -",
}
_METRICS = {"metrics.k8s.io/v1beta1": "NodeMetrics nodes c - -\nPodMetrics pods n - -"}


def _parse_table(table: dict[str, str], verbs: tuple[str, ...]) -> Iterator[ApiResource]:
    for api_version, lines in table.items():
        group, _, version = api_version.rpartition("/")
        for line in filter(None, map(str.strip, lines.splitlines())):
            kind, plural, scope, short, extra = line.split()
            yield ApiResource(
                group,
                version,
                plural,
                kind,
                scope == "n",
                _split_names(short),
                frozenset(_split_names(extra)),
                verbs,
            )


def _split_names(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


BUILT_IN = (
    *_parse_table(_BUILT_IN, STANDARD_VERBS),
    *_parse_table(_REVIEWS, ("create",)),
    *_parse_table(_METRICS, ("get", "list")),
)


def of_definition(definition: Object) -> Iterator[ApiResource]:
    """The resources that a CustomResourceDefinition brings, one for each served version."""
    spec = definition["spec"]
    names = spec["names"]
    for version in spec["versions"]:
        if version.get("served"):
            yield ApiResource(
                spec["group"],
                version["name"],
                names["plural"],
                names["kind"],
                spec["scope"] == "Namespaced",
                tuple(names.get("shortNames") or ()),
                frozenset(version.get("subresources") or ()),
                schema=(version.get("schema") or {}).get("openAPIV3Schema") or {},
                custom=True,
            )


class Catalogue:
    """Finds resources by path or by kind; knows the built-in ones and the given definitions."""

    def __init__(self, definitions: Iterable[Object] = ()) -> None:
        self.resources: list[ApiResource] = list(BUILT_IN)
        for definition in definitions:
            self.resources += of_definition(definition)
        self._by_path = {(r.group, r.version, r.plural): r for r in self.resources}
        self._by_kind = {(r.api_version, r.kind): r for r in self.resources}

    def by_path(self, group: str, version: str, plural: str) -> ApiResource | None:
        """The resource at `/apis/<group>/<version>/<plural>`."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> ApiResource | None:
        """The resource of an object's `apiVersion` and `kind`."""
        return self._by_kind.get((api_version, kind))

    def find_kind(self, kind: str) -> ApiResource:
        """The first resource of that kind, for callers who need no version. Raises KeyError."""
        for resource in self.resources:
            if resource.kind == kind:
                return resource
        raise KeyError(kind)

    def group_versions(self) -> dict[str, list[str]]:
        """The versions of each group, in the order they were registered."""
        versions: dict[str, list[str]] = {}
        for resource in self.resources:
            known = versions.setdefault(resource.group, [])
            if resource.version not in known:
                known.append(resource.version)
        return versions
