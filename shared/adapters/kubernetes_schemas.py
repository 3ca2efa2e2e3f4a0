"""Rendered manifests against the schemas of the cluster's own Kubernetes version, offline.

Unknown fields are errors here, which `helm lint --strict` passes; kinds that no schema is known for, as those
of custom resources, are told. The schemas are the data of `kubernetes-validate`. The library itself reads
a version's definitions anew for each object (1.8 MB of JSON), and its data are 17,000 files, which
`make package` puts into an archive for each version: so they are read here.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.deploy.model import Finding
from shared.formats.schema_fit import surely_fits
from shared.kernel.errors import NotFound
from shared.kubernetes.images import as_mapping, as_mappings, find_pod_spec
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import printable_name

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SCHEMAS = (
    "kubernetes-json-schema"  # a folder for each version, or an archive of it with `.zip` behind its name
)
_FOLDER = re.compile(r"v(\d+)\.(\d+)\.\d+-local-strict(?:\.zip)?")
_DEFINITIONS = "_definitions.json"

# The schemas' files are named by these.
_NAMED = re.compile(r"[A-Za-z][A-Za-z0-9.-]*(?:/[A-Za-z0-9]+)?", re.ASCII)
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_CURE = "Compare it with kubectl explain, in the cluster's version"


def validate(manifests: Sequence[Manifest], kubernetes: str) -> list[Finding]:
    """Errors for what the API server would refuse, warnings for what cannot be judged; never a value."""
    series = ".".join(kubernetes.split(".")[:2])
    known = list_series()
    if series not in known:
        # Of a newer cluster the newest known; of an older one as well, and what it does not have yet the API
        # server itself refuses.
        newest = known[-1]
        message = f"no schemas are known for Kubernetes {series}: {newest}'s are used"
        return [Finding("schema", "warning", "the cluster", 0, message), *_all(manifests, newest)]
    return list(_all(manifests, series))


def _all(manifests: Sequence[Manifest], series: str) -> Iterator[Finding]:
    for manifest in manifests:
        yield from _one(manifest, series)


def _one(manifest: Manifest, series: str) -> Iterator[Finding]:
    where = printable_name(f"{manifest.get('kind')}/{as_mapping(manifest.get('metadata')).get('name')}")
    named = (manifest.get("kind"), manifest.get("apiVersion"))
    if not all(isinstance(one, str) and _NAMED.fullmatch(one) for one in named):
        yield Finding("schema", "error", where, 0, "it lacks apiVersion or kind", _CURE)
        return
    yield from _check_names(manifest, where)
    kind, api_version = (str(one) for one in named)
    try:
        schema = _load_schema(kind, api_version, series)
    except NotFound:
        yield Finding("schema", "warning", where, 0, "no schema is known for this kind: it was not checked")
        return
    # What fits for certain needs no validator, whose import costs more than all manifests of a chart.
    if not surely_fits(dict(manifest), schema, _list_definitions(series)):
        yield from _judge(manifest, load_validator(kind, api_version, series), where)


def _judge(manifest: Manifest, validator: Validator, where: str) -> Iterator[Finding]:
    import jsonschema

    try:
        validator.validate(dict(manifest))
    except jsonschema.ValidationError as error:
        # Not the validator's own sentence, which quotes the value.
        path = ".".join(map(str, error.absolute_path)) or "the object"
        yield Finding("schema", "error", f"{where}: {printable_name(path)}", 0, _complaint(error), _CURE)


def _check_names(manifest: Manifest, where: str) -> Iterator[Finding]:
    """Names within pods, of which the schemas say only that they are texts: the API server wants DNS labels.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
    """
    spec = find_pod_spec(manifest)
    for field in ("volumes", "initContainers", "containers"):
        for number, one in enumerate(as_mappings(spec.get(field))):
            if not _DNS_LABEL.fullmatch(str(one.get("name") or "")):
                place = f"{where}: {field}[{number}].name"
                message = "it is no DNS label (at most 63 lower case letters, digits and dashes)"
                yield Finding("schema", "error", place, 0, message, _CURE)


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


@cache
def list_series() -> tuple[str, ...]:
    """The minor versions of Kubernetes that schemas are known for, such as `1.37`, the oldest first."""
    return tuple(f"{major}.{minor}" for major, minor in sorted(_folders()))


@cache
def load_validator(kind: str, api_version: str, series: str) -> Validator:
    """Checks objects of that kind strictly: unknown fields are errors. Raises NotFound for other kinds."""
    from jsonschema.validators import Draft202012Validator
    from referencing import Registry, Resource

    schema = _load_schema(kind, api_version, series)
    resources = [Resource.from_contents(schema), Resource.from_contents(_load_definitions(series))]
    registry: Any = Registry().with_resources([(resource.id() or "", resource) for resource in resources])
    return Draft202012Validator(schema, registry=registry)


@cache
def _load_schema(kind: str, api_version: str, series: str) -> Any:
    """Raises NotFound for kinds that the version does not have."""
    # A group's name is its first label there: rbac.authorization.k8s.io/v1 is rbac-v1.
    group, _, version = api_version.rpartition("/")
    name = f"{kind.lower()}-{group.partition('.')[0] + '-' if group else ''}{version}.json"
    content = _read_schema(series, name)
    if content is None:
        raise NotFound(f"no schema is known for {kind} of {api_version}", value=series)
    return json.loads(content)


@cache
def _load_definitions(series: str) -> Any:
    return json.loads(_read_schema(series, _DEFINITIONS) or b"{}")


@cache
def _list_definitions(series: str) -> Mapping[str, Any]:
    """Each definition by the reference that the schemas, and the definitions themselves, have to it."""
    return {
        f"{place}#/$defs/{name}": schema
        for name, schema in _load_definitions(series).get("$defs", {}).items()
        for place in (f"/api/{_DEFINITIONS}", "")
    }


def _read_schema(series: str, name: str) -> bytes | None:
    """The file of that name in the version's folder, or None."""
    folder = _folders()[_parse_series(series)]
    if folder.suffix != ".zip":
        return (folder / name).read_bytes() if (folder / name).is_file() else None
    archive = _open_archive(folder)
    return archive.read(name) if name in archive.NameToInfo else None


# Kept open, since to read its index costs more than to read a schema.
@cache
def _open_archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@cache
def _folders() -> dict[tuple[int, int], Path]:
    folders = {}
    # Its spec, since to import the library is a tenth of what a deploy's first call costs.
    spec = find_spec("kubernetes_validate")
    for place in (spec and spec.submodule_search_locations) or ():
        for entry in (Path(place) / SCHEMAS).iterdir():
            if match := _FOLDER.fullmatch(entry.name):
                folders[int(match[1]), int(match[2])] = entry
    return folders


def _parse_series(series: str) -> tuple[int, int]:
    major, minor = series.split(".")
    return int(major), int(minor)
