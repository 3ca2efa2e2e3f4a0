"""Kubernetes' objects as paths and values: told apart by name, masked where they are secret."""

from __future__ import annotations

from typing import Any

import pytest

from shared.kernel.redact import MASK
from shared.kubernetes.objects import (
    Leaf,
    Reference,
    format_value,
    is_secret_leaf,
    join_path,
    keyed_items,
    object_reference,
    walk_leaves,
)


@pytest.mark.parametrize(
    ("manifest", "reference", "text"),
    [
        ({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "n"}},
         Reference("Pod", "n", "a", ""), "Pod n/a"),
        ({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "a"}},
         Reference("Deployment", "here", "a", "apps"), "Deployment here/a"),
        ({"kind": "X", "apiVersion": "a.b/c/v1", "metadata": "odd"}, Reference("X", "here", "", "a.b/c"),
         "X here/"),
        ({}, Reference("", "here", "", ""), " here/"),
    ],
)  # fmt: skip
def test_an_object_is_known_by_kind_place_name_and_group(
    manifest: dict[str, Any], reference: Reference, text: str
) -> None:
    assert object_reference(manifest, "here") == reference
    assert str(reference) == text


def test_an_object_without_a_namespace_has_none_in_its_text() -> None:
    assert str(object_reference({"kind": "Node", "metadata": {"name": "n1"}})) == "Node n1"


def test_all_values_are_walked_with_their_paths() -> None:
    value = {
        "spec": {"replicas": 2, "none": None, "empty": {}, "nothing": [], "no": False, "nought": 0},
        "args": ["a", ["b"]],
        "labels": {"app.kubernetes.io/name": "x", "a.b": "y", "c/d": "z"},
    }
    assert {leaf.path: leaf.value for leaf in walk_leaves(value)} == {
        "spec.replicas": 2, "spec.empty": {}, "spec.nothing": [], "spec.no": False, "spec.nought": 0,
        "args[0]": "a", "args[1][0]": "b",
        "labels[app.kubernetes.io/name]": "x", "labels[a.b]": "y", "labels[c/d]": "z",
    }  # fmt: skip


def test_a_value_goes_by_its_key_or_by_the_name_beside_it() -> None:
    env = [{"name": "HOST", "value": "a"}, {"name": "PORT", "value": {"deep": 1}}, {"name": 5, "value": "c"}]
    names = {leaf.path: leaf.name for leaf in walk_leaves({"env": env, "name": "web", "args": ["x"]})}
    assert names == {
        "env[HOST].name": "name", "env[HOST].value": "HOST", "env[PORT].name": "name",
        "env[PORT].value.deep": "deep", "env[5].name": "name", "env[5].value": "value",
        "name": "name", "args[0]": "args",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("items", "keys"),
    [
        ([{"name": "a", "port": 1}, {"name": "b", "port": 1}], ["a", "b"]),
        ([{"name": "a"}, {"name": "a"}], ["0", "1"]),
        ([{"name": "a", "port": 1}, {"name": "a", "port": 2}], ["1", "2"]),
        ([{"name": "a", "port": 1}, {"port": 2}], ["1", "2"]),
        ([{"containerPort": 80, "protocol": "TCP"}], ["80"]),
        ([{"port": 80}, {"port": "80"}], ["0", "1"]),
        ([{"mountPath": "/a", "name": "v"}, {"mountPath": "/b", "name": "v"}], ["/a", "/b"]),
        ([{"name": "a"}, "b"], ["0", "1"]),
        (["a", "b"], ["0", "1"]),
        ([{"x": 1}], ["0"]),
    ],
)
def test_items_of_a_list_are_told_apart_by_what_all_of_them_have(items: list[Any], keys: list[str]) -> None:
    assert [key for key, _ in keyed_items(items)] == keys
    assert [item for _, item in keyed_items(items)] == items


AGE_KEY = "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2


@pytest.mark.parametrize(
    ("kind", "leaf", "secret"),
    [
        ("Secret", Leaf("data.host", "host", "eA=="), True),
        ("Secret", Leaf("stringData.host", "host", "x"), True),
        ("Secret", Leaf("data[a.b]", "a.b", "x"), True),
        ("Secret", Leaf("stringData[a.b]", "a.b", "x"), True),
        ("Secret", Leaf("metadata.name", "name", "x"), False),
        ("Secret", Leaf("dataset", "dataset", "x"), False),
        ("ConfigMap", Leaf("data.host", "host", "x"), False),
        ("ConfigMap", Leaf("data.password", "password", "x"), True),
        ("ConfigMap", Leaf("data.password", "password", True), False),
        ("ConfigMap", Leaf("data.password", "password", {}), False),
        ("ConfigMap", Leaf("data.password", "password", []), False),
        ("ConfigMap", Leaf("data.password", "password", 5), True),
        ("ConfigMap", Leaf("data.text", "text", AGE_KEY), True),
        ("Deployment", Leaf("args[0]", "args", "--password=x"), True),
        ("Deployment", Leaf("args[0]", "args", "-password x"), True),
        ("Deployment", Leaf("args[0]", "args", "--verbose=x"), False),
        ("Deployment", Leaf("args[0]", "args", "--password"), False),
        ("Deployment", Leaf("env[X].value", "DB_PASSWORD", "x"), True),
        ("Deployment", Leaf("secretKeyRef.key", "password", "x"), False),
        ("Deployment", Leaf("secretKeyRef.name", "password", "x"), False),
    ],
)  # fmt: skip
def test_what_has_a_secrets_place_name_or_form_is_one(kind: str, leaf: Leaf, secret: bool) -> None:
    assert is_secret_leaf(kind, leaf) is secret


def test_a_value_is_shown_on_one_line_masked_and_cut() -> None:
    assert format_value("x", secret=True) == MASK
    assert format_value({"b": 1, "a": "ä"}, secret=False) == '{"a": "ä", "b": 1}'
    assert format_value("a\u202eb\x1b", secret=False) == '"a\\u202eb\\u001b"'
    assert "hunter2-hunter2" not in format_value(
        "a hunter2-hunter2 b", secret=False, secrets=["hunter2-hunter2"]
    )
    assert format_value("x" * 158, secret=False) == f'"{"x" * 158}"'
    cut = format_value("x" * 159, secret=False)
    assert (len(cut), cut[-1]) == (160, "…")


def test_a_path_is_joined_with_dots_or_brackets() -> None:
    assert join_path("", "spec") == "spec"
    assert join_path("spec", "x") == "spec.x"
    assert join_path("", "a.b") == "[a.b]"
    assert join_path("data", "a/b") == "data[a/b]"
    assert join_path("data", "a\x1bb") == "data.a\\x1bb"
