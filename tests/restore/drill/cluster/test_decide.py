"""What the drill's Job is to be: its image, its size, its manifest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.kubernetes.admission import admit_pod
from local.kubernetes.store import Store
from shared.adapters.kubernetes_schemas import validate
from shared.kernel.errors import Refused
from shared.restore.drill.cluster.decide import (
    cache_gigabytes,
    choose_image,
    name_job,
    select_leftovers,
    size_storage,
)
from shared.restore.drill.cluster.manifest import build_job
from shared.restore.drill.cluster.model import ScratchJob, ScratchSpec

GIB = 1 << 30
DIGEST = "@sha256:" + "0" * 64
SPEC = ScratchSpec("drill-x", "owner", "mongo:8.0.15", 2, 3 * GIB, 20 * GIB, timedelta(hours=6))
NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)


def test_the_image_of_the_sets_major_and_minor_version_is_taken() -> None:
    images = ("mongo:7.0.25", "registry.example:5000/mongo:8.0.15" + DIGEST, "mongo:8.2.1")
    assert choose_image(images, "8.0.4") == images[1]
    assert choose_image(images, "7.0.2") == images[0]
    for version in ("6.0.1", "8.1.0", "80.0.1"):
        with pytest.raises(Refused, match=f"MongoDB {version}"):
            choose_image(images, version)


def test_twice_the_data_is_asked_for_and_no_more_than_policy_allows() -> None:
    assert size_storage(0, 64 * GIB) == 4 * GIB
    assert size_storage(10 * GIB, 64 * GIB) == 20 * GIB
    assert size_storage(32 * GIB, 64 * GIB) == 64 * GIB
    with pytest.raises(Refused, match="80 GiB of 64 GiB"):
        size_storage(40 * GIB, 64 * GIB)


def test_the_cache_is_half_of_what_is_above_one_gibibyte() -> None:
    assert [cache_gigabytes(size * GIB) for size in (1, 2, 3, 9)] == [0.25, 0.5, 1.0, 4.0]


def test_the_name_is_one_of_kubernetes() -> None:
    assert name_job("20261123T010000Z", "0123456789abcdef") == "drill-20261123t010000z-012345"


def pod_of_job() -> dict[str, Any]:
    template = build_job(SPEC)["spec"]["template"]
    meta = {**template["metadata"], "name": "x", "namespace": "drill"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def test_the_schemas_of_every_version_in_use_take_the_job() -> None:
    for version in ("1.28.0", "1.31.0", "1.34.0"):
        assert [one.message for one in validate([build_job(SPEC)], version)] == []


def test_the_pod_passes_the_restricted_standard_and_has_limits_a_deadline_and_no_token() -> None:
    store = Store()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    for bucket, name, meta in (
        (("", "namespaces"), "drill", {"labels": labels}),
        (("scheduling.k8s.io", "priorityclasses"), "groundcrew-drill", {}),
    ):
        store.put(bucket, {"metadata": {"name": name, "uid": name, **meta}})
    admit_pod(store, pod_of_job())
    job = build_job(SPEC)["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (0, 6 * 3600)
    assert job["ttlSecondsAfterFinished"] == 600
    pod = job["template"]["spec"]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    (container,) = pod["containers"]
    limits = container["resources"]["limits"]
    assert limits.keys() == {"cpu", "memory", "ephemeral-storage"}
    assert int(limits["ephemeral-storage"]) > 20 * GIB
    assert pod["volumes"][0]["emptyDir"] == {"sizeLimit": str(20 * GIB)}
    assert "--setParameter=ttlMonitorEnabled=false" in container["args"]
    assert "--bind_ip=127.0.0.1" in container["args"]
    assert container["command"] == ["mongod"]  # and nothing of Rocket.Chat


def test_jobs_are_left_over_by_owner_by_end_and_by_age() -> None:
    def job(name: str, owner: str, **more: Any) -> ScratchJob:
        return ScratchJob(name, owner, NOW - timedelta(hours=2), deadline=timedelta(hours=6), **more)

    ours, ended = job("ours", "me"), job("ended", "you", finished=True)
    old = ScratchJob("old", "you", NOW - timedelta(hours=8), deadline=timedelta(hours=6))
    assert select_leftovers([ours, ended, old], "me", NOW) == ["ours", "ended", "old"]
    assert select_leftovers([], "me", NOW) == []
