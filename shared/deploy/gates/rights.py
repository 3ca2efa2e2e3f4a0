"""Whether the cluster lets Helm do what the plan needs, asked before anything is done.

Helm names one kind per attempt, after it has written a revision that failed; this names all of them before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from shared.deploy.model import Gate
from shared.kubernetes.access import AccessRight, ServedResource
from shared.kubernetes.images import as_mapping
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.ports import Cluster

# What Helm 4 does with each object: server-side apply is `patch`, and `create` for a new one; it is read
# before, watched until it is ready (`list` where the server streams no lists), and deleted when it leaves the
# chart or a first release fails.
APPLY_VERBS = ("create", "delete", "get", "list", "patch", "watch")
REMOVE_VERBS = ("delete", "get")
# Beside the chart's objects: Helm's records of the release, and what readiness is judged by.
_ALWAYS = (
    *(("", "secrets", verb) for verb in ("create", "delete", "get", "list", "patch", "update", "watch")),
    ("", "pods", "list"),
    ("apps", "deployments", "list"),
    ("apps", "replicasets", "list"),
    ("apps", "statefulsets", "list"),
)
_HINT = (
    "Apply infra/chart/rbac.yaml, which covers the kinds of the official chart; one that is not in it needs "
    f"a rule with the verbs {', '.join(APPLY_VERBS)}"
)


def check_rights(
    cluster: Cluster, before: Sequence[Manifest], after: Sequence[Manifest], *, namespace: str
) -> Gate:
    """The gate `rights`: closed if a right is missing that the change from `before` to `after` needs.

    Kinds that the cluster does not serve are not judged: they do not render. Raises what the port raises.
    """
    needed = set(_needed_rights(cluster, before, after, namespace))
    missing = sorted(right for right in needed if not cluster.is_allowed(right))
    if not missing:
        return Gate("rights", True, f"the service account has all {len(needed)} rights that the plan needs")
    return Gate("rights", False, f"the service account may not {_describe_rights(missing)}", _HINT)


def _needed_rights(
    cluster: Cluster, before: Sequence[Manifest], after: Sequence[Manifest], namespace: str
) -> Iterator[AccessRight]:
    for group, resource, verb in _ALWAYS:
        yield AccessRight(group, resource, verb, namespace)
    for verbs, manifests in ((APPLY_VERBS, after), (REMOVE_VERBS, before)):
        for api_version, kind, own_namespace in sorted({_place_of(manifest) for manifest in manifests}):
            served = cluster.resource_of(api_version, kind)
            if served is not None:
                yield from _rights_on(served, verbs, own_namespace or namespace)


def _rights_on(served: ServedResource, verbs: Iterable[str], namespace: str) -> Iterator[AccessRight]:
    for verb in verbs:
        yield AccessRight(served.group, served.name, verb, namespace if served.namespaced else "")


def _place_of(manifest: Manifest) -> tuple[str, str, str]:
    namespace = as_mapping(manifest.get("metadata")).get("namespace") or ""
    return str(manifest.get("apiVersion")), str(manifest.get("kind")), str(namespace)


def _describe_rights(missing: Sequence[AccessRight]) -> str:
    """`create, get configmaps; list pods in monitoring` and so on."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in missing:
        resource = f"{right.resource}.{right.group}" if right.group else right.resource
        verbs.setdefault((resource, right.namespace), []).append(right.verb)
    return "; ".join(
        f"{', '.join(names)} {resource}" + (f" in {namespace}" if namespace else " of the cluster")
        for (resource, namespace), names in verbs.items()
    )
