"""Charts as they are published pass the gates: first release, upgrade, and the plan is what Helm then does.

The stand-in chart has the traits of the official one that closed gates for no reason. Where the variable
`GROUNDCREW_TEST_CHART` names the folder of the official chart, with its dependencies in `charts/`, that goes
through the gates as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.chart import rocketchat
from shared.kernel.errors import GroundcrewError
from tests.support.chart_site import ChartSite, chart_site, read_folder

OFFICIAL = os.environ.get("GROUNDCREW_TEST_CHART", "")
EXTERNAL = """\
host: {host}
image: {{tag: "{tag}"}}
existingMongodbSecret: chat-mongodb
mongodb: {{enabled: false}}
microservices: {{enabled: false}}
"""
BUNDLED = """\
host: {host}
image: {{tag: "{tag}"}}
existingMongodbSecret: chat-mongodb
mongodb: {{auth: {{existingSecret: chat-auth}}}}
microservices: {{enabled: false}}
"""
TAGS = {"stand-in": "8.2.0", "official": "8.6.1"}


@pytest.fixture(params=["stand-in", "official"])
def source(request: pytest.FixtureRequest) -> str:
    if request.param == "official" and not OFFICIAL:
        pytest.skip("set GROUNDCREW_TEST_CHART to the folder of the official chart with its dependencies")
    return str(request.param)


@pytest.fixture(params=["vendored", "umbrella"])
def site(request: pytest.FixtureRequest, source: str, tmp_path: Path) -> Iterator[ChartSite]:
    chart = read_folder(Path(OFFICIAL)) if source == "official" else rocketchat(app_version="8.2.0")
    try:
        with chart_site(tmp_path, chart, form=request.param) as made:
            yield made
    except GroundcrewError as error:
        pytest.skip(str(error))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("values", [EXTERNAL, BUNDLED], ids=["external MongoDB", "bundled MongoDB"])
def test_no_gate_is_closed_and_the_plan_is_what_helm_then_does(site, source, values) -> None:
    first = site.gates(values.format(host="one.example.org", tag=TAGS[source]))
    site.deploy(first)
    assert list(site.releases.manifests()) == list(first.manifests)
    again = site.gates(values.format(host="one.example.org", tag=TAGS[source]))
    assert again.diff.changes == (), again.diff.text()
    second = site.gates(values.format(host="two.example.org", tag=TAGS[source]))
    assert {change.action for change in second.diff.changes} == {"change"}, second.diff.text()
    site.deploy(second)
    assert list(site.releases.manifests()) == list(second.manifests)
    kinds = {manifest["kind"] for manifest in second.manifests}
    assert "PodMonitor" in kinds, "rendered with the API versions of the cluster"
    if values is BUNDLED:
        leave_bundled_mongodb(site, source)


def leave_bundled_mongodb(site: ChartSite, source: str) -> None:
    """As docs/runbooks/leave-bitnami-mongodb.md does it: the plan says what goes, and its volume stays."""
    third = site.gates(EXTERNAL.format(host="two.example.org", tag=TAGS[source]))
    removed = {change.subject.kind for change in third.diff.changes if change.action == "remove"}
    assert "StatefulSet" in removed
    assert "PersistentVolumeClaim" not in removed
    assert any("their volumes stay" in warning for warning in third.diff.warnings)
    site.deploy(third)
    assert list(site.releases.manifests()) == list(third.manifests)
    assert [claim.name for claim in site.cluster.list_claims() if "mongodb" in claim.name]
