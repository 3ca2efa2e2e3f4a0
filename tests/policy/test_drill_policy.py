"""The drill's own MongoDB in policy."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.kernel.errors import UsageError
from shared.policy import parse_policy

IMAGE = "docker.io/library/mongo:8.0.15"


def parse(text: str):
    return parse_policy(f"backup: {{drill: {{cluster: {{{text}}}}}}}").backup.drill.cluster


def test_an_image_is_enough_and_the_rest_has_defaults_that_fit_a_small_node() -> None:
    cluster = parse(f"images: ['{IMAGE}', 'registry.example:5000/mongo:7.0.1@sha256:{'0' * 64}']")
    assert (cluster.namespace, cluster.cpus, cluster.memory) == ("groundcrew-drill", 2, 3 << 30)
    assert (cluster.storage_limit, cluster.deadline) == (64 << 30, timedelta(hours=6))


@pytest.mark.parametrize(
    "text",
    [
        "images: []",
        "images: ['mongo:8.0']",  # another server next month
        "images: ['mongo:latest']",
        "images: ['mongo']",
        "images: ['mongo:8.0.15@sha256:12']",
        "images: ['Mongo:8.0.15']",
        "namespace: drill",
        f"images: ['{IMAGE}'], memory: 512 MiB",
        f"images: ['{IMAGE}'], memory: 512 GiB",
        f"images: ['{IMAGE}'], storage_limit: 1 GiB",
        f"images: ['{IMAGE}'], deadline: 5m, ready_within: 1m",
        f"images: ['{IMAGE}'], deadline: 15m",
        f"images: ['{IMAGE}'], cpus: 0",
        f"images: ['{IMAGE}'], namespace: Drill",
    ],
)
def test_what_would_make_a_drill_say_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)
