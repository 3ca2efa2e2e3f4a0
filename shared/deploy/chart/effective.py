"""Which charts of a tree Helm renders, and with which values: conditions, tags, globals, defaults.

The rules are those of Helm (pkg/chart/v2/util/dependencies.go and pkg/chart/common/util/coalesce.go), quirks
included: a condition after a comma and a space is a path that begins with a space, which is never there.
https://helm.sh/docs/topics/charts/#tags-and-condition-fields-in-dependencies
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.deploy.chart.metadata import Dependency
from shared.deploy.chart.subcharts import ChartTree
from shared.formats.chartyaml import merged
from shared.kubernetes.images import as_mapping

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RenderedChart:
    """A chart that is rendered.

    `path` are the keys under which the topmost values hold its own, empty for the topmost chart; `supplied`
    is what stands there, `values` that over the chart's defaults.
    """

    tree: ChartTree
    path: tuple[str, ...]
    supplied: Values = field(repr=False)
    values: Values = field(repr=False)


def walk_rendered(tree: ChartTree, supplied: Values) -> Iterator[RenderedChart]:
    """The chart and every sub-chart that is not switched off, from the top."""
    tags = as_mapping(merged([tree.own.values, supplied]).get("tags"))
    return _walk(tree, supplied, (), tags)


def _walk(tree: ChartTree, supplied: Values, path: tuple[str, ...], tags: Values) -> Iterator[RenderedChart]:
    yield RenderedChart(tree, path, supplied, merged([tree.own.values, supplied]))
    coalesced = coalesce_values(tree, supplied)
    for key, subchart in name_subcharts(tree):
        dependency = _dependency_of(tree, key)
        # A folder in `charts/` that Chart.yaml does not name is rendered all the same.
        if dependency is None or is_enabled(dependency, coalesced, tags):
            yield from _walk(subchart, _pass_down(tree, supplied, key), (*path, key), tags)


def name_subcharts(tree: ChartTree) -> Iterator[tuple[str, ChartTree]]:
    """Each sub-chart with the key of its values, its alias or its name; once for each alias."""
    for subchart in tree.below:
        name = subchart.head.name
        keys = [dependency.key for dependency in tree.head.dependencies if dependency.name == name]
        yield from ((key, subchart) for key in keys or [name])


def _dependency_of(tree: ChartTree, key: str) -> Dependency | None:
    return next((dependency for dependency in tree.head.dependencies if dependency.key == key), None)


def coalesce_values(tree: ChartTree, supplied: Values) -> dict[str, Any]:
    """The values of a chart with the defaults of all charts below it, which is what conditions look at."""
    values = merged([tree.own.values, supplied])
    for key, subchart in name_subcharts(tree):
        if isinstance(values.get(key, {}), Mapping):
            values[key] = coalesce_values(subchart, _pass_down(tree, supplied, key))
    return values


def _pass_down(tree: ChartTree, supplied: Values, key: str) -> dict[str, Any]:
    """What a chart's values give to a sub-chart: what stands under its key, and the globals over its own."""
    values = _overlay(tree.own.values, supplied)
    passed = dict(as_mapping(values.get(key)))
    shared = as_mapping(values.get("global"))
    if shared:
        passed["global"] = _overlay(as_mapping(passed.get("global")), shared)
    return passed


def _overlay(below: Values, above: Values) -> dict[str, Any]:
    """Values over others, with each null kept: it removes a default of the chart that it is passed to."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _overlay(as_mapping(old), as_mapping(value)) if both else value
    return result


def is_enabled(dependency: Dependency, values: Values, tags: Values) -> bool:
    """Whether the values leave a dependency enabled.

    The first of its conditions that is there and a boolean decides; without one, tags do: one that is true
    enables it, else one that is false disables it.
    """
    for condition in dependency.conditions:
        value: Any = values
        for part in condition.split("."):
            value = as_mapping(value).get(part)
        if isinstance(value, bool):
            return value
    switches = [tags.get(tag) for tag in dependency.tags]
    return True in switches or False not in switches
