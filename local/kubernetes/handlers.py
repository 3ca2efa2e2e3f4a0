"""The verbs on objects and collections: from a parsed request to the registry and back to JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from local.kubernetes import deletion, errors, listing, patch, protobuf
from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.errors import ApiError, Object, bad_request, unsupported_media
from local.kubernetes.registry import Write
from local.kubernetes.requests import RequestTarget, parse_boolean
from local.kubernetes.resources import ApiResource

APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_YAML = ("application/yaml", APPLY)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request, ready to be acted upon."""

    target: RequestTarget
    resource: ApiResource
    query: Mapping[str, str]
    content_type: str
    body: bytes
    agent: str

    def write(self) -> Write:
        """How its write is meant. Raises `ApiError` 422 for an unknown validation."""
        mode = self.query.get("fieldValidation") or "Warn"
        if mode not in ("Ignore", "Warn", "Strict"):
            message = f'Unsupported value: "{mode}": supported values: "", "Ignore", "Strict", "Warn"'
            cause = ("fieldValidation", "FieldValueNotSupported", message)
            raise errors.invalid_error("CreateOptions", "meta.k8s.io", "", [cause])
        return Write(
            # As the API server does it: a client that gives no name owns its fields under that of its
            # program.
            manager=self.query.get("fieldManager") or self.agent.partition("/")[0] or "unknown",
            validation=mode,
            dry_run=bool(self.query.get("dryRun")),
            force=parse_boolean(self.query.get("force")),
            subresource=self.target.subresource,
        )

    def decode_content(self) -> Any:
        """The body as an object. Raises `ApiError` 400, 415."""
        return decode_body(self.body, self.content_type)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    body: Any
    code: int = 200
    warnings: list[str] = field(default_factory=list)
    text: bool = False


def decode_body(body: bytes, content_type: str) -> Any:
    """JSON, YAML or protobuf. Raises `ApiError` 400, 415."""
    try:
        if content_type == protobuf.MEDIA_TYPE:
            return protobuf.decode_envelope(body)
        if content_type in _YAML and not body.lstrip().startswith(b"{"):
            return yaml.safe_load(body)
        if content_type in _YAML or content_type.endswith("json") or content_type in ("", "*/*"):
            return json.loads(body)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from error
    raise unsupported_media(content_type, ("application/json", "application/yaml", protobuf.MEDIA_TYPE))


def read_object(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """GET of an object, or of its status."""
    return Answer(cluster.registry.get(call.resource, call.target.namespace, call.target.name))


def list_collection(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """GET of a collection."""
    chosen = listing.parse_selection(call.resource, call.target, call.query)
    return Answer(listing.list_items(cluster.store, cluster.pages, call.resource, chosen, call.query))


def create_object(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """POST."""
    write = call.write()
    created = cluster.registry.create(call.resource, call.target.namespace, call.decode_content(), write)
    return Answer(created, 201, write.warnings)


def update_object(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """PUT."""
    write, target = call.write(), call.target
    updated = cluster.registry.update(
        call.resource, target.namespace, target.name, call.decode_content(), write
    )
    return Answer(updated, 200, write.warnings)


def patch_object(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """PATCH in any of its four kinds."""
    write, target, resource = call.write(), call.target, call.resource
    if call.content_type == APPLY:
        if not call.query.get("fieldManager"):
            cause = ("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
            raise errors.invalid_error("PatchOptions", "meta.k8s.io", "", [cause])
        item, new = cluster.registry.apply(
            resource, target.namespace, target.name, call.decode_content(), write
        )
        return Answer(item, 201 if new else 200, write.warnings)
    body = call.decode_content()

    def change(current: Object) -> Any:
        return patched_object(cluster, call, current, body)

    item = cluster.registry.edit(resource, target.namespace, target.name, change, write)
    return Answer(item, 200, write.warnings)


def patched_object(cluster: EmbeddedCluster, call: ApiCall, current: Object, body: Any) -> Any:
    """What a patch other than apply makes of an object. Raises `ApiError` 400, 415, 422."""
    if call.content_type == _JSON_PATCH:
        return patch.json_patch(current, body)
    if call.content_type == _MERGE and isinstance(body, dict):
        return patch.merge_patch(current, body)
    # https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/: not for
    # custom resources, for which clients have to choose a merge patch.
    if call.content_type == _STRATEGIC and not call.resource.custom and isinstance(body, dict):
        return patch.strategic_merge(current, body, cluster.registry.shape(call.resource))
    allowed = [_JSON_PATCH, _MERGE, APPLY] + ([] if call.resource.custom else [_STRATEGIC])
    raise unsupported_media(call.content_type, allowed)


def delete_object(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """DELETE of an object."""
    target = call.target
    return Answer(
        deletion.delete_object(
            cluster.registry, call.resource, target.namespace, target.name, delete_options(call)
        )
    )


def delete_collection(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """DELETE of a collection."""
    listed = list_collection(cluster, call).body
    for item in listed["items"]:
        meta = item["metadata"]
        deletion.delete_object(
            cluster.registry, call.resource, meta.get("namespace", ""), meta["name"], delete_options(call)
        )
    return Answer(listed)


def delete_options(call: ApiCall) -> Object:
    """From the body or, for clients that send none, from the query. Raises `ApiError` 400."""
    options = call.decode_content() if call.body else {}
    if not isinstance(options, dict):
        raise bad_request("the body of a deletion is a DeleteOptions object")
    for name in ("propagationPolicy", "dryRun"):
        if call.query.get(name):
            options.setdefault(name, call.query[name])
    if call.query.get("gracePeriodSeconds"):
        options.setdefault("gracePeriodSeconds", listing.read_number(call.query, "gracePeriodSeconds"))
    return options


HANDLERS = {
    "get": read_object,
    "list": list_collection,
    "create": create_object,
    "update": update_object,
    "patch": patch_object,
    "delete": delete_object,
    "deletecollection": delete_collection,
}


def dispatch_call(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """Do what the request says. Raises `ApiError`."""
    handler = HANDLERS.get(call.target.verb)
    if handler is None or (call.target.verb == "create" and call.target.name):
        raise ApiError(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
        )
    return handler(cluster, call)
