"""What happens to an object between the request and the store: decoding, defaults, checks, ownership.

Controllers and tests write through the same functions as the HTTP handlers do.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from local.kubernetes import admission, defaults, errors, rules, validation
from local.kubernetes import apply as server_side
from local.kubernetes.copying import copy_json
from local.kubernetes.errors import ApiError, Object, bad_request
from local.kubernetes.resources import ApiResource, Bucket, Catalogue
from local.kubernetes.schema import Shape, shape_of
from local.kubernetes.store import Store

NAMESPACES: Bucket = ("", "namespaces")
_PODS: Bucket = ("", "pods")
DEFINITIONS: Bucket = ("apiextensions.k8s.io", "customresourcedefinitions")
# Built-in groups whose objects count the generations of their spec.
_COUNTED_GROUPS = ("apps", "batch", "networking.k8s.io", "policy", "apiextensions.k8s.io")
_KEPT_META = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


@dataclass(slots=True)
class Write:
    """How a write is meant, and the warnings that it brought."""

    manager: str = "unknown"
    validation: str = "Warn"  # Ignore, Warn or Strict
    dry_run: bool = False
    force: bool = False
    subresource: str = ""
    operation: str = "Update"
    warnings: list[str] = field(default_factory=list)

    def manager_of(self, resource: ApiResource) -> server_side.Manager:
        """The identity under which the written fields are owned."""
        return server_side.Manager(self.manager, self.operation, resource.api_version, self.subresource)


def format_timestamp(now: datetime) -> str:
    """Seconds in UTC, as `metav1.Time` is written."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Registry:
    """Creates, updates and deletes objects by the rules of the kinds that are served."""

    def __init__(
        self, store: Store, version: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.store, self.version, self.now = store, version, now
        self._catalogue: tuple[tuple[str, ...], Catalogue] | None = None

    @property
    def catalogue(self) -> Catalogue:
        """What is served at the moment."""
        definitions = self.store.items(DEFINITIONS)
        stamp = tuple(item["metadata"]["resourceVersion"] for item in definitions)
        # A definition that was just added is served by the next request, as a chart with its own kinds
        # expects it.
        if self._catalogue is None or self._catalogue[0] != stamp:
            self._catalogue = (stamp, Catalogue(definitions))
        return self._catalogue[1]

    def shape(self, resource: ApiResource) -> Shape:
        """The schema of the kind."""
        return shape_of(resource, self.version)

    def get(self, resource: ApiResource, namespace: str, name: str) -> Object:
        """The stored object, not to be changed. Raises `ApiError` 404."""
        item = self.store.get(resource.bucket, namespace if resource.namespaced else "", name)
        if item is None:
            raise errors.not_found_error(resource.plural, resource.group, name)
        return as_version(item, resource)

    def create(self, resource: ApiResource, namespace: str, body: Any, write: Write) -> Object:
        """Raises `ApiError` 400, 403, 404, 409, 422."""
        shape = self.shape(resource)
        item, warnings = validation.decode_object(copy_json(body), resource, shape, write.validation)
        write.warnings += warnings
        with self.store.lock:
            meta = self._check_address(item, resource, namespace, "")
            if meta.get("resourceVersion"):
                raise bad_request("resourceVersion should not be set on objects to be created")
            if not meta.get("name") and meta.get("generateName"):
                meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
            self._reset_read_only(item, resource)
            self._check_and_default(item, resource, shape)
            owners = server_side.update_owners({"metadata": {}}, item, shape, write.manager_of(resource))
            return self._insert_object(item, resource, owners, write)

    def update(self, resource: ApiResource, namespace: str, name: str, body: Any, write: Write) -> Object:
        """Replace the object, or only its status if that is `write.subresource`. Raises `ApiError`."""
        return self.edit(resource, namespace, name, lambda _: body, write)

    def edit(
        self, resource: ApiResource, namespace: str, name: str, change: Callable[[Object], Any], write: Write
    ) -> Object:
        """Put what `change` makes of a copy of the object. Raises `ApiError`."""
        shape = self.shape(resource)
        with self.store.lock:
            before = self.get(resource, namespace, name)
            body = change(copy_json(before))
            after, warnings = validation.decode_object(body, resource, shape, write.validation)
            write.warnings += warnings
            meta = self._check_address(after, resource, namespace, name)
            self._check_preconditions(before, meta, resource, write)
            after = self._confine_update(before, after, resource, write.subresource)
            self._check_and_default(after, resource, shape)
            owners = server_side.update_owners(before, after, shape, write.manager_of(resource))
            return self._commit_object(before, after, resource, owners, write)

    def apply(
        self, resource: ApiResource, namespace: str, name: str, body: Any, write: Write
    ) -> tuple[Object, bool]:
        """Server-side apply; returns the object and whether it was created. Raises `ApiError`."""
        write = replace(write, operation="Apply")
        shape = self.shape(resource)
        config, warnings = validation.decode_object(
            copy_json(body), resource, shape, write.validation, applied=True
        )
        write.warnings += warnings
        if config.get("metadata", {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        with self.store.lock:
            meta = self._check_address(config, resource, namespace, name)
            existing = self.store.get(resource.bucket, meta.get("namespace", ""), name)
            if write.subresource != "status":
                self._reset_read_only(config, resource)
            manager = write.manager_of(resource)
            if existing is None:
                live: Object = {"metadata": {}}
                item, owners = server_side.apply_config(live, config, shape, manager, force=write.force)
                return self._insert_object(item, resource, owners, write), True
            before = as_version(existing, resource)
            self._check_preconditions(before, {**meta, "uid": meta.get("uid")}, resource, write)
            config["metadata"].pop("resourceVersion", None)
            after, owners = server_side.apply_config(before, config, shape, manager, force=write.force)
            after = self._confine_update(before, copy_json(after), resource, write.subresource)
            self._check_and_default(after, resource, shape)
            return self._commit_object(before, after, resource, owners, write), False

    def _check_and_default(self, item: Object, resource: ApiResource, shape: Shape) -> None:
        validation.check_schema(item, resource, shape)
        if not resource.custom:
            defaults.fill_defaults(item, resource.plural)

    def _check_address(self, item: Object, resource: ApiResource, namespace: str, name: str) -> Object:
        """Make kind, name and namespace those of the request; refuse others."""
        for key, expected in (("apiVersion", resource.api_version), ("kind", resource.kind)):
            if item.setdefault(key, expected) != expected:
                raise bad_request(
                    f"{key} in the data ({item[key]}) does not match the expected {key} ({expected})"
                )
        meta: Object = item.setdefault("metadata", {})
        if name and meta.setdefault("name", name) != name:
            raise bad_request(
                f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
            )
        if not resource.namespaced:
            meta.pop("namespace", None)
        elif not meta.get("namespace"):
            meta["namespace"] = namespace
        elif meta["namespace"] != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        return meta

    def _reset_read_only(self, item: Object, resource: ApiResource) -> None:
        meta = item["metadata"]
        for key in ("managedFields", "selfLink", *_KEPT_META):
            meta.pop(key, None)
        if "status" in resource.subresources:
            item.pop("status", None)

    def _confine_update(
        self, before: Object, after: Object, resource: ApiResource, subresource: str
    ) -> Object:
        """Only what the endpoint may change: the status at `/status`, all but the status elsewhere."""
        if subresource == "status":
            confined = {**before, "metadata": copy_json(before["metadata"])}
            # Controllers annotate through /status too; the rest of the metadata stays.
            for key in ("annotations", "labels"):
                if key in after["metadata"] and not resource.custom:
                    confined["metadata"][key] = after["metadata"][key]
            status = {"status": after["status"]} if "status" in after else {}
            return {key: value for key, value in confined.items() if key != "status"} | status
        if "status" in resource.subresources:
            after.pop("status", None)
            if "status" in before:
                after["status"] = before["status"]
        for key in _KEPT_META:
            after["metadata"].pop(key, None)
            if key in before["metadata"]:
                after["metadata"][key] = before["metadata"][key]
        return after

    def _check_preconditions(self, before: Object, meta: Object, resource: ApiResource, write: Write) -> None:
        for key in ("uid", "resourceVersion"):
            expected, actual = meta.get(key), before["metadata"][key]
            if expected and expected != actual:
                why = (
                    f"Precondition failed: UID in precondition: {expected}, UID in object meta: {actual}"
                    if key == "uid"
                    else ""
                )
                raise errors.conflict_error(resource.plural, resource.group, before["metadata"]["name"], why)
        # Most built-in kinds take an update without a version (kubernetes/kubernetes,
        # AllowUnconditionalUpdate in pkg/registry); these do not, so that two holders of a lease cannot both
        # win.
        must = resource.custom or resource.plural == "leases"
        if must and not meta.get("resourceVersion") and write.operation == "Update":
            cause = (
                "metadata.resourceVersion",
                "FieldValueInvalid",
                "Invalid value: 0: must be specified for an update",
            )
            raise errors.invalid_error(resource.kind, resource.group, before["metadata"]["name"], [cause])

    def _insert_object(
        self, item: Object, resource: ApiResource, owners: server_side.Owners, write: Write
    ) -> Object:
        item = copy_json(item)
        meta = item["metadata"]
        if resource.namespaced:
            self._check_namespace(meta["namespace"], resource, meta.get("name", ""))
        self._check_and_default(item, resource, self.shape(resource))
        rules.check_object(item, resource)
        if resource.bucket == _PODS:
            admission.admit_pod(self.store, item)
        if self.store.get(resource.bucket, meta.get("namespace", ""), meta["name"]) is not None:
            raise errors.already_exists(resource.plural, resource.group, meta["name"])
        now = format_timestamp(self.now())
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now}
        if resource.custom or resource.group in _COUNTED_GROUPS:
            meta["generation"] = 1
        if not resource.custom:
            defaults.fill_defaults(item, resource.plural)  # what depends on the uid
            if "status" in resource.subresources:
                item.setdefault("status", dict(defaults.FIRST_STATUS.get(resource.plural, {})))
        server_side.record_owners(item, owners, None, now)
        return item if write.dry_run else self.store.put(resource.bucket, item)

    def _check_namespace(self, namespace: str, resource: ApiResource, name: str) -> None:
        item = self.store.get(NAMESPACES, "", namespace)
        if item is None:
            raise errors.not_found_error("namespaces", "", namespace)
        if item["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise errors.forbidden_error(resource.plural, resource.group, name, why)

    def _commit_object(
        self, before: Object, after: Object, resource: ApiResource, owners: server_side.Owners, write: Write
    ) -> Object:
        rules.check_object(after, resource)
        rules.check_update(before, after, resource)
        meta = after["metadata"]
        meta["resourceVersion"] = before["metadata"]["resourceVersion"]
        # Changes of labels and status do not count: rollouts are known by comparing this with
        # `observedGeneration`.
        if "generation" in meta and _content_of(before) != _content_of(after):
            meta["generation"] = before["metadata"]["generation"] + 1
        server_side.record_owners(after, owners, before, format_timestamp(self.now()))
        # What changes nothing gets no new version, and wakes nobody who watches.
        if write.dry_run or server_side.is_same_content(before, after):
            return after if write.dry_run else before
        if is_over(after, resource):
            return self.store.remove(resource.bucket, meta.get("namespace", ""), meta["name"]) or after
        return self.store.put(resource.bucket, after)


def is_over(item: Object, resource: ApiResource) -> bool:
    """Whether a deletion that waited has nothing more to wait for."""
    meta = item["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if resource.bucket == NAMESPACES:
        return not (item.get("spec") or {}).get("finalizers")
    return not meta.get("deletionGracePeriodSeconds")


def _content_of(item: Object) -> Object:
    return {key: value for key, value in item.items() if key not in ("metadata", "status")}


def as_version(item: Object, resource: ApiResource) -> Object:
    """The object in the version of the resource; versions of one kind differ in nothing else here."""
    if item["apiVersion"] == resource.api_version:
        return item
    return {**item, "apiVersion": resource.api_version}


def precondition_failed(resource: ApiResource, name: str) -> ApiError:
    """409 of a deletion that was meant for another state of the object."""
    return errors.conflict_error(resource.plural, resource.group, name, "Precondition failed")
