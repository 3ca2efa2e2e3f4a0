"""The cluster of a test: the stand-in, or the real one that GROUNDCREW_TEST_KUBECONFIG names."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import cast

import pytest

from local.kubernetes import KubernetesServer
from local.real.cluster import RealCluster, kubeconfig_path


def open_cluster() -> AbstractContextManager[KubernetesServer]:
    """What tests do with the stand-in works in both; what cannot be done to a real one skips the test."""
    if kubeconfig_path() is None:
        return KubernetesServer()
    return cast(AbstractContextManager[KubernetesServer], RealCluster(pytest.skip))


def patience(seconds: float) -> float:
    """How long a wait may take: a real cluster's controllers have their own pace."""
    return seconds if kubeconfig_path() is None else max(seconds, 120.0)
