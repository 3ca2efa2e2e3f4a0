"""What we hand out for `kubectl apply` is taken by a real API server, which is asked to be strict.

Kinds of cert-manager are checked by its own definitions (`make real` brings them); without a real cluster the
stand-in answers, which knows Kubernetes' schemas only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from local.kubernetes import KubernetesServer
from local.real.cluster import RealCluster
from local.stack import ROOT
from tests.support.clusters import open_cluster

MANIFESTS = sorted(
    [
        *(ROOT / "infra/chart").glob("rbac*.yaml"),
        *(ROOT / "infra/chart/cluster").glob("*.yaml"),
        *(ROOT / "infra/chart/secrets").glob("*.yaml"),
        ROOT / "infra/monitoring/generated/objects.yaml",
    ]
)


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


def create(cluster: RealCluster, item: dict[str, Any]) -> tuple[int, Any]:
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
