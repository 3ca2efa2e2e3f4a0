"""Which version of Rocket.Chat manifests start, and when it cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from shared.kubernetes.images import (
    Image,
    find_chat_image,
    find_chat_version,
    find_mongodb_image,
    find_mongodb_version,
    is_same_image,
    list_images,
)

A, B = (f"sha256:{letter * 64}" for letter in "ab")
CHAT = "registry.example:5000/rocketchat/rocket.chat"


def workload(image: str, *, kind: str = "Deployment", name: str = "web", init: str = "") -> dict[str, Any]:
    pod = {
        "containers": [{"name": name, "image": image}],
        "initContainers": [{"name": "init", "image": init}] if init else [],
    }
    spec: dict[str, Any] = {"template": {"spec": pod}}
    if kind == "CronJob":
        spec = {"jobTemplate": {"spec": spec}}
    return {"kind": kind, "spec": pod if kind == "Pod" else spec}


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        ("mongo", "mongo", "", ""),
        ("registry:5000/mongo", "mongo", "", ""),
        ("registry:5000/a/mongo:8.0", "mongo", "8.0", ""),
        (f"a/mongo:8.0@{A}", "mongo", "8.0", A),
        (f"registry:5000/mongo@{A}", "mongo", "", A),
        ("", "", "", ""),
    ],
)
def test_the_parts_of_a_reference_to_an_image(text, name, tag, digest):
    image = Image.parse(text)
    assert (image.name, image.tag, image.digest) == (name, tag, digest)


@pytest.mark.parametrize(
    ("manifests", "version"),
    [
        pytest.param([workload(f"{CHAT}:8.2.0")], "8.2.0", id="a tag"),
        pytest.param([workload(f"{CHAT}:8.2.0@{A}")], "8.2.0", id="a tag and a digest"),
        pytest.param([workload(f"{CHAT}@{A}")], "", id="a digest"),
        pytest.param([workload(f"{CHAT}:latest")], "", id="a tag that moves"),
        pytest.param([workload(CHAT)], "", id="no tag at a registry with a port"),
        pytest.param([workload("acme/chat:8.2.0", name="rocketchat")], "8.2.0", id="an image of one's own"),
        pytest.param([workload("acme/chat:8.2.0")], "", id="nothing that is known"),
        pytest.param([workload(f"{CHAT}:8.2.0", init=f"{CHAT}:8.3.0")], "", id="an init container is newer"),
        pytest.param([workload(f"{CHAT}:8.2.0", init="busybox:1.36.0")], "8.2.0", id="an init container"),
        pytest.param(
            [workload(f"{CHAT}:8.2.0"), workload(f"{CHAT}:8.3.0", kind="CronJob")],
            "",
            id="a CronJob is newer",
        ),
        pytest.param([workload(f"{CHAT}:8.2.0"), workload(f"{CHAT}:8.2.0", kind="Pod")], "8.2.0", id="a Pod"),
        pytest.param([], "", id="nothing"),
    ],
)
def test_the_version_is_the_tag_of_all_images_of_rocketchat_or_cannot_be_told(manifests, version):
    assert find_chat_version(manifests) == version


def test_a_label_is_no_version_since_it_stays_when_the_digest_changes():
    labelled = {**workload(f"{CHAT}@{A}"), "metadata": {"labels": {"app.kubernetes.io/version": "8.2.0"}}}
    assert find_chat_version([labelled]) == ""


def test_several_images_of_rocketchat_are_told_together():
    assert find_chat_image([workload(f"{CHAT}:2"), workload(f"{CHAT}:1"), workload(f"{CHAT}:1")]) == (
        f"{CHAT}:1, {CHAT}:2"
    )


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("a:8.2.0", "a:8.2.0", True),
        ("a:8.2.0", "b:8.2.0", False),
        ("a:8.2.0", "a:8.3.0", False),
        ("a:latest", "a:latest", False),
        (f"a@{A}", f"a@{A}", True),
        (f"a@{A}", f"a:8.2.0@{A}", True),
        (f"a@{A}", f"a@{B}", False),
        (f"a:8.2.0@{A}", f"a:8.2.0@{B}", False),
        (f"a:8.2.0@{A}", "a:8.2.0", False),
        ("a:8.2.0, a:latest", "a:8.2.0, a:latest", False),
        ("", "", False),
    ],
)
def test_images_are_the_same_by_digest_or_by_a_version(before, after, same):
    assert is_same_image(before, after) is same


def test_mongodb_is_the_one_that_keeps_running():
    manifests = [
        workload("mongo:6", kind="CronJob"),
        workload(f"bitnamilegacy/mongodb:8.0.13@{A}", kind="StatefulSet"),
    ]
    assert find_mongodb_image(manifests).startswith("bitnamilegacy/")
    assert find_mongodb_version(manifests) == "8.0.13"
    assert find_mongodb_image([workload("bitnami/mongodb-exporter:1.0.0")]) == ""


@pytest.mark.parametrize("shape", [None, "x", 1, [], ["x"], {"a": 1}, [{"image": ["x"]}, None]], ids=repr)
def test_manifests_of_another_shape_start_nothing_that_is_known(shape):
    for spec in (shape, {"template": shape}, {"template": {"spec": shape}}):
        assert find_chat_version([{"kind": "Deployment", "spec": spec}]) == ""
    for pod in ({"containers": shape}, {"initContainers": shape}):
        manifest = {"kind": "Deployment", "spec": {"template": {"spec": pod}}}
        assert all(isinstance(image, str) for image in list_images([manifest]))
        assert find_mongodb_version([manifest]) == ""
