"""What a chart says of itself: its version, Rocket.Chat's version, and where its dependencies come from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shared.core.deploy_words import Finding
from shared.errors import Refused
from shared.formats.chartyaml import read_values


@dataclass(frozen=True, slots=True)
class Dependency:
    """A chart that a chart brings along."""

    name: str
    repository: str
    line: int


@dataclass(frozen=True, slots=True)
class Chart:
    """The head of a Chart.yaml."""

    name: str
    version: str
    app_version: str
    dependencies: tuple[Dependency, ...] = ()


def read_chart(files: Mapping[str, bytes]) -> Chart:
    """The chart among its files. Raises Refused if there is none."""
    if "Chart.yaml" not in files:
        cure = "Set deploy.chart in policy.yaml to the chart's folder"
        raise Refused("there is no Chart.yaml where the chart should be", cure=cure)
    read = read_values(files["Chart.yaml"].decode("utf-8", "replace"), "Chart.yaml")
    listed = read.values.get("dependencies") or []
    if not isinstance(listed, list) or not all(isinstance(item, Mapping) for item in listed):
        raise Refused("the dependencies of Chart.yaml are not a list of charts")
    dependencies = tuple(
        Dependency(
            str(item.get("name", "")),
            str(item.get("repository") or ""),
            read.lines.get(("dependencies", index), 0),
        )
        for index, item in enumerate(listed)
    )
    name, version, app = (_text(read.values.get(key)) for key in ("name", "version", "appVersion"))
    return Chart(name, version, app, dependencies)


def rocketchat_version(chart: Chart, values: Mapping[str, Any]) -> str:
    """What a deploy will start: `image.tag` of the chart or of the one it wraps, else `appVersion`."""
    for place in (values, values.get("rocketchat")):
        image = place.get("image") if isinstance(place, Mapping) else None
        tag = image.get("tag") if isinstance(image, Mapping) else None
        if tag:
            return _text(tag)
    return chart.app_version


def dependency_findings(chart: Chart, files: Mapping[str, bytes], hosts: Collection[str]) -> list[Finding]:
    """Dependencies from hosts that are not allowed, or by ways that have no host, each with its line."""
    found = []
    for dependency in chart.dependencies:
        problem, cure = _problem(dependency, hosts)
        vendored = any(path.startswith(f"charts/{dependency.name}") for path in files)
        if not problem and dependency.repository and not vendored:
            problem = "it is not in the chart's charts/ folder"
            cure = (
                "Run helm dependency update and commit charts/, so that what is reviewed is what is deployed"
            )
        if problem:
            where = f"Chart.yaml: dependencies: {dependency.name}"
            found.append(Finding("dependency", "error", where, dependency.line, problem, cure))
    return found


def _problem(dependency: Dependency, hosts: Collection[str]) -> tuple[str, str]:
    if not dependency.repository:
        return "", ""  # a folder below charts/, which is part of what was reviewed
    parts = urlsplit(dependency.repository)
    if parts.scheme == "file":
        return "a folder outside of the chart is not deployed", "Move it into charts/"
    if parts.scheme not in ("https", "oci"):
        return f"{parts.scheme or 'an alias'} is no way to get a chart", "Use https:// or oci://"
    # The netloc, not the host: a port or a user would be another place than the one that was allowed.
    if parts.netloc.lower() not in hosts:
        cure = "Add it to deploy.allowed_chart_hosts in policy.yaml, if it is to be trusted"
        return f"the host {ascii(parts.netloc)[1:-1][:80]} is not allowed", cure
    return "", ""


def _text(value: object) -> str:
    return "" if value is None else str(value)
