"""One cluster for each test: the stand-in, or a namespace in the one of GROUNDCREW_TEST_KUBECONFIG."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from local.real.control_plane import MARK
from shared.kernel.errors import GroundcrewError

CHART = Path(__file__).parent / "chart"
_REAL = os.environ.get("GROUNDCREW_TEST_KUBECONFIG")
# How long a wait may take: a real cluster pulls images.
_PATIENCE_SECONDS = 120.0 if _REAL else 15.0


@dataclass
class Cluster:
    """What a test works with, whichever cluster it is."""

    kubeconfig: Path
    namespace: str
    directory: Path
    api: client.ApiClient
    stand_in: KubernetesServer | None = None
    core: client.CoreV1Api = field(init=False)
    apps: client.AppsV1Api = field(init=False)
    batch: client.BatchV1Api = field(init=False)

    def __post_init__(self) -> None:
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)
        self.batch = client.BatchV1Api(self.api)

    @property
    def server(self) -> KubernetesServer:
        """The stand-in; a test that needs it does not run elsewhere."""
        if self.stand_in is None:
            pytest.skip("only the stand-in can be told to do that")
        return self.stand_in

    @property
    def kubelet(self) -> client.CoreV1Api:
        """For the logs of containers; a test that reads them does not run where no container does."""
        marks = self.core.list_namespaced_config_map("kube-system", field_selector=f"metadata.name={MARK[1]}")
        if marks.items:
            pytest.skip("kwok's nodes run no containers, which could have logs")
        return self.core

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """For Helm and kubectl: nothing of the user's own."""
        homes = {f"HELM_{kind}_HOME": str(self.directory / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        known = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        return {**known, **homes, "KUBECONFIG": str(kubeconfig or self.kubeconfig)}

    def run(self, *argv: str | Path, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            argv,
            env=self.environment(kubeconfig),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS * 2,
            check=False,
        )

    def until(self, what: Callable[[], Any]) -> Any:
        """The first true value of `what`, asked again and again until the deadline."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not (found := what()):
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)
        return found


@dataclass
class Helm:
    """The real Helm, in one cluster and namespace."""

    cluster: Cluster
    binary: Path

    def argv(self, *arguments: str) -> list[str]:
        """A command line for the cluster's namespace."""
        return [str(self.binary), *arguments, "--namespace", self.cluster.namespace]

    def __call__(self, *arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.cluster.run(*self.argv(*arguments), kubeconfig=kubeconfig)

    def upgrade_arguments(self, *extra: str, **values: Any) -> list[str]:
        """As Groundcrew deploys: install or upgrade, watch, roll back on failure."""
        settings = [text for key, value in values.items() for text in _setting(key, value)]
        patience = [] if "--timeout" in extra else ["--timeout", "120s" if _REAL else "10s"]
        return ["upgrade", "--install", "tiny", str(CHART), "--wait=watcher", *patience, *settings, *extra]

    def upgrade(self, *extra: str, **values: Any) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return self(*self.upgrade_arguments(*extra, **values))

    def deployed(self, **values: Any) -> None:
        """An upgrade that a test needs to have worked."""
        done = self.upgrade(**values)
        assert done.returncode == 0, done.stderr

    def history(self) -> list[tuple[int, str, str]]:
        """(revision, status, description) of each revision."""
        told = json.loads(self("history", "tiny", "--output", "json").stdout)
        return [(entry["revision"], entry["status"], entry["description"]) for entry in told]


def _setting(key: str, value: Any) -> list[str]:
    return ["--set-json", f"{key.replace('__', '.')}={json.dumps(value)}"]


def _client(kubeconfig: Path) -> client.ApiClient:
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    configuration.retries = False
    return client.ApiClient(configuration)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """An empty namespace in a cluster, with a client that has an administrator's rights."""
    namespace = f"groundcrew-test-{uuid.uuid4().hex[:8]}"
    if _REAL:
        api = _client(Path(_REAL))
        found = Cluster(Path(_REAL), namespace, tmp_path, api)
        found.core.create_namespace({"metadata": {"name": namespace}})
        yield found
        found.core.delete_namespace(namespace)
        api.close()
        return
    with KubernetesServer() as server:
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
        api = _client(kubeconfig)
        found = Cluster(kubeconfig, namespace, tmp_path, api, server)
        found.core.create_namespace({"metadata": {"name": namespace}})
        yield found
        api.close()


@pytest.fixture(scope="session")
def helm_binary() -> Path:
    """Helm 4; the tests that need it are skipped where it cannot be had."""
    try:
        return ensure_helm()
    except GroundcrewError as error:
        pytest.skip(str(error))


@pytest.fixture
def helm(cluster: Cluster, helm_binary: Path) -> Helm:
    """Helm for the test's namespace."""
    return Helm(cluster, helm_binary)


@pytest.fixture
def kubectl(cluster: Cluster, helm_binary: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """kubectl for the test's namespace."""
    binary = helm_binary.parent / "kubectl"
    if not binary.exists():
        pytest.skip("there is no kubectl beside Helm")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return cluster.run(binary, "--namespace", cluster.namespace, *arguments)

    return run
