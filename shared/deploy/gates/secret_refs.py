"""Whether the Secrets that the pods name are there: one that is not keeps a pod from ever starting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.deploy.model import Finding
from shared.kubernetes.images import containers, mapping, mappings, pod_of
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import shown_name
from shared.kubernetes.ports import Cluster

_CURE = "Create it in the namespace, or name another"


def missing_secrets(cluster: Cluster, manifests: Sequence[Manifest]) -> list[Finding]:
    """An error for each Secret, or key of one, that neither the cluster nor the chart has."""
    known = {name: set(keys) for name, keys in cluster.secret_keys().items()}
    for one in manifests:
        if one.get("kind") == "Secret":
            known[_name(one)] = {*mapping(one.get("data")), *mapping(one.get("stringData"))}
    found: dict[tuple[str, str], Finding] = {}
    for manifest in manifests:
        where = shown_name(f"{manifest.get('kind')}/{_name(manifest)}")
        for name, key in _named(manifest):
            if name not in known:
                told = f"there is no Secret {shown_name(name)}"
            elif key and key not in known[name]:
                told = f"the Secret {shown_name(name)} has no key {shown_name(key)}"
            else:
                continue
            found.setdefault((name, key), Finding("missing-secret", "error", where, 0, told, _CURE))
    return list(found.values())


def _name(manifest: Manifest) -> str:
    return str(mapping(manifest.get("metadata")).get("name"))


def _named(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The Secrets of an object's pods that are not optional, each with the key that is read, or none."""
    for container in containers(manifest):
        for variable in mappings(container.get("env")):
            yield from _reference(mapping(variable.get("valueFrom")).get("secretKeyRef"), "name")
        for source in mappings(container.get("envFrom")):
            yield from _reference(source.get("secretRef"), "name")
    for volume in mappings(pod_of(manifest).get("volumes")):
        yield from _reference(volume.get("secret"), "secretName")
        for source in mappings(mapping(volume.get("projected")).get("sources")):
            yield from _reference(source.get("secret"), "name")


def _reference(reference: object, field: str) -> Iterator[tuple[str, str]]:
    found = mapping(reference)
    if found.get(field) and not found.get("optional"):
        yield str(found[field]), str(found.get("key", ""))
