"""What Prometheus says of a node's disk, and what the node says of its images."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared.kubernetes.node_disk import (
    QUERY,
    list_image_names,
    normalize_image_name,
    parse_free_disk,
    sum_image_bytes,
)

VM = {
    "metadata": {"name": "vm"},
    "status": {
        "addresses": [
            {"type": "InternalIP", "address": "10.0.0.4"},
            {"type": "InternalIP", "address": "fd00::4"},
            {"type": "ExternalIP", "address": "203.0.113.9"},
            {"type": "Hostname", "address": "vm"},
        ]
    },
}
OTHER = {
    "metadata": {"name": "other"},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.5"}]},
}


def sample(mountpoint: str, value: object, instance: str = "10.0.0.4:9100", **labels: str) -> dict[str, Any]:
    return {
        "metric": {"mountpoint": mountpoint, "instance": instance, **labels},
        "value": [1700000000.1, value],
    }


def answer(*samples: object) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(samples)}}


@pytest.mark.parametrize(
    ("mounted", "free"),
    [
        pytest.param({"/": "5"}, 5, id="all on the root's disk"),
        pytest.param({"/": "5", "/var/snap": "7"}, 7, id="MicroK8s on a disk of its own"),
        pytest.param(
            {"/var": "6", "/var/snap": "7", "/var/snap/microk8s/common": "8", "/": "5"}, 8, id="the longest"
        ),
        pytest.param({"/": "5", "/var": "6"}, 6, id="a disk for all that varies"),
        pytest.param({"/": "5", "/var/lib/containerd": "7"}, 7, id="another containerd"),
        pytest.param({"/": "5", "/var/lib/kubelet": "9"}, 9, id="the kubelet's folder"),
        pytest.param(
            {"/var/lib/kubelet": "9", "/var/lib/containerd": "7", "/": "5"}, 7, id="images before the kubelet"
        ),
        pytest.param({"/": "5", "/var/lib/containerd": "7", "/var/snap": "8"}, 8, id="MicroK8s first"),
        pytest.param(
            {"/": "5", "/var/snapshots": "1", "/var/snap/microk8s/common/var/lib/containerd/x": "2"},
            5,
            id="neither beside nor below",
        ),
        pytest.param({"/": "8.589934592e+10"}, 80 << 30, id="with an exponent"),
        pytest.param({"/": "0"}, 0, id="full"),
    ],
)
def test_the_disk_on_which_images_lie_is_the_one_that_counts(mounted, free):
    assert parse_free_disk(answer(*(sample(*one) for one in mounted.items())), [VM]) == {"vm": free}


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        pytest.param({"instance": "10.0.0.4:9100"}, {"vm"}, id="by address"),
        pytest.param({"instance": "[fd00::4]:9100"}, {"vm"}, id="by its other address"),
        pytest.param({"instance": "10.0.0.5:9100"}, {"other"}, id="by the other node's address"),
        pytest.param({"instance": "10.0.0.5:9100", "node": "vm"}, {"vm"}, id="by label before address"),
        pytest.param({"instance": "10.0.0.4:9100", "node": "gone"}, set(), id="of a node that is gone"),
        pytest.param({"instance": "203.0.113.9:9100"}, set(), id="by an outer address"),
        pytest.param({"instance": "10.0.0.44:9100"}, set(), id="nobody's address"),
        pytest.param({"instance": "vm"}, set(), id="no address"),
        pytest.param({"instance": ""}, set(), id="nothing"),
    ],
)
def test_a_sample_belongs_to_the_node_that_it_names(labels, found):
    assert set(parse_free_disk(answer(sample("/", "5", **labels)), [VM, OTHER])) == found


def test_each_node_has_its_own_disk():
    both = answer(sample("/", "5"), sample("/", "6", "10.0.0.5:9100"), sample("/run", "7"))
    assert parse_free_disk(both, [VM, OTHER]) == {"vm": 5, "other": 6}


def test_of_two_samples_of_one_filesystem_the_lesser_counts():
    assert parse_free_disk(answer(sample("/", "6"), sample("/", "5"), sample("/", "7")), [VM]) == {"vm": 5}


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1", "", "many", "5 GiB", 5, None, [], True, {}])
def test_a_value_that_is_no_size_is_not_measured_and_no_other_disk_stands_in_for_it(value):
    there = answer(sample("/", "5"), sample("/var/snap", value), sample("/var/snap", "6"))
    assert parse_free_disk(there, [VM]) == {}


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="a list"),
        pytest.param("success", id="a text"),
        pytest.param({}, id="empty"),
        pytest.param({"status": "error", "errorType": "bad_data", "error": "parse error"}, id="an error"),
        pytest.param({**answer(sample("/", "5")), "status": "error"}, id="an error with data"),
        pytest.param({"status": "success"}, id="no data"),
        pytest.param({"status": "success", "data": []}, id="data as a list"),
        pytest.param({"status": "success", "data": {"resultType": "vector"}}, id="no result"),
        pytest.param(
            {"status": "success", "data": {"resultType": "scalar", "result": [1700000000, "5"]}},
            id="a scalar",
        ),
        pytest.param(
            {"status": "success", "data": {"resultType": "matrix", "result": [sample("/", "5")]}},
            id="a matrix",
        ),
        pytest.param(
            {"status": "success", "data": {"resultType": "vector", "result": {"0": sample("/", "5")}}},
            id="a result as an object",
        ),
        pytest.param(answer(None, 5, "x", [], {}), id="samples that are none"),
        pytest.param(answer({"metric": [], "value": [1, "5"]}), id="labels as a list"),
        pytest.param(
            answer({"metric": {"instance": "10.0.0.4:9100"}, "value": [1, "5"]}), id="no mountpoint"
        ),
        pytest.param(
            answer({"metric": {"mountpoint": ["/"], "instance": 5}, "value": [1, "5"]}), id="odd labels"
        ),
        pytest.param(answer({**sample("/", "5"), "value": ["5"]}), id="a value without a time"),
        pytest.param(answer({**sample("/", "5"), "value": "5"}), id="a value as a text"),
        pytest.param(answer({**sample("/", "5"), "value": [1, "5", "6"]}), id="too many values"),
        pytest.param(answer({"metric": sample("/", "5")["metric"]}), id="no value"),
    ],
)
def test_an_answer_that_does_not_look_as_it_should_measures_nothing(said):
    assert parse_free_disk(said, [VM]) == {}


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"metadata": None},
        {"metadata": {"name": "vm"}},
        {"metadata": {"name": "vm"}, "status": {"addresses": None}},
        {"metadata": {"name": "vm"}, "status": {"addresses": ["10.0.0.4", {"type": "InternalIP"}]}},
    ],
)
def test_a_node_without_name_or_address_is_not_measured(node):
    assert parse_free_disk(answer(sample("/", "5"), sample("/", "5", instance=":9100")), [node]) == {}


def test_only_places_where_images_can_lie_are_asked_for():
    found = re.fullmatch(r'node_filesystem_avail_bytes\{mountpoint=~"([^"]+)"\}', QUERY)
    assert found is not None
    places = found[1].split("|")
    assert {"/", "/var", "/var/snap", "/var/lib", "/var/lib/containerd", "/var/lib/kubelet"} < set(places)
    assert not any(re.fullmatch(found[1], place) for place in ("/run", "/boot", "/var/snap/other", "/home"))


DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mongo", "docker.io/library/mongo:latest"),
        ("mongo:8.0", "docker.io/library/mongo:8.0"),
        ("library/mongo:8.0", "docker.io/library/mongo:8.0"),
        ("docker.io/mongo:8.0", "docker.io/library/mongo:8.0"),
        ("docker.io/library/mongo:8.0", "docker.io/library/mongo:8.0"),
        ("index.docker.io/library/mongo:8.0", "docker.io/library/mongo:8.0"),
        ("rocketchat/rocket.chat:8.2.0", "docker.io/rocketchat/rocket.chat:8.2.0"),
        ("docker.io/rocketchat/rocket.chat:8.2.0", "docker.io/rocketchat/rocket.chat:8.2.0"),
        ("registry.rocket.chat/rocketchat/rocket.chat", "registry.rocket.chat/rocketchat/rocket.chat:latest"),
        ("registry.example:5000/chat", "registry.example:5000/chat:latest"),
        ("localhost/chat:1", "localhost/chat:1"),
        ("quay.io/a/b/c:1", "quay.io/a/b/c:1"),
        (f"mongo@{DIGEST}", f"docker.io/library/mongo@{DIGEST}"),
        (f"mongo:8.0@{DIGEST}", f"docker.io/library/mongo@{DIGEST}"),
        (f"registry.example:5000/chat:1@{DIGEST}", f"registry.example:5000/chat@{DIGEST}"),
    ],
)
def test_an_image_has_one_name_however_it_is_spelled(text, name):
    assert normalize_image_name(text) == name
    assert normalize_image_name(name) == name


def test_the_images_of_a_node_are_known_by_all_their_names_and_have_a_size():
    listed = [
        {"names": [f"docker.io/library/mongo@{DIGEST}", "docker.io/library/mongo:8.0"], "sizeBytes": 300},
        {"names": ["rocketchat/rocket.chat:8.2.0"], "sizeBytes": 400},
    ]
    assert list_image_names(listed) == {
        f"docker.io/library/mongo@{DIGEST}",
        "docker.io/library/mongo:8.0",
        "docker.io/rocketchat/rocket.chat:8.2.0",
    }
    assert sum_image_bytes(listed) == 700


@pytest.mark.parametrize(
    "listed",
    [
        None,
        {},
        "mongo",
        [None, 5, "mongo"],
        [{"names": None, "sizeBytes": None}],
        [{"names": "mongo", "sizeBytes": "300"}],
        [{"names": [None, 5], "sizeBytes": True}],
        [{"sizeBytes": -300}],
    ],
)
def test_what_is_no_list_of_images_is_an_empty_one(listed):
    assert list_image_names(listed) == frozenset()
    assert sum_image_bytes(listed) == 0
