"""Laws of patches, selectors and decoders."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.kubernetes import protobuf, selectors
from local.kubernetes.errors import ApiError
from local.kubernetes.patch import json_patch, merge_patch, strategic_merge
from local.kubernetes.resources import Catalogue
from local.kubernetes.schema import shape_of

bounded = settings(max_examples=150, deadline=None)
SHAPE = shape_of(Catalogue().by_kind("v1", "Pod"), "1.31")

names = st.sampled_from(["a", "b", "c", "a/b", "~"])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | names
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(names, documents, max_size=4)


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def difference(before, after):
    """The merge patch from one object to another."""
    patch = {key: None for key in before if key not in after}
    for key, value in after.items():
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            patch[key] = difference(before[key], value)
        elif key not in before or before[key] != value or type(before[key]) is not type(value):
            patch[key] = value
    return patch


@bounded
@given(objects, objects)
def test_a_merge_patch_of_the_difference_leads_from_one_object_to_the_other(before, after):
    before, after = without_nulls(before), without_nulls(after)
    assert merge_patch(before, difference(before, after)) == after


@bounded
@given(objects, objects)
def test_a_merge_patch_applied_twice_is_as_applied_once(target, patch):
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@bounded
@given(objects, names, documents)
def test_a_json_patch_can_be_undone_and_leaves_its_target_alone(target, name, value):
    path = "/" + name.replace("~", "~0").replace("/", "~1")
    before = dict(target)
    changed = json_patch(target, [{"op": "add", "path": path, "value": value}])
    assert changed[name] == value
    undo = (
        {"op": "replace", "path": path, "value": target[name]}
        if name in target
        else {"op": "remove", "path": path}
    )
    assert json_patch(changed, [undo]) == before == target


containers = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("xyz")}, optional={"image": names}),
    max_size=3,
    unique_by=lambda item: item["name"],
)


@bounded
@given(containers, containers)
def test_a_strategic_patch_unites_lists_by_key_and_is_idempotent(first, second):
    target, patch = {"spec": {"containers": first}}, {"spec": {"containers": second}}
    once = strategic_merge(target, patch, SHAPE)
    found = {item["name"]: item for item in once["spec"]["containers"]}
    wanted = {item["name"]: dict(item) for item in first}
    for item in second:
        wanted[item["name"]] = {**wanted.get(item["name"], {}), **item}
    assert found == wanted
    assert strategic_merge(once, patch, SHAPE) == once
    assert strategic_merge(target, {}, SHAPE) == target


@bounded
@given(containers, st.sampled_from("xyz"))
def test_a_strategic_patch_can_delete_an_item(first, name):
    patch = {"spec": {"containers": [{"name": name, "$patch": "delete"}]}}
    after = strategic_merge({"spec": {"containers": first}}, patch, SHAPE)
    assert after["spec"]["containers"] == [item for item in first if item["name"] != name]


labels = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y"]), max_size=2)


@bounded
@given(labels, st.sets(st.sampled_from(["x", "y", "z"]), min_size=1))
def test_notin_is_the_complement_of_in(found, options):
    text = f"({', '.join(sorted(options))})"
    taken = selectors.match_labels(selectors.parse_labels(f"app in {text}"), found)
    assert selectors.match_labels(selectors.parse_labels(f"app notin {text}"), found) is not taken
    assert taken is (found.get("app") in options)


@bounded
@given(labels, labels)
def test_a_selector_object_and_its_text_select_the_same(wanted, found):
    text = ",".join(f"{key}={value}" for key, value in wanted.items())
    by_object = selectors.match_labels(selectors.of_object({"matchLabels": wanted}), found)
    assert (
        selectors.match_labels(selectors.parse_labels(text), found)
        is by_object
        is (wanted.items() <= found.items())
    )


@bounded
@given(st.binary(max_size=60))
def test_damaged_protobuf_is_refused_and_nothing_else(data):
    for body in (
        data,
        protobuf.MAGIC + data,
        protobuf.MAGIC + b"\x0a\x0c\x0a\x02v1\x12\x06Secret\x12" + data,
    ):
        try:
            found = protobuf.decode_envelope(body)
        except ApiError as error:
            assert error.code == 400
        else:
            assert found["kind"]


@bounded
@given(st.text(max_size=30))
def test_any_text_is_a_selector_or_is_refused(text):
    try:
        terms = selectors.parse_labels(text)
    except ApiError as error:
        assert error.code == 400
    else:
        assert selectors.match_labels(terms, {}) in (True, False)


def test_a_list_that_is_a_set_is_united():
    after = strategic_merge(
        {"metadata": {"finalizers": ["a"]}}, {"metadata": {"finalizers": ["a", "b"]}}, SHAPE
    )
    assert after == {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert strategic_merge(after, patch, SHAPE) == {"metadata": {"finalizers": ["b"]}}


@pytest.mark.parametrize(
    ("before", "patch", "order"),
    [
        pytest.param("xy", "yx", "yx", id="turned round"),
        pytest.param("xyz", "zx", "zxy", id="one is not named"),
    ],
)
def test_the_order_of_items_follows_the_patch(before, patch, order):
    directive = {"$setElementOrder/containers": [{"name": name} for name in patch]}
    target = {"spec": {"containers": [{"name": name} for name in before]}}
    after = strategic_merge(target, {"spec": directive}, SHAPE)
    assert "".join(item["name"] for item in after["spec"]["containers"]) == order
