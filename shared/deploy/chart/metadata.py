"""What a chart says of itself: its version, Rocket.Chat's version, and where its dependencies come from.

Helm is never let fetch anything: what a chart depends on must lie in its `charts/`, disabled or not, since
Helm wants all of it (https://helm.sh/docs/topics/charts/#chart-dependencies). Whether that fits the range of
versions in Chart.yaml is for `helm dependency update` to see to; what is checked is that it is the one of
Chart.lock, which says what was chosen.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from shared.deploy.model import Finding
from shared.formats.chartyaml import ValuesFile, read_values
from shared.kernel.errors import Refused
from shared.kubernetes.images import as_mapping, as_mappings
from shared.kubernetes.objects import printable_name

# https://semver.org; what `helm package` puts between a chart's name and `.tgz`.
_SEMVER = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]*)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_UPDATE = "Run helm dependency update and commit charts/, so that what is reviewed is what is deployed"


@dataclass(frozen=True, slots=True)
class Dependency:
    """A chart that a chart brings along. `key` is what its values go by, `locked` its version in Chart.lock,
    `conditions` the paths of values and `tags` the names that say whether it is enabled."""

    name: str
    version: str
    repository: str
    line: int
    key: str = ""
    conditions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    locked: str = ""


@dataclass(frozen=True, slots=True)
class ChartMetadata:
    """The head of a Chart.yaml."""

    name: str
    version: str
    app_version: str
    dependencies: tuple[Dependency, ...] = ()
    is_library: bool = False  # its templates are rendered by the charts that include them


def read_chart_metadata(files: Mapping[str, bytes]) -> ChartMetadata:
    """The chart among its files. Raises Refused if there is none, or one that is not to be read."""
    if "Chart.yaml" not in files:
        hint = "Set deploy.chart in policy.yaml to the chart's folder"
        raise Refused("there is no Chart.yaml where the chart should be", hint=hint)
    read = _read_yaml(files, "Chart.yaml")
    locked = _locked_versions(files)
    dependencies = []
    for index, item in enumerate(_dependency_items(read, "Chart.yaml")):
        name, key = _scalar_text(item.get("name")), _scalar_text(item.get("alias"))
        # As Helm splits them: what follows a comma and a space is a path that begins with a space.
        conditions = tuple(filter(None, _scalar_text(item.get("condition")).strip().split(",")))
        tags = item.get("tags")
        tagged = tuple(map(_scalar_text, tags)) if isinstance(tags, list) else ()
        where, line = _scalar_text(item.get("repository")), read.lines.get(("dependencies", index), 0)
        version = _scalar_text(item.get("version"))
        dependencies.append(
            Dependency(name, version, where, line, key or name, conditions, tagged, locked.get(name, ""))
        )
    name, version, app = (_scalar_text(read.values.get(key)) for key in ("name", "version", "appVersion"))
    is_library = _scalar_text(read.values.get("type")) == "library"
    return ChartMetadata(name, version, app, tuple(dependencies), is_library)


def _read_yaml(files: Mapping[str, bytes], name: str) -> ValuesFile:
    return read_values(files[name].decode("utf-8", "replace"), name)


def _dependency_items(read: ValuesFile, name: str) -> list[Mapping[str, Any]]:
    listed = read.values.get("dependencies") or []
    if not isinstance(listed, list) or len(as_mappings(listed)) != len(listed):
        hint = "Write - name: X, then version and repository on lines of their own"
        raise Refused(f"the dependencies of {name} are not a list of charts", hint=hint)
    return as_mappings(listed)


def _locked_versions(files: Mapping[str, bytes]) -> dict[str, str]:
    """The versions that Chart.lock names; where a chart is there twice under aliases, none."""
    if "Chart.lock" not in files:
        return {}
    locked: dict[str, set[str]] = {}
    for item in _dependency_items(_read_yaml(files, "Chart.lock"), "Chart.lock"):
        locked.setdefault(_scalar_text(item.get("name")), set()).add(_scalar_text(item.get("version")))
    return {name: versions.pop() for name, versions in locked.items() if len(versions) == 1}


def likely_chat_version(chart: ChartMetadata, values: Mapping[str, Any]) -> str:
    """What a deploy is likely to start: `image.tag` of the chart or of the one it wraps, else `appVersion`.

    Good enough to judge values by; what starts indeed is told by what the chart renders to.
    """
    for place in (values, values.get("rocketchat")):
        tag = _scalar_text(as_mapping(as_mapping(place).get("image")).get("tag"))
        if tag:
            return tag.partition("@")[0]
    return chart.app_version


def check_dependencies(
    chart: ChartMetadata, files: Mapping[str, bytes], hosts: Collection[str]
) -> list[Finding]:
    """Dependencies from hosts that are not allowed, by ways that have no host, or not in `charts/` once, as
    Chart.lock has them; each with its line."""
    return [
        Finding(
            "dependency", "error", f"Chart.yaml: dependencies: {_shorten(one.name)}", one.line, problem, hint
        )
        for one in chart.dependencies
        # The first alone: one cure for each dependency, and the next is seen when that is done.
        for problem, hint in [next(_dependency_problems(one, files, hosts), ("", ""))]
        if problem
    ]


def _dependency_problems(
    one: Dependency, files: Mapping[str, bytes], hosts: Collection[str]
) -> Iterator[tuple[str, str]]:
    # First: the name becomes a path below.
    if not _NAME.fullmatch(one.name):
        yield "its name is not that of a chart", "Name it as its own Chart.yaml does"
    yield from _repository_problems(one.repository, hosts)
    there = vendored_versions(one.name, files)
    if not there:
        yield "it is not in the chart's charts/ folder", _UPDATE
    elif len(there) > 1:
        yield f"it is in charts/ {len(there)} times", "Leave the one that is meant"
    elif one.locked and "" not in there and one.locked.removeprefix("v") not in there:
        yield f"charts/ has {_shorten(there[0])} of it, Chart.lock says {_shorten(one.locked)}", _UPDATE


def vendored_versions(name: str, files: Mapping[str, bytes]) -> list[str]:
    """The versions of a chart in `charts/`, as folders and as archives; empty for one that says none."""
    versions = []
    for path in files:
        if path == f"charts/{name}/Chart.yaml":
            versions.append(_folder_version(files, path))
        elif path.startswith(f"charts/{name}-") and path.endswith(".tgz"):
            version = path.removeprefix(f"charts/{name}-").removesuffix(".tgz")
            if _SEMVER.fullmatch(version):  # else it is of a chart whose name only begins so
                versions.append(version.removeprefix("v"))
    return versions


def _folder_version(files: Mapping[str, bytes], path: str) -> str:
    return _scalar_text(_read_yaml(files, path).values.get("version")).removeprefix("v")


def _repository_problems(repository: str, hosts: Collection[str]) -> Iterator[tuple[str, str]]:
    if not repository:
        return  # a folder below charts/, which is part of what was reviewed
    try:
        parts = urlsplit(repository)
    except ValueError:
        yield "its repository is no address", "Use https:// or oci://"
        return
    if parts.scheme == "file":
        # To Helm it is a path from the chart's folder, whatever it begins with.
        path = posixpath.normpath(unquote(repository.removeprefix("file://")))
        if path.startswith("/") or path.split("/")[0] == "..":
            yield "a folder outside of the chart is not deployed", "Move it into charts/"
    elif parts.scheme not in ("https", "oci"):
        yield f"{_shorten(parts.scheme) or 'an alias'} is no way to get a chart", "Use https:// or oci://"
    # The netloc, not the host: a port or a user would be another place than the one that was allowed.
    elif parts.netloc.lower() not in hosts:
        hint = "Add it to deploy.allowed_chart_hosts in policy.yaml, if it is to be trusted"
        yield f"the host {_shorten(parts.netloc)} is not allowed", hint


def _shorten(text: str) -> str:
    return printable_name(text)[:80]


def _scalar_text(value: object) -> str:
    """A scalar as text; empty for what is none."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
