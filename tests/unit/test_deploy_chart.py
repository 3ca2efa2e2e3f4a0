"""What a chart says of itself, and where its dependencies may come from."""

from __future__ import annotations

import pytest

from local.chart import rocketchat
from shared.core.deploy_chart import Chart, dependency_findings, read_chart, rocketchat_version
from shared.errors import Refused

HOSTS = frozenset({"rocketchat.github.io"})
VENDORED = {"charts/rocketchat-6.27.0.tgz": b""}


def wrapper(repository: str) -> Chart:
    text = (
        "apiVersion: v2\nname: chat\nversion: 1.0.0\ndependencies:\n"
        f"  - name: rocketchat\n    version: 6.27.0\n    repository: {repository}\n"
    )
    return read_chart({"Chart.yaml": text.encode()})


def test_the_stand_in_of_the_chart_says_its_versions():
    chart = read_chart(rocketchat(app_version="8.3.0", version="6.28.0"))
    assert (chart.name, chart.version, chart.app_version) == ("rocketchat", "6.28.0", "8.3.0")


@pytest.mark.parametrize(
    ("values", "version"),
    [
        ({}, "8.2.0"),
        ({"image": {"tag": "8.3.0"}}, "8.3.0"),
        ({"image": {"tag": ""}}, "8.2.0"),
        ({"image": "x"}, "8.2.0"),
        ({"rocketchat": {"image": {"tag": "8.4.0"}}}, "8.4.0"),
        ({"image": {"tag": 8.2}}, "8.2"),
    ],
)
def test_the_version_that_will_start_is_the_tag_or_the_charts(values, version):
    assert rocketchat_version(Chart("rocketchat", "6.27.0", "8.2.0"), values) == version


@pytest.mark.parametrize(
    ("repository", "problem"),
    [
        ("https://rocketchat.github.io/helm-charts", ""),
        ("https://ROCKETCHAT.github.io/helm-charts", ""),
        ('""', ""),
        ("https://charts.example.org", "not allowed"),
        ("https://rocketchat.github.io:8443/x", "not allowed"),
        ("https://rocketchat.github.io@example.org/x", "not allowed"),
        ("https://rocketchat.github.io.example.org/x", "not allowed"),
        ("https://169.254.169.254/x", "not allowed"),
        ("oci://ghcr.io/x", "not allowed"),
        ("http://rocketchat.github.io/x", "no way to get a chart"),
        ("file:///etc", "outside of the chart"),
        ("'@stable'", "no way to get a chart"),
        ("git+ssh://rocketchat.github.io/x", "no way to get a chart"),
    ],
)
def test_dependencies_come_from_allowed_hosts_only(repository, problem):
    found = dependency_findings(wrapper(repository), VENDORED, HOSTS)
    assert [one.line for one in found] == ([5] if problem else [])
    assert all(problem in one.message for one in found)


def test_a_dependency_that_is_not_vendored_is_told_with_the_way_to_do_it():
    (found,) = dependency_findings(wrapper("https://rocketchat.github.io/helm-charts"), {}, HOSTS)
    assert "helm dependency update" in found.cure


@pytest.mark.parametrize(
    "files",
    [{}, {"Chart.yaml": b"- x"}, {"Chart.yaml": b"dependencies: x"}, {"Chart.yaml": b"dependencies: [x]"}],
    ids=["none", "a list", "dependencies as a text", "a dependency as a text"],
)
def test_a_folder_without_a_readable_chart_is_refused(files):
    with pytest.raises(Refused):
        read_chart(files)
