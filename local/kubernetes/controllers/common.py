"""What the controllers share: time, ownership, conditions, events, and writing through the registry."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from local.kubernetes import deletion
from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.copying import copy_json
from local.kubernetes.errors import ApiError, Object
from local.kubernetes.registry import Write, format_timestamp

MANAGER = "kube-controller-manager"
KUBELET = "kubelet"
# kubernetes/apimachinery, pkg/util/rand: no vowels, so that no word comes of it, and no 0, 1 and 3.
_LOOK_SECONDS = 0.1
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Context:
    """The cluster as the controllers of one step see it, and when the next step is due at the latest."""

    def __init__(self, cluster: EmbeddedCluster, timers: dict[Hashable, float]) -> None:
        self.cluster, self.store, self.registry = cluster, cluster.store, cluster.registry
        self.behaviour = cluster.behaviour
        self._timers = timers
        self.monotonic = time.monotonic()
        self.next_due = float("inf")
        self.refusal = ""  # why the last `create` made nothing, in the API's words

    @property
    def now(self) -> str:
        """The time as objects carry it."""
        return format_timestamp(self.registry.now())

    def is_due(self, key: Hashable, seconds: float) -> bool:
        """Whether so many simulated seconds passed since this was first asked for that key."""
        deadline = self._timers.setdefault(key, self.monotonic + seconds * self.behaviour.second)
        if deadline <= self.monotonic:
            return True
        self.next_due = min(self.next_due, deadline)
        return False

    def look_again(self) -> None:
        """Let the next step come soon: something changes that no object tells of."""
        self.next_due = min(self.next_due, self.monotonic + _LOOK_SECONDS)

    def is_waiting(self, key: Hashable) -> bool:
        """Whether a deadline that was asked for before has not come yet."""
        return key in self._timers and not self.is_due(key, 0)

    def forget_timers(self, *beginning: Hashable, but: Hashable = None) -> None:
        """Drop the timers whose keys begin so: with its uid those of an object that is gone."""
        known = [key for key in self._timers if isinstance(key, tuple) and key != but]
        for key in known:
            if key[: len(beginning)] == beginning:
                del self._timers[key]

    def list_kind(self, kind: str, namespace: str = "") -> list[Object]:
        """All objects of a built-in kind, not to be changed."""
        return self.store.items(self.cluster.resource(kind).bucket, namespace)

    def list_owned(self, kind: str, owner: Object) -> list[Object]:
        """The objects that `owner` controls."""
        uid = owner["metadata"]["uid"]
        items = self.list_kind(kind, owner["metadata"].get("namespace", ""))
        return [item for item in items if controller_of(item) == uid]

    def create(self, item: Object, manager: str = MANAGER) -> Object | None:
        """Create the object; None if there is one of that name, or it is refused, as `refusal` says."""
        self.refusal = ""
        resource = self.cluster.resource(item["kind"], item["apiVersion"])
        try:
            return self.registry.create(
                resource, item["metadata"].get("namespace", ""), item, Write(manager, "Ignore")
            )
        except ApiError as error:
            # A quota, or a namespace on its way out: real controllers try again, and say why in an event or a
            # condition.
            if error.code in (403, 404, 409):
                self.refusal = error.message
                return None
            raise

    def edit(
        self, item: Object, change: Callable[[Object], Any], *, manager: str = MANAGER, subresource: str = ""
    ) -> Object:
        """Change a copy in place by `change` and keep it."""
        resource = self.cluster.resource(item["kind"], item["apiVersion"])

        def changed(current: Object) -> Object:
            change(current)
            return current

        meta = item["metadata"]
        write = Write(manager, "Ignore", subresource=subresource)
        return self.registry.edit(resource, meta.get("namespace", ""), meta["name"], changed, write)

    def set_status(self, item: Object, status: Object, manager: str = MANAGER) -> None:
        """Keep this status, if it is another than before."""
        if item.get("status") != status:
            self.cluster.set_status(item, status, manager)

    def delete(self, item: Object, **options: Any) -> None:
        """Delete unless that has begun already."""
        if not item["metadata"].get("deletionTimestamp"):
            resource = self.cluster.resource(item["kind"], item["apiVersion"])
            meta = item["metadata"]
            deletion.delete_object(self.registry, resource, meta.get("namespace", ""), meta["name"], options)

    def event(
        self, item: Object, reason: str, message: str, *, kind: str = "Normal", source: str = MANAGER
    ) -> None:
        """Tell of something; the same event again only counts up, and only when the caller says so again."""
        meta = item["metadata"]
        namespace = meta.get("namespace", "default")
        name = f"{meta['name']}.{short_digest([meta['uid'], reason, message])}"
        now = self.now
        involved = {
            "kind": item["kind"],
            "apiVersion": item["apiVersion"],
            "name": meta["name"],
            "namespace": namespace,
            "uid": meta["uid"],
        }
        made = self.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": involved,
                "reason": reason,
                "message": message,
                "type": kind,
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "source": {"component": source},
                "reportingComponent": source,
                "reportingInstance": "",
            },
            source,
        )
        known = None if made else self.store.get(("", "events"), namespace, name)
        if known is not None:
            self.edit(known, lambda event: event.update(count=event["count"] + 1, lastTimestamp=now))


def controller_of(item: Object) -> str | None:
    """The uid of the controlling owner."""
    for owner in item["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return None


def owner_reference(owner: Object) -> list[Object]:
    """What ties a dependent to its controller."""
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": True,
            # As `metav1.NewControllerRef` does: a foreground deletion of the owner waits for this one.
            "blockOwnerDeletion": True,
        }
    ]


def short_digest(value: Any, length: int = 10) -> str:
    """A short stable text for a value, in the letters that Kubernetes uses for such."""
    raw = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in raw[:length])


def pod_of(owner: Object, name: str, labels: Object) -> Object:
    """A pod by the owner's template."""
    template = copy_json(owner["spec"]["template"])
    meta = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": {**(meta.get("labels") or {}), **labels},
            "annotations": dict(meta.get("annotations") or {}),
            "ownerReferences": owner_reference(owner),
        },
        "spec": template["spec"],
    }


def find_condition(status: Object, kind: str) -> Object | None:
    """The condition of that type."""
    return next((each for each in status.get("conditions") or () if each["type"] == kind), None)


def with_condition(
    status: Object, kind: str, value: str, now: str, reason: str = "", message: str = "", **extra: str
) -> None:
    """Set a condition in place; its transition time changes only with its status."""
    entry: Object = {"type": kind, "status": value}
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = message
    before = find_condition(status, kind)
    unchanged = before is not None and before["status"] == value
    # Whoever waits for a condition measures since when it holds: each step would else begin that anew.
    entry["lastTransitionTime"] = before["lastTransitionTime"] if before and unchanged else now
    for key, time_ in extra.items():
        same = before is not None and unchanged and before.get("reason", "") == reason
        entry[key] = before.get(key, time_) if before and same else time_
    others = [each for each in status.get("conditions") or () if each["type"] != kind]
    status["conditions"] = sorted([*others, entry], key=lambda each: str(each["type"]))


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition holds and it is not on its way out."""
    ready = find_condition(pod.get("status") or {}, "Ready")
    return bool(ready and ready["status"] == "True") and not pod["metadata"].get("deletionTimestamp")


def live_pods(pods: Iterable[Object]) -> list[Object]:
    """Pods that are neither ended nor being deleted."""
    return [
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]


def resolve_portion(value: Any, total: int, *, up: bool) -> int:
    """A count that may be written as a percentage."""
    if isinstance(value, str) and value.endswith("%"):
        product = int(value[:-1]) * total
        return -(-product // 100) if up else product // 100
    return int(value)
