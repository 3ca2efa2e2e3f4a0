"""Which charts are rendered, and with which values: ours is held against what the real Helm renders."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from local.helm import ensure_helm
from shared.deploy.chart.effective import walk_rendered
from shared.deploy.chart.subcharts import read_chart_tree

# Each chart renders the keys it was reached by and the values it got.
FACTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: facts}
path: {{ .Chart.Name }}
values: {{ omit .Values "child" "renamed" "sibling" "grandchild" "tags" | toJson }}
"""


def chart(name: str, dependencies: list[dict[str, Any]], values: dict[str, Any]) -> dict[str, bytes]:
    head = {"apiVersion": "v2", "name": name, "version": "1.0.0", "dependencies": dependencies}
    return {
        "Chart.yaml": yaml.safe_dump(head).encode(),
        "values.yaml": yaml.safe_dump(values).encode(),
        "templates/facts.yaml": FACTS.encode(),
    }


def below(name: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"charts/{name}/{path}": data for path, data in files.items()}


def dependency(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0.0", **more}


def rendered_by_helm(tmp_path, files: dict[str, bytes], values: dict[str, Any]) -> list[tuple[str, Any]]:
    for path, data in {**files, "given.yaml": yaml.safe_dump(values).encode()}.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    argv = [ensure_helm(), "template", "x", tmp_path, "--values", tmp_path / "given.yaml"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    return sorted((one["path"], one["values"]) for one in yaml.safe_load_all(done.stdout) if one)


KEYS = ("child", "renamed", "sibling", "grandchild", "tags")


def rendered_by_us(files: dict[str, bytes], values: dict[str, Any]) -> list[tuple[str, Any]]:
    found = []
    for one in walk_rendered(read_chart_tree(files), values):
        own = {key: value for key, value in one.values.items() if key not in KEYS}
        found.append((one.path[-1] if one.path else "top", own))
    return sorted(found, key=lambda pair: pair[0])


def without_empty_global(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Helm gives every sub-chart a `global`, even an empty one."""
    return [(name, {k: v for k, v in own.items() if k != "global" or v}) for name, own in pairs]


CONDITION = "child.enabled, other.enabled"  # as the official chart writes its own: with a space
CASES = [
    pytest.param({}, {}, {}, id="nothing said"),
    pytest.param({"condition": "child.enabled"}, {}, {"child": {"enabled": False}}, id="off"),
    pytest.param({"condition": "child.enabled"}, {"child": {"enabled": False}}, {}, id="off by default"),
    pytest.param(
        {"condition": "child.enabled"},
        {"child": {"enabled": False}},
        {"child": {"enabled": True}},
        id="on again",
    ),
    pytest.param({"condition": CONDITION}, {}, {"other": {"enabled": False}}, id="after a space"),
    pytest.param({"condition": CONDITION}, {}, {" other": {"enabled": False}}, id="a key with a space"),
    pytest.param({"condition": "a.b,other.enabled"}, {}, {"other": {"enabled": False}}, id="the second"),
    pytest.param({"condition": "a.b"}, {}, {"a": {"b": "false"}}, id="a text is no answer"),
    pytest.param({"condition": "a.b,c.d"}, {}, {"a": {"b": 0}, "c": {"d": False}}, id="nor a number"),
    pytest.param({"condition": "a.b"}, {}, {"a": {"b": {"c": False}}}, id="nor a mapping"),
    pytest.param({"tags": ["back"]}, {}, {"tags": {"back": False}}, id="a tag"),
    pytest.param({"tags": ["a", "b"]}, {}, {"tags": {"a": False, "b": True}}, id="one tag of two"),
    pytest.param(
        {"tags": ["a"], "condition": "child.enabled"}, {"tags": {"a": False}}, {}, id="tag by default"
    ),
    pytest.param(
        {"tags": ["a"], "condition": "child.enabled"},
        {},
        {"tags": {"a": False}, "child": {"enabled": True}},
        id="a condition rules over a tag",
    ),
    pytest.param({"condition": "child.own"}, {}, {}, id="the sub-chart's own default"),
    pytest.param({"condition": "global.child"}, {}, {"global": {"child": False}}, id="a global"),
    pytest.param({"alias": "renamed", "condition": "renamed.enabled"}, {}, {}, id="an alias"),
    pytest.param(
        {"alias": "renamed", "condition": "renamed.enabled"},
        {},
        {"renamed": {"enabled": False}, "child": {"enabled": True}},
        id="an alias off",
    ),
    pytest.param({}, {"global": {"a": 1}}, {"global": {"b": 2}, "child": {"global": {"a": 3}}}, id="globals"),
    pytest.param({}, {}, {"child": {"size": 3}}, id="a value for the sub-chart"),
    pytest.param({}, {}, {"child": {"size": None}}, id="a null for the sub-chart"),
    pytest.param({}, {"child": {"size": 5}}, {"child": {"size": None}}, id="a null over both defaults"),
    pytest.param({}, {}, {"child": {"grandchild": {"size": 4, "enabled": False}}}, id="off far below"),
    pytest.param({}, {}, {"tags": {"deep": False}}, id="tags reach far below"),
]


@pytest.mark.parametrize(("declared", "defaults", "values"), CASES)
def test_what_is_rendered_and_with_which_values_is_what_helm_says(tmp_path, declared, defaults, values):
    grandchild = chart("grandchild", [], {"size": 1, "global": {"g": 1}})
    deep = [dependency("grandchild", condition="grandchild.enabled", tags=["deep"])]
    child = {**chart("child", deep, {"own": False, "size": 2}), **below("grandchild", grandchild)}
    files = {
        **chart("top", [dependency("child", **declared), dependency("sibling")], {"host": "x", **defaults}),
        **below("child", child),
        **below("sibling", chart("sibling", [], {"size": 9})),
    }
    ours, helms = rendered_by_us(files, values), rendered_by_helm(tmp_path, files, values)
    assert without_empty_global(ours) == without_empty_global(helms)
