"""What a chart says of itself, and where its dependencies may come from."""

from __future__ import annotations

import pytest

from local.chart import rocketchat
from shared.deploy.chart.metadata import (
    ChartMetadata,
    check_dependencies,
    likely_chat_version,
    read_chart_metadata,
)
from shared.kernel.errors import Refused

HOSTS = frozenset({"rocketchat.github.io"})
VENDORED = {"charts/rocketchat-6.27.0.tgz": b""}


def wrapper(repository: str) -> ChartMetadata:
    text = (
        "apiVersion: v2\nname: chat\nversion: 1.0.0\ndependencies:\n"
        f"  - name: rocketchat\n    version: 6.27.0\n    repository: {repository}\n"
    )
    return read_chart_metadata({"Chart.yaml": text.encode()})


def test_the_stand_in_of_the_chart_says_its_versions():
    chart = read_chart_metadata(rocketchat(app_version="8.3.0", version="6.28.0"))
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
        ({"image": {"tag": "8.2.1@sha256:aa"}}, "8.2.1"),
        ({"image": {"tag": ["x"]}, "rocketchat": []}, "8.2.0"),
    ],
)
def test_the_version_that_will_start_is_the_tag_or_the_charts(values, version):
    assert likely_chat_version(ChartMetadata("rocketchat", "6.27.0", "8.2.0"), values) == version


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
        ("file://../common", "outside of the chart"),
        ("file://charts/../../common", "outside of the chart"),
        ("file://%2e%2e/common", "outside of the chart"),
        ("file://charts/rocketchat", ""),
        ("file://./vendor/rocketchat", ""),
        ("https://[x", "no address"),
        ("[https://rocketchat.github.io]", ""),
        ("'@stable'", "no way to get a chart"),
        ("git+ssh://rocketchat.github.io/x", "no way to get a chart"),
    ],
)
def test_dependencies_come_from_allowed_hosts_only(repository, problem):
    found = check_dependencies(wrapper(repository), VENDORED, HOSTS)
    assert [one.line for one in found] == ([5] if problem else [])
    assert all(problem in one.message for one in found)


RANGE = """\
apiVersion: v2
name: chat
version: 1.0.0
dependencies:
  - name: mongodb
    version: "{range}"
    repository: https://rocketchat.github.io/helm-charts
"""
LOCK = """\
dependencies:
- name: mongodb
  repository: https://rocketchat.github.io/helm-charts
  version: {version}
digest: sha256:00
generated: "2026-11-23T09:00:00Z"
"""


def ranged(files: dict[str, bytes], wanted: str = "13.x.x") -> list[str]:
    all_files = {"Chart.yaml": RANGE.format(range=wanted).encode(), **files}
    return [one.message for one in check_dependencies(read_chart_metadata(all_files), all_files, HOSTS)]


@pytest.mark.parametrize("wanted", ["13.x.x", "^13.1", ">=13 <14", "~13.18", "13.18.5", "*"])
def test_a_range_of_versions_is_what_was_fetched_for_it(wanted):
    assert ranged({"charts/mongodb-13.18.5.tgz": b""}, wanted) == []


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        pytest.param(["charts/mongodb-13.18.5.tgz"], "", id="packed"),
        pytest.param(["charts/mongodb/Chart.yaml"], "", id="a folder"),
        pytest.param(["charts/mongodb-13.18.5-rc.1.tgz"], "", id="a candidate"),
        pytest.param(["charts/mongodb-exporter-1.2.3.tgz"], "not in", id="another chart's name begins so"),
        pytest.param(["charts/mongodb.tgz", "charts/mongodb/values.yaml"], "not in", id="no chart"),
        pytest.param(
            ["charts/mongodb-13.18.5.tgz", "charts/mongodb-12.1.0.tgz"], "2 times", id="two of them"
        ),
        pytest.param(["charts/mongodb-13.18.5.tgz", "charts/mongodb/Chart.yaml"], "2 times", id="both ways"),
    ],
)
def test_a_dependency_lies_in_charts_once(files, problem):
    found = ranged(dict.fromkeys(files, b"version: 13.18.5"))
    assert [problem in one for one in found] == ([True] if problem else [])


@pytest.mark.parametrize(
    ("there", "problem"),
    [
        ({"charts/mongodb-13.18.5.tgz": b""}, False),
        ({"charts/mongodb-13.18.4.tgz": b""}, True),
        ({"charts/mongodb/Chart.yaml": b"version: 13.18.5"}, False),
        ({"charts/mongodb/Chart.yaml": b"version: 13.18.4"}, True),
    ],
)
def test_it_is_the_version_that_the_lock_names(there, problem):
    found = ranged({"Chart.lock": LOCK.format(version="13.18.5").encode(), **there})
    assert [("13.18.4" in one, "Chart.lock says 13.18.5" in one) for one in found] == [(True, True)] * problem


def test_a_chart_that_is_brought_along_twice_under_aliases_may_be_of_two_versions():
    twice = LOCK.format(version="13.18.5") + "dependencies2: []\n"
    lock = twice.replace("digest", "- name: mongodb\n  version: 12.1.0\ndigest").encode()
    assert ranged({"Chart.lock": lock, "charts/mongodb-13.18.5.tgz": b""}) == []


def test_a_dependency_goes_by_its_alias_and_conditions_are_split_as_helm_splits_them():
    text = (
        RANGE.format(range="*")
        + "    condition: mongodb.enabled, database.own\n    alias: db\n    tags: [x]\n"
    )
    (found,) = read_chart_metadata({"Chart.yaml": text.encode()}).dependencies
    assert (found.key, found.conditions, found.tags) == ("db", ("mongodb.enabled", " database.own"), ("x",))


@pytest.mark.parametrize("name", ["../x", "[a]", "''", "a/b", "x" * 200])
def test_a_name_that_is_none_is_told(name):
    text = RANGE.format(range="*").replace("name: mongodb", f"name: {name}")
    found = check_dependencies(read_chart_metadata({"Chart.yaml": text.encode()}), {}, HOSTS)
    assert ["its name" in one.message for one in found] == [True]


def test_a_dependency_that_is_not_vendored_is_told_with_the_way_to_do_it():
    (found,) = check_dependencies(wrapper("https://rocketchat.github.io/helm-charts"), {}, HOSTS)
    assert "helm dependency update" in found.hint


@pytest.mark.parametrize(
    "files",
    [{}, {"Chart.yaml": b"- x"}, {"Chart.yaml": b"dependencies: x"}, {"Chart.yaml": b"dependencies: [x]"}],
    ids=["none", "a list", "dependencies as a text", "a dependency as a text"],
)
def test_a_folder_without_a_readable_chart_is_refused(files):
    with pytest.raises(Refused):
        read_chart_metadata(files)


def test_a_lock_that_is_none_is_refused_by_its_name():
    with pytest.raises(Refused, match=r"Chart\.lock"):
        ranged({"Chart.lock": b"dependencies: [mongodb]"})
