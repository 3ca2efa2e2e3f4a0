"""Whether the Secrets that the pods name are there: one that is not keeps a pod from ever starting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.core.deploy_words import Finding, Manifest
from shared.ports_deploy import Cluster

_CURE = "Create it in the namespace, or name another"


def missing_secrets(cluster: Cluster, manifests: Sequence[Manifest]) -> list[Finding]:
    """An error for each Secret, or key of one, that neither the cluster nor the chart has."""
    known = {name: set(keys) for name, keys in cluster.secret_keys().items()}
    for one in manifests:
        if one.get("kind") == "Secret":
            keys = {*(one.get("data") or {}), *(one.get("stringData") or {})}
            known[str((one.get("metadata") or {}).get("name"))] = keys
    found: dict[tuple[str, str], Finding] = {}
    for manifest in manifests:
        where = f"{manifest.get('kind')}/{(manifest.get('metadata') or {}).get('name')}"
        for name, key in _named(manifest):
            if name not in known:
                told = f"there is no Secret {name}"
            elif key and key not in known[name]:
                told = f"the Secret {name} has no key {key}"
            else:
                continue
            found.setdefault((name, key), Finding("missing-secret", "error", where, 0, told, _CURE))
    return list(found.values())


def _named(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The Secrets of a pod template that are not optional, each with the key that is read, or none."""
    spec = manifest.get("spec")
    template = spec.get("template") if isinstance(spec, Mapping) else None
    pod = template.get("spec") if isinstance(template, Mapping) else None
    if not isinstance(pod, Mapping):
        return
    for container in (*(pod.get("initContainers") or ()), *(pod.get("containers") or ())):
        for variable in container.get("env") or ():
            yield from _reference((variable.get("valueFrom") or {}).get("secretKeyRef"), "name")
        for source in container.get("envFrom") or ():
            yield from _reference(source.get("secretRef"), "name")
    for volume in pod.get("volumes") or ():
        yield from _reference(volume.get("secret"), "secretName")


def _reference(reference: Any, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(reference, Mapping) and reference.get(field) and not reference.get("optional"):
        yield str(reference[field]), str(reference.get("key", ""))
