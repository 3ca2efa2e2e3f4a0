"""What the API server checks beyond schemas: names, selectors, and fields that must not change."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from local.kubernetes.errors import Object, invalid_error
from local.kubernetes.resources import ApiResource
from local.kubernetes.selectors import match_labels, of_object
from local.kubernetes.validation import Cause

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
# https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size; of a ConfigMap, too.
_MAX_DATA_BYTES = 1 << 20
# Role names and the like may hold colons; they only must be a path's segment.
_FREE_NAMES = ("rbac.authorization.k8s.io",)

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)


def _check_metadata(item: Object, resource: ApiResource) -> Iterator[Cause]:
    meta = item["metadata"]
    name = meta.get("name", "")
    if not name:
        yield "metadata.name", "FieldValueRequired", "Required value: name or generateName is required"
    elif resource.group in _FREE_NAMES:
        if "/" in name or "%" in name or name in (".", ".."):
            yield "metadata.name", "FieldValueInvalid", f"Invalid value: \"{name}\": may not contain '/'"
    elif len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        yield "metadata.name", "FieldValueInvalid", f'Invalid value: "{name}": {_SUBDOMAIN_TEXT}'
    for key, value in (meta.get("labels") or {}).items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value or ""):
            yield (
                "metadata.labels",
                "FieldValueInvalid",
                f'Invalid value: "{value or key}": a valid label is needed',
            )


def _check_volume_names(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for number, volume in enumerate(spec.get("volumes") or ()):
        if not _DNS_LABEL.fullmatch(volume.get("name") or ""):
            value = volume.get("name")
            yield (
                f"{path}.volumes[{number}].name",
                "FieldValueInvalid",
                f'Invalid value: "{value}": {_LABEL_TEXT}',
            )


def _check_pod(spec: Mapping[str, Any], path: str, claimed: Set[str] = frozenset()) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield f"{path}.containers", "FieldValueRequired", "Required value"
    yield from _check_volume_names(spec, path)
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()} | claimed
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(kind) or ()):
            where = f"{path}.{kind}[{number}]"
            if not container.get("image"):
                yield f"{where}.image", "FieldValueRequired", "Required value"
            for probe in ("livenessProbe", "startupProbe"):
                threshold = (container.get(probe) or {}).get("successThreshold", 1)
                # One success is enough to live; only readiness may ask for several.
                # https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes
                if threshold != 1:
                    field = f"{where}.{probe}.successThreshold"
                    yield field, "FieldValueInvalid", f"Invalid value: {threshold}: must be 1"
            for at, mount in enumerate(container.get("volumeMounts") or ()):
                if mount.get("name") not in volumes:
                    field = f"{where}.volumeMounts[{at}].name"
                    yield field, "FieldValueNotFound", f'Not found: "{mount.get("name")}"'


def _check_workload(item: Object) -> Iterator[Cause]:
    spec = item["spec"]
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    terms = of_object(spec.get("selector"))
    if terms is None:
        yield "spec.selector", "FieldValueRequired", "Required value"
    elif not terms:
        yield (
            "spec.selector",
            "FieldValueInvalid",
            "Invalid value: empty selector is invalid for " + item["kind"],
        )
    elif not match_labels(terms, labels):
        message = f"Invalid value: {labels}: `selector` does not match template `labels`"
        yield "spec.template.metadata.labels", "FieldValueInvalid", message
    claimed = {claim["metadata"].get("name", "") for claim in spec.get("volumeClaimTemplates") or ()}
    yield from _check_pod(template.get("spec") or {}, "spec.template.spec", claimed)


def _check_deployment(item: Object) -> Iterator[Cause]:
    yield from _check_workload(item)
    strategy = item["spec"].get("strategy") or {}
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        message = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        yield "spec.strategy.rollingUpdate", "FieldValueForbidden", message
    # With neither one more nor one fewer no pod could ever be replaced.
    zeros = (0, "0", "0%")
    if rolling and rolling.get("maxSurge") in zeros and rolling.get("maxUnavailable") in zeros:
        field = "spec.strategy.rollingUpdate.maxUnavailable"
        yield field, "FieldValueInvalid", "Invalid value: 0: may not be 0 when `maxSurge` is 0"


def _check_data(item: Object) -> Iterator[Cause]:
    """Of Secrets and ConfigMaps: keys, and the size of all values together, decoded."""
    encoded = {**(item.get("data") or {})} if item["kind"] == "Secret" else {**(item.get("binaryData") or {})}
    plain = {} if item["kind"] == "Secret" else {**(item.get("data") or {})}
    for key in (*encoded, *plain):
        if len(key) > 253 or not _DATA_KEY.fullmatch(key):
            yield (
                f"data[{key}]",
                "FieldValueInvalid",
                f"Invalid value: {key!r}: not a valid config key",
            )
    size = sum(len(base64.b64decode(value or "")) for value in encoded.values())
    size += sum(len(str(value or "").encode()) for value in plain.values())
    if size > _MAX_DATA_BYTES:
        field = "data" if item["kind"] == "Secret" else "[]"
        yield field, "FieldValueTooLong", f"Too long: may not be more than {_MAX_DATA_BYTES} bytes"


def _check_job(item: Object) -> Iterator[Cause]:
    spec = item["spec"]["template"].get("spec") or {}
    # A pod's default, under which a Job would never end: so it has to be written.
    if spec.get("restartPolicy", "Always") not in ("Never", "OnFailure"):
        message = 'Required value: valid values: "OnFailure", "Never"'
        yield "spec.template.spec.restartPolicy", "FieldValueRequired", message
    yield from _check_pod(spec, "spec.template.spec")


def _check_service(item: Object) -> Iterator[Cause]:
    spec = item.get("spec") or {}
    ports = spec.get("ports") or ()
    # A name for another host, and a headless Service, listen on nothing themselves.
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield "spec.ports", "FieldValueRequired", "Required value"
    # With one port a name may be missing; a chart that adds a second one without names is refused here.
    if len(ports) > 1:
        for number, port in enumerate(ports):
            if not port.get("name"):
                yield f"spec.ports[{number}].name", "FieldValueRequired", "Required value"


def _check_ingress(item: Object) -> Iterator[Cause]:
    """Hosts are names in lower case, or a wildcard for one label; something must be served.

    https://kubernetes.io/docs/reference/kubernetes-api/service-resources/ingress-v1/#IngressSpec
    """
    spec = item.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        message = "Invalid value: []: either `defaultBackend` or `rules` must be specified"
        yield "spec", "FieldValueInvalid", message
    hosts = [(f"spec.rules[{at}].host", rule.get("host")) for at, rule in enumerate(spec.get("rules") or ())]
    hosts += [
        (f"spec.tls[{at}].hosts[{number}]", host)
        for at, tls in enumerate(spec.get("tls") or ())
        for number, host in enumerate(tls.get("hosts") or ())
    ]
    for field, host in hosts:
        if host and not _SUBDOMAIN.fullmatch(host.removeprefix("*.")):
            yield field, "FieldValueInvalid", f'Invalid value: "{host}": {_SUBDOMAIN_TEXT}'


_CHECKS: Mapping[str, Callable[[Object], Iterator[Cause]]] = {
    "deployments": _check_deployment,
    "secrets": _check_data,
    "configmaps": _check_data,
    "replicasets": _check_workload,
    "statefulsets": _check_workload,
    "daemonsets": _check_workload,
    "jobs": _check_job,
    "pods": lambda item: _check_pod(item.get("spec") or {}, "spec"),
    "services": _check_service,
    "ingresses": _check_ingress,
}

_STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
# What an update must leave as it is.
# In apps/v1 a new selector would leave the pods of before to nobody: charts that change it fail here.
# https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#label-selector-updates
_IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "deployments": ("selector",),
    "replicasets": ("selector",),
    "daemonsets": ("selector",),
    "jobs": ("selector", "template", "completionMode"),
    "storageclasses": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
}


def check_object(item: Object, resource: ApiResource) -> None:
    """Raises `ApiError` 422."""
    causes = list(_check_metadata(item, resource))
    # What custom resources may hold is said by their own schema.
    if not resource.custom and resource.plural in _CHECKS:
        causes += _CHECKS[resource.plural](item)
    if causes:
        raise invalid_error(resource.kind, resource.group, item["metadata"].get("name", ""), causes)


def check_update(before: Object, after: Object, resource: ApiResource) -> None:
    """Raises `ApiError` 422 if a field changed that must not."""
    causes = [] if resource.custom else list(_check_changes(before, after, resource.plural))
    if causes:
        raise invalid_error(resource.kind, resource.group, after["metadata"]["name"], causes)


def _check_changes(before: Object, after: Object, plural: str) -> Iterator[Cause]:
    old, new = before.get("spec") or {}, after.get("spec") or {}
    for name in _IMMUTABLE.get(plural, ()):
        if old.get(name) != new.get(name):
            yield f"spec.{name}", "FieldValueInvalid", f"Invalid value: {new.get(name)}: field is immutable"
    if plural == "statefulsets" and _immutable_part(old) != _immutable_part(new):
        allowed = ", ".join(f"'{name}'" for name in _STATEFUL_MUTABLE)
        message = f"Forbidden: updates to statefulset spec for fields other than {allowed} are forbidden"
        yield "spec", "FieldValueForbidden", message
    if plural == "services" and old.get("clusterIP") not in (None, "", new.get("clusterIP")):
        yield (
            "spec.clusterIP",
            "FieldValueInvalid",
            f'Invalid value: "{new.get("clusterIP")}": field is immutable',
        )
    if plural == "persistentvolumeclaims" and old.get("storageClassName") not in (
        None,
        new.get("storageClassName"),
    ):
        message = "Forbidden: spec is immutable after creation except resources.requests for bound claims"
        yield "spec", "FieldValueForbidden", message
    if (
        plural in ("secrets", "configmaps")
        and before.get("immutable")
        and before.get("data") != after.get("data")
    ):
        yield "data", "FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set"
    if plural == "secrets" and before.get("type") != after.get("type"):
        yield "type", "FieldValueInvalid", f'Invalid value: "{after.get("type")}": field is immutable'
    # Who may edit a binding must not give it another role: it is deleted and made anew.
    # https://kubernetes.io/docs/reference/access-authn-authz/rbac/#clusterrolebinding-example
    if plural in ("rolebindings", "clusterrolebindings") and before.get("roleRef") != after.get("roleRef"):
        yield "roleRef", "FieldValueInvalid", "Invalid value: cannot change roleRef"


def _immutable_part(spec: Object) -> Object:
    return {name: value for name, value in spec.items() if name not in _STATEFUL_MUTABLE}
