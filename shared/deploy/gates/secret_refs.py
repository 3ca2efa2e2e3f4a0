"""Whether the Secrets that the pods name are there: one that is not keeps a pod from ever starting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.deploy.model import Finding
from shared.kubernetes.images import as_mapping, as_mappings, find_pod_spec, list_containers
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import printable_name
from shared.kubernetes.ports import Cluster

_HINT = "Create it in the namespace, or name another"


def find_missing_secrets(cluster: Cluster, manifests: Sequence[Manifest]) -> list[Finding]:
    """An error for each Secret, or key of one, that neither the cluster nor the chart has."""
    known = {name: set(keys) for name, keys in cluster.list_secret_keys().items()}
    for one in manifests:
        if one.get("kind") == "Secret":
            known[_object_name(one)] = {*as_mapping(one.get("data")), *as_mapping(one.get("stringData"))}
    findings: dict[tuple[str, str], Finding] = {}
    for manifest in manifests:
        where = printable_name(f"{manifest.get('kind')}/{_object_name(manifest)}")
        for name, key in _secret_references(manifest):
            if name not in known:
                message = f"there is no Secret {printable_name(name)}"
            elif key and key not in known[name]:
                message = f"the Secret {printable_name(name)} has no key {printable_name(key)}"
            else:
                continue
            findings.setdefault((name, key), Finding("missing-secret", "error", where, 0, message, _HINT))
    return list(findings.values())


def _object_name(manifest: Manifest) -> str:
    return str(as_mapping(manifest.get("metadata")).get("name"))


def _secret_references(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The Secrets of an object's pods that are not optional, each with the key that is read, or none."""
    for container in list_containers(manifest):
        for variable in as_mappings(container.get("env")):
            yield from _read_reference(as_mapping(variable.get("valueFrom")).get("secretKeyRef"), "name")
        for source in as_mappings(container.get("envFrom")):
            yield from _read_reference(source.get("secretRef"), "name")
    for volume in as_mappings(find_pod_spec(manifest).get("volumes")):
        yield from _read_reference(volume.get("secret"), "secretName")
        for source in as_mappings(as_mapping(volume.get("projected")).get("sources")):
            yield from _read_reference(source.get("secret"), "name")


def _read_reference(reference: object, field: str) -> Iterator[tuple[str, str]]:
    fields = as_mapping(reference)
    if fields.get(field) and not fields.get("optional"):
        yield str(fields[field]), str(fields.get("key", ""))
