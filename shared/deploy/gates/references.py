"""Whether what the pods name is there: without its Secret, ConfigMap, claim or account a pod never starts.

Helm would apply it all the same, and roll back after its whole timeout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.deploy.model import Finding
from shared.kubernetes.images import as_mapping, as_mappings, find_pod_spec, list_containers
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import printable_name
from shared.kubernetes.ports import Cluster

_HINT = "Create it in the namespace, or name another"
# Of an object of Kubernetes' own, which it puts into every namespace.
# https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
_ALWAYS_THERE = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
_SOURCES = (("Secret", "secretKeyRef", "secretRef"), ("ConfigMap", "configMapKeyRef", "configMapRef"))


@dataclass(frozen=True, slots=True)
class PodReference:
    """What a pod cannot start without: an object by kind and name, and the key that is read, or none."""

    kind: str
    name: str
    key: str = ""


def find_missing_references(cluster: Cluster, manifests: Sequence[Manifest]) -> list[Finding]:
    """An error for each Secret, ConfigMap, claim or ServiceAccount, or key, that neither cluster nor chart
    has; a warning for an image pull secret, without which the kubelet pulls anonymously."""
    pods = [(manifest, _list_references(manifest)) for manifest in manifests]
    known = _read_known(cluster, manifests, {one for _, references in pods for one in references})
    findings: dict[str, Finding] = {}  # by message: what many pods or keys miss is named once
    for manifest, references in pods:
        where = printable_name(f"{manifest.get('kind')}/{_object_name(manifest)}")
        for severity, listed in (("error", references), ("warning", _list_pull_secrets(manifest))):
            for one in listed:
                message = _describe_missing(one, known.get((one.kind, one.name)))
                if message:
                    rule = f"missing-{one.kind.lower()}"
                    findings.setdefault(message, Finding(rule, severity, where, 0, message, _HINT))
    return list(findings.values())


def _describe_missing(reference: PodReference, keys: set[str] | None) -> str:
    """What is missing of it, given the keys that it has, None if it is not there; empty if nothing is."""
    kind, name = reference.kind, printable_name(reference.name)
    if (kind, reference.name) in _ALWAYS_THERE:
        return ""
    if keys is None:
        return f"there is no {kind} {name}"
    if reference.key and reference.key not in keys:
        return f"the {kind} {name} has no key {printable_name(reference.key)}"
    return ""


def _read_known(
    cluster: Cluster, manifests: Sequence[Manifest], references: set[PodReference]
) -> dict[tuple[str, str], set[str]]:
    """The keys of what is there, or will be with these manifests, by kind and name."""
    known = {("Secret", name): set(keys) for name, keys in cluster.list_secret_keys().items()}
    for manifest in manifests:  # the chart's own replace what is there
        known[str(manifest.get("kind")), _object_name(manifest)] = _read_keys(manifest)
    # Secrets are listed without their values; of the others only those that are named are read.
    others = (
        {(one.kind, one.name) for one in references if one.kind != "Secret"} - known.keys() - _ALWAYS_THERE
    )
    kinds = sorted(others)
    live = cluster.get_live_objects(
        [{"apiVersion": "v1", "kind": kind, "metadata": {"name": name}} for kind, name in kinds]
    )
    known |= {which: _read_keys(one) for which, one in zip(kinds, live, strict=True) if one is not None}
    return known


def _read_keys(manifest: Manifest) -> set[str]:
    return {key for field in ("data", "stringData", "binaryData") for key in as_mapping(manifest.get(field))}


def _object_name(manifest: Manifest) -> str:
    return str(as_mapping(manifest.get("metadata")).get("name"))


def _list_references(manifest: Manifest) -> list[PodReference]:
    """What the object's pods name and is not optional."""
    spec = find_pod_spec(manifest)
    references = [one for container in list_containers(manifest) for one in _read_container(container)]
    references += [one for volume in as_mappings(spec.get("volumes")) for one in _read_volume(volume)]
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    return [*references, PodReference("ServiceAccount", str(account))] if account else references


def _read_container(container: Manifest) -> Iterator[PodReference]:
    for kind, one_key, all_keys in _SOURCES:
        for variable in as_mappings(container.get("env")):
            yield from _read_reference(kind, as_mapping(variable.get("valueFrom")).get(one_key), "name")
        for source in as_mappings(container.get("envFrom")):
            yield from _read_reference(kind, source.get(all_keys), "name")


def _read_volume(volume: Manifest) -> Iterator[PodReference]:
    claim = as_mapping(volume.get("persistentVolumeClaim")).get("claimName")
    if claim:
        yield PodReference("PersistentVolumeClaim", str(claim))
    for one in (volume, *as_mappings(as_mapping(volume.get("projected")).get("sources"))):
        field = "secretName" if one is volume else "name"
        yield from _read_items("Secret", one.get("secret"), field)
        yield from _read_items("ConfigMap", one.get("configMap"), "name")


def _read_items(kind: str, reference: object, field: str) -> Iterator[PodReference]:
    """The object, and each key of it that becomes a file: one that is missing keeps the pod waiting, too."""
    for reference_found in _read_reference(kind, reference, field):
        yield reference_found
        for item in as_mappings(as_mapping(reference).get("items")):
            yield PodReference(kind, reference_found.name, str(item.get("key", "")))


def _read_reference(kind: str, reference: object, field: str) -> Iterator[PodReference]:
    fields = as_mapping(reference)
    if fields.get(field) and not fields.get("optional"):
        yield PodReference(kind, str(fields[field]), str(fields.get("key", "")))


def _list_pull_secrets(manifest: Manifest) -> list[PodReference]:
    secrets = as_mappings(find_pod_spec(manifest).get("imagePullSecrets"))
    return [PodReference("Secret", str(one["name"])) for one in secrets if one.get("name")]
