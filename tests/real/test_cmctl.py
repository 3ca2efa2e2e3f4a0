"""A renewal that we ask for is the one that cmctl asks for: its own program against the same cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.kubernetes import KubernetesServer
from shared.adapters.kubernetes.certificates import connect_certificates
from shared.kernel.secret import Secret
from tests.contract.test_certificate_cluster import NAMESPACE, READY, certificate
from tests.support.clusters import open_cluster

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    with open_cluster() as started:
        started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        started.add(certificate(READY, "theirs"), certificate(READY, "ours"))
        yield started


def test_a_renewal_sets_what_cmctl_sets(
    server: KubernetesServer, program: Callable[[str], Path], tmp_path: Path
) -> None:
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", namespace=NAMESPACE)
    argv = [
        str(program("cmctl")),
        "renew",
        "theirs",
        f"--namespace={NAMESPACE}",
        f"--kubeconfig={kubeconfig}",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    cluster = connect_certificates(Secret(kubeconfig.read_text()))
    assert cluster.trigger_renewal(NAMESPACE, "ours", datetime.now(UTC))
    theirs, ours = (conditions(server, name) for name in ("theirs", "ours"))
    assert theirs["Issuing"].keys() == ours["Issuing"].keys()
    for one in (theirs["Issuing"], ours["Issuing"]):
        del one["lastTransitionTime"]
    assert ours == theirs


def conditions(server: KubernetesServer, name: str) -> dict[str, dict[str, Any]]:
    """The conditions of a Certificate, by their type."""
    item = server.get("Certificate", name, NAMESPACE)
    assert item is not None
    return {one["type"]: dict(one) for one in item["status"]["conditions"]}
