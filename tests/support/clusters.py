"""The cluster of a test: the stand-in, or the real one that GROUNDCREW_TEST_KUBECONFIG names.

What the stand-in has at a test's end, and so what it answered, is held against Kubernetes' published OpenAPI
description, which kubernetes-validate carries whole. What is asked of it is held against the same by itself:
a write that is not as described is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import pytest

from local.kubernetes import KubernetesServer
from local.kubernetes.schema import load_definitions
from local.real.cluster import RealCluster, kubeconfig_path
from tests.support.openapi import OpenApiSchemas, Schema


def open_cluster() -> AbstractContextManager[KubernetesServer]:
    """What tests do with the stand-in works in both; what cannot be done to a real one skips the test."""
    if kubeconfig_path() is None:
        return _open_checked()
    return cast(AbstractContextManager[KubernetesServer], RealCluster(pytest.skip))


@contextmanager
def _open_checked() -> Iterator[KubernetesServer]:
    with KubernetesServer() as server:
        yield server
        assert describe_object_faults(server) == []


def describe_object_faults(server: KubernetesServer) -> list[str]:
    """What of the stand-in's objects is not as published; kinds defined in the cluster are left out."""
    schemas, roots = _published(server.cluster.version)
    return [
        fault
        for _, item in server.store.all()
        if (root := roots.get((item["apiVersion"], item["kind"])))
        for fault in schemas.faults(item, root, f"{item['kind']} {item['metadata']['name']}", whole=True)
    ]


@functools.cache
def _published(version: str) -> tuple[OpenApiSchemas, dict[tuple[str, str], Schema]]:
    """The definitions, and that of each kind by its API's version and its name."""
    definitions: dict[str, Any] = dict(load_definitions(version))
    roots = {
        ("/".join(filter(None, (one["group"], one["version"]))), one["kind"]): definition
        for definition in definitions.values()
        for one in definition.get("x-kubernetes-group-version-kind", ())
    }
    return OpenApiSchemas(definitions), roots


def patience(seconds: float) -> float:
    """How long a wait may take: a real cluster's controllers have their own pace."""
    return seconds if kubeconfig_path() is None else max(seconds, 120.0)
