"""The check of a stand-in's objects against Kubernetes' published description finds what is not so."""

from __future__ import annotations

from typing import Any

import pytest

from local.kubernetes import KubernetesServer
from local.kubernetes.errors import ApiError
from tests.support.clusters import describe_object_faults

WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"data": {"a": 1}}, "ConfigMap odd.data.a: int instead of string or null"),
    ({"datta": {}}, "ConfigMap odd.datta: no such field"),
    (
        {"metadata": {"name": "odd", "labels": []}},
        "ConfigMap odd.metadata.labels: list instead of object or null",
    ),
)


@pytest.mark.parametrize(("change", "fault"), WRONG)
def test_what_is_not_as_published_is_found(change: dict[str, Any], fault: str) -> None:
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd", "namespace": "default"}}
    with KubernetesServer() as server:
        assert describe_object_faults(server) == []
        server.store.put(("", "configmaps"), {**item, **change})
        assert describe_object_faults(server) == [fault]


@pytest.mark.parametrize(
    ("kind", "spec", "missing"),
    [
        ("Certificate", {"issuerRef": {"name": "production"}}, "secretName"),
        ("CertificateRequest", {"issuerRef": {"name": "production"}}, "request"),
        ("ClusterIssuer", {"acme": {"server": "https://acme.example"}}, "privateKeySecretRef"),
    ],
)
def test_what_cert_managers_definitions_require_is_required(kind: str, spec: Any, missing: str) -> None:
    meta = {"name": "odd"} if kind == "ClusterIssuer" else {"name": "odd", "namespace": "default"}
    with KubernetesServer() as server, pytest.raises(ApiError, match=missing):
        server.add({"apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": meta, "spec": spec})
