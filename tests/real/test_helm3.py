"""Releases of the real Helm 3: they are taken over, and Helm 3 itself is refused by name.

The stand-in chart is installed by Helm 3, then upgraded and rolled back by ours.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.chart import rocketchat
from local.helm import ensure_helm
from shared.adapters import helm
from shared.adapters.helm.process import write_private_file
from shared.deploy.diff.manifests import diff_manifests
from shared.deploy.ports.releases import ChartPackage
from shared.kernel.errors import GroundcrewError, UsageError
from shared.kernel.secret import Secret
from tests.support.clusters import open_cluster

NAMESPACE = RELEASE = "rocketchat"
PATIENCE = timedelta(seconds=90)
VALUES = """\
host: {host}
existingMongodbSecret: chat-mongodb
mongodb: {{enabled: false}}
microservices: {{enabled: false}}
podMonitor: {{enabled: false}}
"""
# Adds an annotation to everything, as a team's post-renderer may.
RENDERER = "#!/bin/sh\nsed 's/^metadata:$/metadata:\\n  annotations: {by: post-renderer}/'\n"


def chart(host: str) -> ChartPackage:
    return ChartPackage(rocketchat(app_version="8.2.0"), [VALUES.format(host=host)])


@dataclass
class TakeOver:
    """A cluster, Helm 3, and our releases on it."""

    releases: Any
    helm3: Path
    kubeconfig: Path
    folder: Path

    def install(self, package: ChartPackage, *options: str) -> None:
        """Install the release by Helm 3."""
        root = self.folder / "chart"
        for name, data in package.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            write_private_file(root / name, data)
        values = write_private_file(self.folder / "values.yaml", package.values[0].encode())
        argv = [self.helm3, "upgrade", "--install", RELEASE, root, "--values", values, "--wait", *options]
        environment = {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder), "PATH": os.defpath}
        done = subprocess.run(
            [*map(str, argv), "--namespace", NAMESPACE, "--timeout", "90s"],
            env=environment, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.fixture
def take_over(program: Callable[[str], Path], tmp_path: Path) -> Iterator[TakeOver]:
    helm3 = program("helm3")
    try:
        binary = str(ensure_helm())
    except GroundcrewError as error:
        pytest.skip(str(error))
    with open_cluster() as server:
        server.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        meta = {"name": "chat-mongodb", "namespace": NAMESPACE}
        server.add({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"mongo-uri": "eA=="}})
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
        releases = helm.connect(Secret(kubeconfig.read_text()), RELEASE, NAMESPACE, binary=binary)
        yield TakeOver(releases, helm3, kubeconfig, tmp_path)


def test_a_release_of_helm_3_is_read_planned_upgraded_and_rolled_back(take_over: TakeOver) -> None:
    take_over.install(chart("one.example.org"))
    releases = take_over.releases
    (first,) = releases.history()
    assert (first.number, first.status, first.app_version) == (1, "deployed", "8.2.0")
    before = releases.manifests()
    assert list(releases.render(chart("one.example.org")).manifests) == before, "nothing changes by itself"
    outcome = releases.upgrade_install(
        chart("two.example.org"), timeout=PATIENCE, rollback_on_failure=True, on_progress=lambda _line: None
    )
    assert outcome.succeeded, outcome.reason
    assert [(one.number, one.status) for one in releases.history()] == [(1, "superseded"), (2, "deployed")]
    outcome = releases.rollback(1, timeout=PATIENCE, on_progress=lambda _line: None)
    assert outcome.succeeded, outcome.reason
    assert releases.manifests() == before


def test_what_a_post_renderer_added_is_shown_as_going_and_goes(take_over: TakeOver) -> None:
    """Deploys run none: what it changed is in no reviewed file."""
    script = take_over.folder / "renderer"
    script.write_text(RENDERER)
    script.chmod(0o755)
    take_over.install(chart("one.example.org"), "--post-renderer", str(script))
    before = take_over.releases.manifests()
    assert any("by" in (one["metadata"].get("annotations") or {}) for one in before)
    after = take_over.releases.render(chart("one.example.org")).manifests
    diff = diff_manifests(before, after, namespace=NAMESPACE)
    assert {field.path for change in diff.changes for field in change.fields} == {"metadata.annotations.by"}
    outcome = take_over.releases.upgrade_install(
        chart("one.example.org"), timeout=PATIENCE, rollback_on_failure=True, on_progress=lambda _line: None
    )
    assert outcome.succeeded, outcome.reason
    assert take_over.releases.manifests() == list(after)


def test_helm_3_itself_is_refused_by_its_version(take_over: TakeOver) -> None:
    kubeconfig = Secret(take_over.kubeconfig.read_text())
    with pytest.raises(UsageError, match=r"Helm 3\.\d+ is not supported"):
        helm.connect(kubeconfig, RELEASE, NAMESPACE, binary=str(take_over.helm3))
