"""Which files a change may touch, and what it ships nothing of."""

from __future__ import annotations

import pytest

from shared.deploy.gates.paths import DeployPaths, changes_nothing_deployed, matches_any, paths_gate
from shared.deploy.model import ChangedFile

PATHS = DeployPaths(watched=("chart/**",), forbidden=(".github/**", "chart/secret/**"))
VALUES, DOCS = ChangedFile("chart/values.yaml", "modified"), ChangedFile("docs/a.md", "modified")
WORKFLOW = ChangedFile(".github/workflows/x.yml", "added")


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("chart/values.yaml", "chart/*", True),
        ("chart/templates/a.yaml", "chart/*", False),
        ("chart/templates/a.yaml", "chart/**", True),
        ("values.yaml", "**/values.yaml", True),
        ("a/b/values.yaml", "**/values.yaml", True),
        ("a/b/myvalues.yaml", "**/values.yaml", False),
        ("chart/a.yaml", "chart/?.yaml", True),
        ("chart/ab.yaml", "chart/?.yaml", False),
        ("chart.yaml", "chart.yaml", True),
        ("chartXyaml", "chart.yaml", False),
        ("chart/new\nline", "chart/**", True),
        (".github/workflows/x.yml", ".github/**", True),
    ],
)
def test_patterns_of_paths(path, pattern, fits):
    assert matches_any(path, [pattern]) is fits


@pytest.mark.parametrize(
    ("changed", "passed"),
    [
        pytest.param([VALUES], True, id="watched"),
        pytest.param([VALUES, WORKFLOW], False, id="something forbidden besides"),
        pytest.param([WORKFLOW], True, id="something forbidden by a change of its own"),
        pytest.param(
            [ChangedFile("chart/x", "renamed", previous=WORKFLOW.path)], False, id="from a forbidden place"
        ),
        pytest.param([ChangedFile("chart/secret/x", "added")], False, id="watched and forbidden"),
    ],
)
def test_what_is_deployed_must_not_come_along_with_what_is_forbidden(changed, passed):
    gate = paths_gate({7: changed}, PATHS)
    assert gate.passed is passed
    assert passed or "#7 changes" in gate.reason


def test_each_pull_request_is_looked_at_by_itself_and_named():
    apart = {5: [WORKFLOW], 7: [VALUES]}
    assert paths_gate(apart, PATHS).reason == "changes chart/values.yaml"
    gate = paths_gate({5: [WORKFLOW, VALUES], 7: [VALUES]}, PATHS)
    assert (gate.passed, gate.reason) == (False, "#5 changes .github/workflows/x.yml")


@pytest.mark.parametrize(
    ("changes", "nothing"),
    [
        pytest.param({7: [DOCS]}, True, id="elsewhere"),
        pytest.param({7: []}, True, id="no file"),
        pytest.param({5: [VALUES], 7: [DOCS]}, False, id="an earlier one is not deployed yet"),
        pytest.param({7: [ChangedFile("docs/x", "renamed", previous="chart/x")]}, False, id="moved away"),
    ],
)
def test_changes_elsewhere_ship_nothing(changes, nothing):
    assert changes_nothing_deployed(changes, PATHS) is nothing
    assert not changes_nothing_deployed(changes, DeployPaths()) or changes == {7: []}
