"""Whatever comes from outside: an answer is read without a failure, and only sizes come out."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from shared.kubernetes.node_disk import (
    list_image_names,
    normalize_image_name,
    parse_free_disk,
    sum_image_bytes,
)
from shared.kubernetes.workloads import parse_node

OUTER = ["status", "success", "data", "resultType", "vector", "result", "metadata", "name", "addresses"]
INNER = [
    "metric",
    "value",
    "node",
    "instance",
    "mountpoint",
    "type",
    "address",
    "names",
    "sizeBytes",
    "images",
]
VALUES = ["/", "/var/snap", "10.0.0.4:9100", "10.0.0.4", "vm", "InternalIP", "NaN", "1e400", "-0", "5"]
WORDS = st.sampled_from([*OUTER, *INNER, *VALUES])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)
LABELS = st.fixed_dictionaries(
    {},
    optional={
        "mountpoint": st.sampled_from(["/", "/var", "/var/snap", "/run"]) | JSON,
        "instance": st.sampled_from(["10.0.0.4:9100", "10.0.0.5:9100", ":", "[]:1"]) | JSON,
        "node": st.sampled_from(["vm", "", "other"]) | JSON,
    },
)
SAMPLE = st.fixed_dictionaries(
    {"metric": LABELS | JSON, "value": st.tuples(st.floats(), WORDS | JSON).map(list) | JSON}
)
ANSWER = st.fixed_dictionaries(
    {
        "status": st.just("success"),
        "data": st.fixed_dictionaries(
            {"resultType": st.just("vector"), "result": st.lists(SAMPLE | JSON, max_size=5)}
        ),
    }
)
NODE = {
    "metadata": {"name": "vm"},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.4"}]},
}


@given(ANSWER | JSON)
def test_an_answer_of_any_shape_yields_sizes_of_known_nodes_or_nothing(answer):
    found = parse_free_disk(answer, [NODE])
    assert set(found) <= {"vm"}
    assert all(isinstance(size, float) and math.isfinite(size) and size >= 0 for size in found.values())


@given(st.lists(st.integers(min_value=0, max_value=2**60), min_size=1, max_size=4))
def test_sizes_that_make_sense_are_found(sizes):
    samples = [
        {"metric": {"mountpoint": "/", "instance": "10.0.0.4:9100"}, "value": [1.5, str(size)]}
        for size in sizes
    ]
    answer = {"status": "success", "data": {"resultType": "vector", "result": samples}}
    assert parse_free_disk(answer, [NODE]) == {"vm": float(min(sizes))}


@given(JSON)
def test_a_list_of_images_of_any_shape_yields_names_and_a_size(listed):
    assert all(isinstance(name, str) for name in list_image_names(listed))
    assert sum_image_bytes(listed) >= 0
    assert parse_node({"status": {"images": listed}}, {}).images == list_image_names(listed)


@given(st.text(max_size=40))
def test_the_one_name_of_an_image_is_its_own_name(text):
    assert normalize_image_name(normalize_image_name(text)) == normalize_image_name(text)
