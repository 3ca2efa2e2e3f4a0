"""What makes the real Helm fail before it changed anything proposes no restore, and the next merge deploys.

Gates close before all of this; here it happens between the gates and Helm, to which no gate can say anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.fakes.clock import ManualClock
from local.fakes.faults import FaultPlan
from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from local.kubernetes.addons import build_definition
from local.real import find_program
from shared.adapters import helm
from shared.adapters.helm.process import Helm
from shared.adapters.helm.releases import HelmReleases
from shared.adapters.kubernetes.cluster import connect as connect_cluster
from shared.deploy.deps import DeployDeps
from shared.deploy.progress import DeployState
from shared.health.ports import Health
from shared.kernel.errors import GroundcrewError
from shared.kernel.secret import Secret
from shared.policy.deploy import DeployPolicy
from tests.support.clusters import open_cluster
from tests.support.deploy_world import REPOSITORY, World, chart_files

pytestmark = pytest.mark.timeout(300)
NAMESPACE = RELEASE = "rocketchat"
WIDGET = "apiVersion: example.org/{version}\nkind: Widget\nmetadata: {{name: w}}\n"
# Helm 3.22's own words, where it is not there itself: `make real` brings it.
HELM_3 = """#!/bin/sh
[ "$1" = upgrade ] || exec {helm} "$@"
echo 'Error: unknown flag: --server-side' >&2
exit 1
"""


@dataclass
class MeanwhileReleases:
    """The real releases, to which something happens right before Helm applies."""

    real: HelmReleases
    meanwhile: Callable[[], HelmReleases | None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def upgrade_install(self, *arguments: Any, **options: Any) -> Any:
        return (self.meanwhile() or self.real).upgrade_install(*arguments, **options)


class RealWorld(World):
    """A world whose Helm and cluster are not fakes of ours."""

    real: MeanwhileReleases
    real_cluster: Any

    def deps(self, plan: FaultPlan | None = None) -> DeployDeps:
        return replace(super().deps(plan), releases=self.real, cluster=self.real_cluster)


@dataclass
class Place:
    """The world, the cluster behind it, and a Helm of another major."""

    world: RealWorld
    server: KubernetesServer
    helm_3: HelmReleases


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("untouched")
    try:
        binary = ensure_helm()
    except GroundcrewError as error:
        pytest.skip(str(error))
    with open_cluster() as server:
        server.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        kubeconfig = Secret(server.kubeconfig(folder / "kubeconfig").read_text())
        world = RealWorld(
            clock=ManualClock(datetime.now(UTC)), policy=DeployPolicy(repository=REPOSITORY), schema=None
        )
        world.smoke = lambda version: Health(True, f"{version} lets people in")
        world.real = MeanwhileReleases(helm.connect(kubeconfig, RELEASE, NAMESPACE, binary=str(binary)))
        world.real_cluster = connect_cluster(kubeconfig, NAMESPACE, "")
        _, sha = world.merge(chart_files("8.2.0"))
        world.work()
        assert world.record(sha).state is DeployState.DONE, world.record(sha)
        # What runs is older than whatever comes now, by the clocks of both.
        world.clock.advance(timedelta(minutes=30))
        yield Place(world, server, _other_major(folder, binary, kubeconfig))


def _other_major(folder: Path, binary: Path, kubeconfig: Secret) -> HelmReleases:
    """The real Helm 3 where it is there; else one that refuses as it does."""
    program = find_program("helm3")
    if program is None:
        program = folder / "helm3"
        program.write_text(HELM_3.format(helm=binary))
        program.chmod(0o755)
    return HelmReleases(Helm(program, kubeconfig, NAMESPACE), kubeconfig, RELEASE, NAMESPACE)


def serve_widgets(place: Place, *versions: str) -> None:
    """Let the cluster know the kind Widget in these versions, or not at all."""
    if place.server.get("CustomResourceDefinition", "widgets.example.org", ""):
        place.server.cluster.delete("CustomResourceDefinition", "widgets.example.org", "")
    for version in versions:
        place.server.add(build_definition("example.org", version, "Widget", "widgets"))


CASES: dict[str, tuple[str, Callable[[Place], HelmReleases | None]]] = {
    "a kind that the cluster does not know any more": ("v1", lambda place: serve_widgets(place)),
    "an API that the cluster no longer serves": ("v1beta1", lambda place: serve_widgets(place, "v1")),
    "a Helm of another major": ("", lambda place: place.helm_3),
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_was_changed_is_said_and_the_next_merge_deploys(place: Place, case: str) -> None:
    version, happens = CASES[case]
    world, before = place.world, len(place.world.real.history())
    if version:
        serve_widgets(place, version)
    widget = {"templates/widget.yaml": WIDGET.format(version=version).encode() if version else b""}
    world.real.meanwhile = lambda: happens(place)
    _, sha = world.merge({**chart_files("8.3.0"), **widget})
    world.work()
    world.real.meanwhile = lambda: None
    record = world.record(sha)
    assert record.state is DeployState.FAILED, record
    assert record.progress.attempts == 1, "the gates were open, and Helm was run"
    assert record.progress.reason.endswith("; nothing was changed"), record.progress.reason
    assert len(world.real.history()) == before
    assert world.deps().watermarks.read() is None
    assert "Nothing was changed" in world.people.told[-1].hint
    host = f"{before}.example.org"
    _, reverted = world.merge({**chart_files("8.2.0", host), "templates/widget.yaml": None})
    world.work()
    assert world.record(reverted).state is DeployState.DONE, world.record(reverted)
    world.clock.advance(timedelta(minutes=30))
