"""What keeps a cluster tidy: orphans, namespaces, volumes, accounts, and statuses that are simply set."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from local.kubernetes import deletion, selectors
from local.kubernetes.controllers.common import Context, is_ready, live_pods, resolve_portion, with_condition
from local.kubernetes.copying import copy_json
from local.kubernetes.errors import Object
from local.kubernetes.resources import ApiResource, Bucket


def run_housekeeping(context: Context) -> None:
    """One pass."""
    _establish_definitions(context)
    _finish_namespaces(context)
    _collect_garbage(context)
    _bind_claims(context)
    _update_budgets(context)
    _update_ingresses(context)
    _fill_token_secrets(context)


def _establish_definitions(context: Context) -> None:
    """A definition is served as soon as it is there; say so."""
    for item in context.list_kind("CustomResourceDefinition"):
        if not (item.get("status") or {}).get("acceptedNames"):
            stored = [version["name"] for version in item["spec"]["versions"] if version.get("storage")]
            status: Object = {"acceptedNames": item["spec"]["names"], "storedVersions": stored}
            with_condition(status, "NamesAccepted", "True", context.now, "NoConflicts", "no conflicts found")
            accepted = "the initial names have been accepted"
            with_condition(status, "Established", "True", context.now, "InitialNamesAccepted", accepted)
            context.set_status(item, status)


def _fill_token_secrets(context: Context) -> None:
    """A Secret that asks for a service account's token gets one, which ends when the Secret is deleted.

    https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets
    """
    for item in context.list_kind("Secret"):
        meta = item["metadata"]
        account = (meta.get("annotations") or {}).get("kubernetes.io/service-account.name", "")
        asks = item.get("type") == "kubernetes.io/service-account-token" and account
        if not asks or (item.get("data") or {}).get("token"):
            continue
        if context.store.get(("", "serviceaccounts"), meta["namespace"], account) is None:
            continue
        token = context.cluster.token_for(account, meta["namespace"], secret=meta["name"])
        encoded = base64.b64encode(token.encode()).decode()

        def fill(current: Object, encoded: str = encoded) -> None:
            current["data"] = {**(current.get("data") or {}), "token": encoded}

        context.edit(item, fill)


def _list_buckets(context: Context) -> Iterator[tuple[Bucket, ApiResource]]:
    buckets: dict[Bucket, ApiResource] = {}
    for resource in context.registry.catalogue.resources:
        if "delete" in resource.verbs:
            buckets.setdefault(resource.bucket, resource)
    return iter(buckets.items())


def _finish_namespaces(context: Context) -> None:
    for item in context.list_kind("Namespace"):
        name = item["metadata"]["name"]
        if item["metadata"].get("deletionTimestamp"):
            _empty_namespace(context, item)
        elif context.store.get(("", "serviceaccounts"), name, "default") is None:
            account = {"name": "default", "namespace": name}
            context.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})


def _empty_namespace(context: Context, namespace: Object) -> None:
    name = namespace["metadata"]["name"]
    remains = False
    for bucket, resource in _list_buckets(context):
        if not resource.namespaced:
            continue
        for item in context.store.items(bucket, name):
            remains = True
            if not item["metadata"].get("deletionTimestamp"):
                options: Object = {"propagationPolicy": "Background"}
                deletion.delete_object(context.registry, resource, name, item["metadata"]["name"], options)
    if not remains:
        after = {**copy_json(namespace), "spec": {}}
        if not after["metadata"].get("finalizers"):
            context.store.remove(("", "namespaces"), "", name)


def _collect_garbage(context: Context) -> None:
    """Garbage: dependents without an owner go; owners that wait for their dependents are let go."""
    everything = list(context.store.all())
    living = {item["metadata"]["uid"] for _, item in everything}
    by_bucket = dict(_list_buckets(context))
    for bucket, item in everything:
        owners = item["metadata"].get("ownerReferences") or ()
        resource = by_bucket.get(bucket)
        if resource is None:
            continue
        if (
            owners
            and not item["metadata"].get("deletionTimestamp")
            and not any(o["uid"] in living for o in owners)
        ):
            meta = item["metadata"]
            deletion.delete_object(context.registry, resource, meta.get("namespace", ""), meta["name"], {})
        for finalizer in item["metadata"].get("finalizers") or ():
            if item["metadata"].get("deletionTimestamp"):
                _finalize_owner(context, resource, item, finalizer, by_bucket)


def _list_dependents(context: Context, owner: Object) -> list[tuple[Bucket, Object]]:
    uid = owner["metadata"]["uid"]
    return [
        (bucket, item)
        for bucket, item in context.store.all()
        if any(o["uid"] == uid for o in item["metadata"].get("ownerReferences") or ())
    ]


def _finalize_owner(
    context: Context,
    resource: ApiResource,
    item: Object,
    finalizer: str,
    by_bucket: dict[Bucket, ApiResource],
) -> None:
    dependents = _list_dependents(context, item)
    if finalizer == "orphan":
        for _, dependent in dependents:
            context.edit(dependent, lambda each: _drop_owner(each, item))
        deletion.remove_finalizer(
            context.registry, resource, _reread_object(context, resource, item), finalizer
        )
    elif finalizer == "foregroundDeletion":
        for bucket, dependent in dependents:
            if not dependent["metadata"].get("deletionTimestamp"):
                meta = dependent["metadata"]
                deletion.delete_object(
                    context.registry,
                    by_bucket[bucket],
                    meta.get("namespace", ""),
                    meta["name"],
                    {"propagationPolicy": "Foreground"},
                )
        if not dependents:
            deletion.remove_finalizer(context.registry, resource, item, finalizer)


def _reread_object(context: Context, resource: ApiResource, item: Object) -> Object:
    meta = item["metadata"]
    return context.store.get(resource.bucket, meta.get("namespace", ""), meta["name"]) or item


def _drop_owner(item: Object, owner: Object) -> None:
    meta = item["metadata"]
    meta["ownerReferences"] = [o for o in meta["ownerReferences"] if o["uid"] != owner["metadata"]["uid"]]


def _bind_claims(context: Context) -> None:
    """MicroK8s' storage waits for the first pod that uses a claim, then makes a volume on the node."""
    pending = [
        item
        for item in context.list_kind("PersistentVolumeClaim")
        if (item.get("status") or {}).get("phase") != "Bound"
        and not item["metadata"].get("deletionTimestamp")
    ]
    if not pending:
        return
    used = {
        (pod["metadata"]["namespace"], volume["persistentVolumeClaim"]["claimName"])
        for pod in live_pods(context.list_kind("Pod"))
        for volume in pod["spec"].get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    }
    for item in pending:
        meta, spec = item["metadata"], item["spec"]
        known = context.store.get(("storage.k8s.io", "storageclasses"), "", spec["storageClassName"])
        waits = (known or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
        # A claim that no pod uses stays Pending for ever, there as here: a restore that waits for it would
        # hang. https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode
        if known is None or (waits and (meta["namespace"], meta["name"]) not in used):
            continue
        _bind_claim(context, item, known)


def _bind_claim(context: Context, item: Object, storage: Object) -> None:
    meta, spec = item["metadata"], item["spec"]
    name = f"pvc-{meta['uid']}"
    capacity = {"storage": ((spec.get("resources") or {}).get("requests") or {}).get("storage", "1Gi")}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "name": meta["name"],
        "namespace": meta["namespace"],
    }
    volume = context.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": capacity,
                "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
                "claimRef": {**claim, "uid": meta["uid"]},
                "hostPath": {"path": f"/var/snap/microk8s/common/default-storage/{name}"},
                "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy", "Delete"),
                "storageClassName": spec["storageClassName"],
            },
        }
    )
    if volume is not None:
        context.set_status(volume, {"phase": "Bound"})
    bound = context.edit(item, lambda each: each["spec"].update(volumeName=name))
    modes = spec.get("accessModes") or ["ReadWriteOnce"]
    context.set_status(bound, {"phase": "Bound", "accessModes": modes, "capacity": capacity})


def _update_budgets(context: Context) -> None:
    for item in context.list_kind("PodDisruptionBudget"):
        terms = selectors.of_object(item["spec"].get("selector"))
        pods = [] if terms is None else live_pods(context.list_kind("Pod", item["metadata"]["namespace"]))
        chosen = [pod for pod in pods if selectors.match_labels(terms or (), pod["metadata"].get("labels"))]
        total, healthy = len(chosen), sum(map(is_ready, chosen))
        # Both percentages are rounded up:
        # https://kubernetes.io/docs/tasks/run-application/configure-pdb/#rounding-logic-when-specifying-percentages
        if "maxUnavailable" in item["spec"]:
            needed = max(0, total - resolve_portion(item["spec"]["maxUnavailable"], total, up=True))
        else:
            needed = resolve_portion(item["spec"].get("minAvailable", 1), total, up=True)
        status: Object = {
            "currentHealthy": healthy,
            "desiredHealthy": needed,
            "disruptionsAllowed": max(0, healthy - needed),
            "expectedPods": total,
            "observedGeneration": item["metadata"]["generation"],
        }
        context.set_status(item, status)


def _update_ingresses(context: Context) -> None:
    for item in context.list_kind("Ingress"):
        # MicroK8s' ingress listens on the node itself.
        context.set_status(item, {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}})
