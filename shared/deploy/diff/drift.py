"""Drift: where the cluster is no longer what was deployed, and who made it so, by field manager.

Only fields that the deployed manifests set are compared, so defaults are no drift; besides, fields that a
person's tool owns are told. https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.kernel.timestamps import format_minute, parse_optional_timestamp
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import (
    Leaf,
    Reference,
    format_value,
    is_secret_leaf,
    join_path,
    keyed_items,
    object_reference,
    walk_leaves,
)
from shared.kubernetes.quantity import parse_quantity

# Who changes fields by itself: an autoscaler's replicas are written by kube-controller-manager, which in
# MicroK8s is kubelite; the API server names the owners it does not know.
_CONTROLLERS = (
    *("kube-", "kubelite", "kubelet", "keda", "cert-manager", "nginx-ingress", "calico", "groundcrew"),
    "before-first-apply",
)
_MACHINES = ("helm", *_CONTROLLERS)
_NOT_SHOWN = "(not shown: what was encrypted is not known)"


@dataclass(frozen=True, slots=True)
class Drift:
    """One field, or with an empty path a whole object, that is not as deployed; values are masked."""

    subject: Reference
    path: str
    deployed: str  # empty: the deployed manifest does not have it
    live: str  # empty: the cluster does not have it
    manager: str = ""
    at: datetime | None = None
    by_hand: bool = True  # False: it is as Helm applied it, and was changed on its way in

    @property
    def restorable(self) -> bool:
        """Whether applying again brings it back; what somebody added stays, since the deployed lacks it."""
        return bool(self.deployed)

    def __str__(self) -> str:
        who = f" by {self.manager}" if self.manager else ""
        when = f" at {format_minute(self.at)}" if self.at else ""
        if not self.path:
            return f"{self.subject} is gone"
        if not self.deployed:
            return f"{self.subject}: {self.path} was added{who}{when}: {self.live}"
        change = f"{self.deployed} -> {self.live}" if self.live else f"{self.deployed} was removed"
        return f"{self.subject}: {self.path}: {change}{who}{when}"


def find_drift(
    deployed: Sequence[Manifest],
    live: Sequence[Manifest | None],
    *,
    namespace: str = "",
    secrets: Sequence[str] = (),
) -> list[Drift]:
    """Each deployed manifest against its live object (None: not there), in a stable order."""
    drifts: list[Drift] = []
    for manifest, there in zip(deployed, live, strict=True):
        subject = object_reference(manifest, namespace)
        if there is None:
            drifts.append(Drift(subject, "", "deployed", ""))
        else:
            drifts += _find_changed(subject, manifest, there, secrets)
            drifts += _find_added(subject, manifest, there, secrets)
    return sorted(drifts, key=lambda one: (one.subject, one.path))


def hide_values(drift: Drift) -> Drift:
    """The same, saying where and by whom, and nothing of what was there or is."""
    deployed, live = drift.deployed and _NOT_SHOWN, drift.live and _NOT_SHOWN
    return replace(drift, deployed=deployed, live=live)


def _find_changed(
    subject: Reference, manifest: Manifest, there: Manifest, secrets: Sequence[str]
) -> Iterator[Drift]:
    have = {leaf.path: leaf for leaf in walk_leaves(there)}
    owners = _field_owners(there)
    for leaf in walk_leaves(_normalize_secret(manifest)):
        now = have.get(leaf.path)
        if (
            _is_same_value(leaf, now)
            or leaf.path in ("apiVersion", "metadata.namespace")
            or _is_ignored_path(leaf.path)
        ):
            continue
        secret = is_secret_leaf(subject.kind, leaf)
        manager, at = owners.get(leaf.path, ("", None))
        if _is_manager_of(_CONTROLLERS, manager):
            continue  # an autoscaler scales, a controller injects: that is their work
        yield Drift(
            subject,
            leaf.path,
            format_value(leaf.value, secret=secret, secrets=secrets),
            format_value(now.value, secret=secret, secrets=secrets) if now else "",
            "" if _is_manager_of(_MACHINES, manager) else manager,
            None if _is_manager_of(_MACHINES, manager) else at,
            by_hand=not _is_manager_of(_MACHINES, manager),
        )


def _find_added(
    subject: Reference, manifest: Manifest, there: Manifest, secrets: Sequence[str]
) -> Iterator[Drift]:
    known = {leaf.path for leaf in walk_leaves(_normalize_secret(manifest))}
    have = {leaf.path: leaf for leaf in walk_leaves(there)}
    for path, (manager, at) in _field_owners(there).items():
        leaf = have.get(path)
        # A field that exists but is not deployed tells only of a person if a person's tool owns it.
        if (
            leaf is None
            or path in known
            or not manager
            or _is_manager_of(_MACHINES, manager)
            or _is_ignored_path(path)
        ):
            continue
        value = format_value(leaf.value, secret=is_secret_leaf(subject.kind, leaf), secrets=secrets)
        yield Drift(subject, path, "", value, manager, at)


def _normalize_secret(manifest: Manifest) -> Manifest:
    """A Secret's `stringData` as the server keeps it."""
    texts = manifest.get("stringData")
    if not isinstance(texts, Mapping):
        return manifest
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()}
    rest = {key: value for key, value in manifest.items() if key != "stringData"}
    return {**rest, "data": {**(manifest.get("data") or {}), **encoded}}


def _is_same_value(deployed: Leaf, now: Leaf | None) -> bool:
    if now is None:
        return deployed.value in ("", {}, [])  # the server drops what is empty
    # `8080` and `"8080"`: the server keeps a field in its own type, whatever the manifest wrote.
    if deployed.value == now.value or str(deployed.value) == str(now.value):
        return True
    # `0.5` and `500m` are one quantity; outside of resources a text that looks like one may be a tag.
    if isinstance(deployed.value, bool) or isinstance(now.value, bool) or "resources" not in deployed.path:
        return False
    try:
        return parse_quantity(deployed.value) == parse_quantity(now.value)
    except ValueError:
        return False


def _is_manager_of(machines: tuple[str, ...], manager: str) -> bool:
    return manager.lower().startswith(machines)


def _is_ignored_path(path: str) -> bool:
    """What is the cluster's own; and kubectl's notes, as of when it restarted something."""
    return (
        path.startswith(("metadata.managedFields", "status.", "status["))
        or path == "status"
        or "annotations[kubectl.kubernetes.io/" in path
    )


def _field_owners(item: Manifest) -> dict[str, tuple[str, datetime | None]]:
    """Who owns each field, by its path: a person before a machine, the later before the earlier."""
    managed = (item.get("metadata") or {}).get("managedFields") or ()
    owners: dict[str, tuple[str, datetime | None]] = {}
    entries = sorted(
        managed,
        key=lambda one: (not _is_manager_of(_MACHINES, str(one.get("manager"))), str(one.get("time"))),
    )
    for entry in entries:
        owner = (str(entry.get("manager", "")), parse_optional_timestamp(entry.get("time")))
        for path in _walk_owned(entry.get("fieldsV1") or {}, item, ""):
            owners[path] = owner
    return owners


def _walk_owned(tree: Mapping[str, Any], value: object, path: str) -> Iterator[str]:
    """The paths of a fieldsV1 tree, walked beside the live object that gives list items their names."""
    # A child in a form nobody knows is as if all below were owned.
    inner = {key: below if isinstance(below, Mapping) else {} for key, below in tree.items() if key != "."}
    if not inner:
        # Owned as a whole: every value below it.
        yield from (leaf.path for leaf in walk_leaves(value, path))
        return
    if isinstance(value, Mapping):
        for key, below in inner.items():
            name = key.removeprefix("f:")
            if key.startswith("f:") and name in value:
                yield from _walk_owned(below, value[name], join_path(path, name))
    elif isinstance(value, list):
        for label, item in keyed_items(value):
            for key, below in inner.items():
                if _matches_item(key, item):
                    yield from _walk_owned(below, item, f"{path}[{label}]")


def _matches_item(key: str, item: object) -> bool:
    kind, _, text = key.partition(":")
    try:
        selector = json.loads(text)
    except ValueError:
        return False
    if kind == "k" and isinstance(selector, dict) and isinstance(item, Mapping):
        return all(item.get(name) == value for name, value in selector.items())
    return kind == "v" and bool(selector == item)
