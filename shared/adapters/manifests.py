"""Rendered manifests against the schemas of the cluster's own Kubernetes version, offline.

Unknown fields are errors here, which `helm lint --strict` passes; kinds that no schema is known for, as those
of custom resources, are told. Schemas come with `kubernetes-validate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from shared.deploy.model import Finding
from shared.kubernetes.images import as_mapping
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import printable_name

# The schemas' files are named by these.
_NAMED = re.compile(r"[A-Za-z][A-Za-z0-9.-]*(?:/[A-Za-z0-9]+)?", re.ASCII)
_CURE = "Compare it with kubectl explain, in the cluster's version"


def validate(manifests: Sequence[Manifest], kubernetes: str) -> list[Finding]:
    """Errors for what the API server would refuse, warnings for what cannot be judged; never a value."""
    import kubernetes_validate as schemas

    series = ".".join(kubernetes.split(".")[:2])
    known = schemas.all_versions() if hasattr(schemas, "all_versions") else schemas.utils.all_versions()
    if series not in {".".join(one.split(".")[:2]) for one in known}:
        newest = known[-1]
        message = f"no schemas are known for Kubernetes {series}: {newest}'s are used"
        return [Finding("schema", "warning", "the cluster", 0, message), *_all(manifests, newest)]
    return list(_all(manifests, series))


def _all(manifests: Sequence[Manifest], version: str) -> Iterator[Finding]:
    for manifest in manifests:
        yield from _one(manifest, version)


def _one(manifest: Manifest, version: str) -> Iterator[Finding]:
    import jsonschema
    from kubernetes_validate import utils

    where = printable_name(f"{manifest.get('kind')}/{as_mapping(manifest.get('metadata')).get('name')}")
    named = (manifest.get("kind"), manifest.get("apiVersion"))
    if not all(isinstance(one, str) and _NAMED.fullmatch(one) for one in named):
        yield Finding("schema", "error", where, 0, "it lacks apiVersion or kind", _CURE)
        return
    try:
        utils.validate(dict(manifest), version, strict=True)
    except utils.SchemaNotFoundError:
        yield Finding("schema", "warning", where, 0, "no schema is known for this kind: it was not checked")
    except jsonschema.ValidationError as error:
        # Not the validator's own sentence, which quotes the value.
        path = ".".join(map(str, error.absolute_path)) or "the object"
        yield Finding("schema", "error", f"{where}: {printable_name(path)}", 0, _complaint(error), _CURE)


def _complaint(error: object) -> str:
    rule, instance = getattr(error, "validator", ""), getattr(error, "instance", None)
    if rule == "additionalProperties" and isinstance(instance, dict):
        allowed = set((getattr(error, "schema", None) or {}).get("properties") or ())
        unknown = ", ".join(sorted(printable_name(str(key)) for key in instance if key not in allowed))
        return f"unknown field {unknown}"
    if rule == "type":
        return f"it is not of the type {getattr(error, 'validator_value', '')}"
    if rule == "required":
        missing = [key for key in getattr(error, "validator_value", ()) if key not in as_mapping(instance)]
        return f"it lacks {', '.join(missing)}"
    return f"it breaks the rule {rule}"
