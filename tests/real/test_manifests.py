"""What we hand out for `kubectl apply` is taken by a real API server, which is asked to be strict.

Kinds of cert-manager are checked by its own definitions (`make real` brings them); without a real cluster the
stand-in answers, which knows Kubernetes' schemas only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
import yaml

from local.kubernetes import KubernetesServer
from local.real.cluster import RealCluster, kubeconfig_path
from local.stack import ROOT
from shared.adapters.kubernetes.rehearsal import connect_rehearsal
from shared.kernel.secret import Secret
from shared.kubernetes.chat_container import ChatContainer
from shared.rehearsal.manifest import build_job
from shared.rehearsal.model import RehearsalSpec
from shared.restore.drill.cluster.model import NamespaceSetup
from tests.support.clusters import open_cluster

MANIFESTS = sorted(
    [
        *(ROOT / "infra/chart").glob("rbac*.yaml"),
        *(ROOT / "infra/chart/cluster").glob("*.yaml"),
        *(ROOT / "infra/chart/secrets").glob("*.yaml"),
        ROOT / "infra/monitoring/generated/objects.yaml",
    ]
)

SPEC = RehearsalSpec(
    "rehearsal-1", "0123456789abcdef", "mongo:8.0.15", ChatContainer("rocket.chat:9.0.0"), "rocketchat", 2,
    3 << 30, 2 << 30, 4 << 30, timedelta(hours=6),
)  # fmt: skip


@pytest.fixture
def cluster() -> Iterator[RealCluster]:
    with open_cluster() as started:
        if isinstance(started, KubernetesServer):
            pytest.skip("needs a real cluster: `make real SLOW=1`")
        yield started


def items() -> Iterator[dict[str, Any]]:
    """Each object of each file, those of a List by themselves."""
    for path in MANIFESTS:
        for item in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield from item["items"] if item["kind"] == "List" else [item]


def create(cluster: RealCluster, item: Mapping[str, Any]) -> tuple[int, Any]:
    """What the API server says to it; nothing is kept."""
    meta = item["metadata"]
    place = cluster.api.collection(item["kind"], meta.get("namespace", "default"), item["apiVersion"])
    return cluster.api.ask("POST", f"{place}?dryRun=All&fieldValidation=Strict", item)


def test_every_object_is_taken_as_it_is(cluster: RealCluster) -> None:
    known = [one for one in items() if is_known(cluster, one)]
    assert len(known) > 40
    names = {one["metadata"]["namespace"] for one in known if "namespace" in one["metadata"]}
    for name in sorted(names):
        cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    refused = {
        f"{one['kind']} {one['metadata']['name']}": answer.get("message")
        for one in known
        for status, answer in [create(cluster, one)]
        if status not in (200, 201, 409)  # 409: a namespace that the test has made
    }
    assert refused == {}, json.dumps(refused, indent=1)


def is_known(cluster: RealCluster, item: dict[str, Any]) -> bool:
    """Whether the cluster has the kind: of Prometheus' operator it knows some only."""
    try:
        cluster.api.kind(item["kind"], item["apiVersion"])
    except KeyError:
        return False
    return True


def test_a_field_that_a_definition_does_not_know_is_refused(cluster: RealCluster) -> None:
    issuer = next(one for one in items() if one["kind"] == "ClusterIssuer")
    wrong = {**issuer, "spec": {**issuer["spec"], "acmee": {}}}
    status, answer = create(cluster, wrong)
    if status in (200, 201):
        pytest.skip("cert-manager's own definitions were not brought: `make real`")
    assert status in (400, 422)
    assert "acmee" in answer["message"]


def test_the_namespace_of_rehearsals_shuts_their_pod_in(cluster: RealCluster) -> None:
    """Its objects as they are handed out, read by what reads them before each rehearsal."""
    for one in yaml.safe_load_all((ROOT / "infra/chart/rbac-rehearsal.yaml").read_text(encoding="utf-8")):
        if one["kind"] in ("Namespace", "NetworkPolicy", "ResourceQuota", "PriorityClass"):
            cluster.add(one)
    path = kubeconfig_path()
    assert path is not None
    space = connect_rehearsal(Secret(path.read_text()), "groundcrew-rehearsal", "default")
    assert space.read_setup() == NamespaceSetup("restricted", isolated=True)
    job = build_job(SPEC)
    job["metadata"]["namespace"] = "groundcrew-rehearsal"
    assert create(cluster, job)[0] == 201
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": "groundcrew-rehearsal"},
        "spec": job["spec"]["template"]["spec"],
    }
    # Refused until the namespace's account and the usage of its quota are there.
    deadline = time.monotonic() + 60
    while (told := create(cluster, pod))[0] != 201 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert told[0] == 201, told
    loose = json.loads(json.dumps(pod))
    loose["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    status, answer = create(cluster, loose)
    assert status == 403
    assert "violates PodSecurity" in answer["message"]
    cluster.add(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "out", "namespace": "groundcrew-rehearsal"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
        }
    )
    assert space.read_setup() == NamespaceSetup("restricted", isolated=False)
