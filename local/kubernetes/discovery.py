"""What the server says of itself: version, groups, resources, and OpenAPI v3 stubs.

A stub with the kind and the `fieldValidation` parameter of PATCH is all that Helm and kubectl look for.
"""

from __future__ import annotations

import hashlib
from typing import Any

from local.kubernetes.errors import Object, no_such_path
from local.kubernetes.resources import ApiResource, Catalogue


def version_info(minor: str) -> Object:
    """`/version` for a Kubernetes version such as `1.31`."""
    major, _, rest = minor.partition(".")
    return {
        "major": major,
        "minor": rest,
        "gitVersion": f"v{minor}.0",
        "gitCommit": hashlib.sha256(minor.encode()).hexdigest()[:40],
        "gitTreeState": "clean",
        "buildDate": "2025-01-01T00:00:00Z",
        "goVersion": "go1.23",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def api_versions() -> Object:
    """`/api`."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def api_group(name: str, versions: list[str]) -> Object:
    """`/apis/<group>`."""
    entries = [{"groupVersion": f"{name}/{each}", "version": each} for each in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": entries,
        "preferredVersion": entries[0],
    }


def group_list(catalogue: Catalogue) -> Object:
    """`/apis`."""
    groups = [api_group(name, versions) for name, versions in catalogue.group_versions().items() if name]
    for group in groups:
        # Within the list the groups carry neither; a strict client refuses them.
        del group["kind"], group["apiVersion"]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def resource_list(catalogue: Catalogue, group_name: str, version_name: str) -> Object | None:
    """`/api/v1`, `/apis/<group>/<version>`; None if there is no such version."""
    resources: list[Object] = []
    group_version = ""
    for resource in catalogue.resources:
        if (resource.group, resource.version) == (group_name, version_name):
            group_version = resource.api_version
            resources += _resource_items(resource)
    if not resources:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }


def _resource_items(resource: ApiResource) -> list[Object]:
    whole: Object = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short:
        whole["shortNames"] = list(resource.short)
    if "watch" in resource.verbs and resource.plural in (
        "pods",
        "services",
        "deployments",
        "replicasets",
        "statefulsets",
        "daemonsets",
        "jobs",
    ):
        # What `kubectl get all` shows.
        whole["categories"] = ["all"]
    parts = [_subresource_item(resource, name) for name in sorted(resource.subresources)]
    return [whole, *parts]


_SUBRESOURCES: dict[str, tuple[list[str], Object]] = {
    "scale": (["get", "patch", "update"], {"group": "autoscaling", "version": "v1", "kind": "Scale"}),
    "log": (["get"], {}),
    "eviction": (["create"], {"group": "policy", "version": "v1", "kind": "Eviction"}),
    "portforward": (["create", "get"], {"kind": "PodPortForwardOptions"}),
    "token": (["create"], {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}),
    "finalize": (["update"], {}),
    "proxy": (["get"], {"kind": "ServiceProxyOptions"}),
}


def _subresource_item(resource: ApiResource, name: str) -> Object:
    verbs, kind = _SUBRESOURCES.get(name, (["get", "patch", "update"], {}))
    return {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        **kind,
        "verbs": verbs,
    }


def openapi_index(catalogue: Catalogue) -> Object:
    """`/openapi/v3`: where the document of each version is."""
    paths = {}
    for name, versions in catalogue.group_versions().items():
        for each in versions:
            path = f"apis/{name}/{each}" if name else f"api/{each}"
            document = openapi_document(catalogue, name, each)
            # Clients keep a document for as long as this is the same.
            digest = hashlib.sha256(repr(document).encode()).hexdigest().upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


_VALIDATED: Object = {
    "name": "fieldValidation",
    "in": "query",
    "schema": {"type": "string", "uniqueItems": True},
}


def openapi_document(catalogue: Catalogue, group_name: str, version_name: str) -> Object:
    """`/openapi/v3/<path>`: the kinds, without their fields."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for resource in catalogue.resources:
        if (resource.group, resource.version) != (group_name, version_name) or "patch" not in resource.verbs:
            continue
        gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        base = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        operation = {"parameters": [_VALIDATED], "x-kubernetes-group-version-kind": gvk, "responses": {}}
        paths[f"{base}{scope}/{resource.plural}/{{name}}"] = {
            "patch": {**operation, "x-kubernetes-action": "patch"},
            "put": {**operation, "x-kubernetes-action": "put"},
        }
        name = f"{resource.group or 'core'}.{resource.version}.{resource.kind}"
        schemas[name] = {"type": "object", "x-kubernetes-group-version-kind": [gvk]}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version_name},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def describe_path(catalogue: Catalogue, minor: str, path: str) -> Object:
    """What is answered at a path that names no resource. Raises `ApiError` 404."""
    body: Object | None = None
    match [part for part in path.split("/") if part]:
        case ["version"]:
            body = version_info(minor)
        case ["api"]:
            body = api_versions()
        case ["apis"]:
            body = group_list(catalogue)
        case ["api", each]:
            body = resource_list(catalogue, "", each)
        case ["apis", name] if name in catalogue.group_versions():
            body = api_group(name, catalogue.group_versions()[name])
        case ["apis", name, each]:
            body = resource_list(catalogue, name, each)
        case ["openapi", "v3", *rest]:
            body = _openapi_at(catalogue, rest)
    if body is None:
        raise no_such_path()
    return body


def _openapi_at(catalogue: Catalogue, rest: list[str]) -> Object | None:
    match rest:
        case []:
            return openapi_index(catalogue)
        case ["api", each]:
            return openapi_document(catalogue, "", each)
        case ["apis", name, each]:
            return openapi_document(catalogue, name, each)
    return None
