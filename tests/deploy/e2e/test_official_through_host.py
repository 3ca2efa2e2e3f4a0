"""The official chart from a signed merge through the host: first release, upgrade, and one that is undone.

`GROUNDCREW_TEST_CHART` names its folder, with the dependencies in `charts/`.
"""

from __future__ import annotations

import base64
import os
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from local.azurite import EmulatedAccount
from local.deploy_demo import NAMESPACE, NEVER, Site, wait_for_deploy
from local.helm import ensure_helm
from local.rocketchat.seed import seed_database
from local.stack import ROOT, Stack
from shared.kernel.errors import GroundcrewError
from tests.support.chart_site import SECRETS, read_folder, umbrella
from tests.support.clusters import open_cluster

ONE_PROCESS = "microservices: {enabled: false}\n"  # the chart's default wants a licence
OFFICIAL = os.environ.get("GROUNDCREW_TEST_CHART", "")
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not OFFICIAL, reason="set GROUNDCREW_TEST_CHART to the folder of the official chart"),
]


BUNDLED = "mongodb: {auth: {existingSecret: chat-auth}}\n"


def _adapt(values: str, *, form: str, is_bundled: bool) -> str:
    """The stand-in's values for the official chart."""
    if is_bundled:
        values = values.replace("mongodb:\n  enabled: false\n", BUNDLED)
    values += ONE_PROCESS
    return f"rocketchat:\n{textwrap.indent(values, '  ')}" if form == "umbrella" else values


@pytest.fixture(params=["vendored", "umbrella"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["external MongoDB", "bundled MongoDB"])
def place(
    request: pytest.FixtureRequest, form: str, tmp_path: Path, take_account: Callable[[], EmulatedAccount]
) -> Iterator[tuple[Stack, Site]]:
    try:
        ensure_helm()
    except GroundcrewError as error:
        pytest.skip(str(error))
    files = read_folder(Path(OFFICIAL))
    files = umbrella(files) if form == "umbrella" else files
    adapt = partial(_adapt, form=form, is_bundled=request.param)
    with Site(
        tmp_path / "site", chart=lambda _version: files, adapt_values=adapt, open_cluster=open_cluster
    ) as site:
        data = dict.fromkeys(SECRETS["chat-auth"], base64.b64encode(b"x").decode())
        meta = {"name": "chat-auth", "namespace": NAMESPACE}
        site.cluster.add({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
        policy = site.policy((ROOT / "policy.yaml").read_text())
        settings = dict(site.settings)
        with Stack(tmp_path / "stack", policy=policy, storage=take_account(), environment=settings) as stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
            yield stack, site


def test_a_first_release_an_upgrade_and_one_that_never_starts_need_no_override(place) -> None:
    stack, site = place

    def ship(version: str, greeting: str, **more: str):
        return wait_for_deploy(stack, site.merge(stack.host.url, site.propose(version, greeting, **more)))

    first = ship("8.6.0", "hello")
    assert first.state.value == "done", first
    assert site.chat.version() == "8.6.0"
    second = ship("8.6.1", "hello again")
    assert second.state.value == "done", second
    assert second.progress.backup, "a new version is preceded by a backup"
    assert (site.chat.version(), site.read_greeting()) == ("8.6.1", "hello again")
    undone = ship("8.6.1", "goodbye", image=NEVER)
    assert undone.state.value == "rolled_back", undone
    assert (site.chat.version(), site.read_greeting()) == ("8.6.1", "hello again")
    assert site.statuses(undone.progress.sha)[-1] == "failure"
    assert site.people.wait_for("was rolled back")
