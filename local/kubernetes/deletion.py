"""Deleting: preconditions, finalizers, grace, and what becomes of the dependents.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

from local.kubernetes import errors
from local.kubernetes.copying import copy_json
from local.kubernetes.errors import Object
from local.kubernetes.registry import DEFINITIONS, NAMESPACES, Registry, as_version, format_timestamp, is_over
from local.kubernetes.resources import ApiResource

PODS = ("", "pods")
_JOBS = ("batch", "jobs")


def delete_object(
    registry: Registry, resource: ApiResource, namespace: str, name: str, options: Object
) -> Object:
    """Delete, or begin to; returns the object if it lives on for a while, else a success `Status`.

    `options` is a `DeleteOptions` object. Raises `ApiError` 404, 409.
    """
    store = registry.store
    with store.lock:
        before = registry.get(resource, namespace, name)
        meta = before["metadata"]
        for key, expected in (options.get("preconditions") or {}).items():
            if expected and meta.get(key) != expected:
                raise errors.conflict_error(resource.plural, resource.group, name, "Precondition failed")
        if options.get("dryRun"):
            return errors.success_status(resource.plural, name, resource.group, meta["uid"])
        after = _deleting_object(before, resource, options, format_timestamp(registry.now()))
        if is_over(after, resource):
            remove_object(registry, resource, before)
            return errors.success_status(resource.plural, name, resource.group, meta["uid"])
        return store.put(resource.bucket, after) if after != before else before


def _deleting_object(before: Object, resource: ApiResource, options: Object, now: str) -> Object:
    after = copy_json(before)
    meta = after["metadata"]
    finalizers = list(meta.get("finalizers") or ())
    # Of batch/v1 alone: who deletes a Job and says nothing more leaves its pods running.
    # https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/registry/batch/job/strategy.go
    orphans = options.get("orphanDependents", resource.bucket == _JOBS)
    policy = options.get("propagationPolicy") or ("Orphan" if orphans else "Background")
    finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy)
    if finalizer and finalizer not in finalizers:
        finalizers.append(finalizer)
    if finalizers:
        meta["finalizers"] = finalizers
    if "deletionTimestamp" not in meta:
        meta["deletionTimestamp"] = now
        if "generation" in meta:
            meta["generation"] += 1
    grace = options.get("gracePeriodSeconds")
    if resource.bucket == PODS:
        default = (before.get("spec") or {}).get("terminationGracePeriodSeconds", 30)
        pending = not (before.get("spec") or {}).get("nodeName")
        meta["deletionGracePeriodSeconds"] = 0 if pending else default if grace is None else grace
    if resource.bucket == NAMESPACES:
        after["status"] = {**(after.get("status") or {}), "phase": "Terminating"}
    return after


def remove_object(registry: Registry, resource: ApiResource, item: Object) -> None:
    """Take the object out at once; with a definition, its custom resources go too."""
    meta = item["metadata"]
    if resource.bucket == DEFINITIONS:
        spec = item["spec"]
        bucket = (spec["group"], spec["names"]["plural"])
        for custom in registry.store.items(bucket):
            place = custom["metadata"]
            registry.store.remove(bucket, place.get("namespace", ""), place["name"])
    registry.store.remove(resource.bucket, meta.get("namespace", ""), meta["name"])


def remove_finalizer(registry: Registry, resource: ApiResource, item: Object, finalizer: str) -> None:
    """Strike a finalizer out, and remove the object if nothing else holds it."""
    after = copy_json(as_version(item, resource))
    meta = after["metadata"]
    meta["finalizers"] = [name for name in meta.get("finalizers") or () if name != finalizer]
    if is_over(after, resource):
        remove_object(registry, resource, item)
    else:
        registry.store.put(resource.bucket, after)
