"""What is taken of an object, and in which order: nothing that only the server may say."""

from __future__ import annotations

from typing import Any

from shared.cluster_state.decide import order_objects, strip_server_fields


def config_map(name: str, namespace: str | None) -> dict[str, Any]:
    meta = {"name": name} | ({"namespace": namespace} if namespace is not None else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def test_of_metadata_only_what_one_would_write_is_left() -> None:
    item = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "settings",
            "namespace": "chat",
            "labels": {"app": "chat"},
            "annotations": {"note": "1", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "uid": "1",
            "resourceVersion": "2",
            "finalizers": ["x"],
            "ownerReferences": [{"uid": "3"}],
        },
        "data": {"a": "b"},
        "status": {"x": 1},
    }
    assert strip_server_fields(item) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "settings",
            "namespace": "chat",
            "labels": {"app": "chat"},
            "annotations": {"note": "1"},
        },
        "data": {"a": "b"},
    }


def test_the_label_that_the_server_sets_is_left_out_of_a_namespace_and_of_nothing_else() -> None:
    labels = {"kubernetes.io/metadata.name": "chat", "team": "ops"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "chat", "labels": labels}}
    assert strip_server_fields(namespace)["metadata"]["labels"] == {"team": "ops"}
    other = config_map("settings", "chat")
    other["metadata"]["labels"] = labels
    assert strip_server_fields(other)["metadata"]["labels"] == labels


def test_an_object_without_metadata_is_no_reason_to_fail() -> None:
    assert strip_server_fields({"apiVersion": "v1", "kind": "ConfigMap"})["metadata"] == {"name": None}


def test_objects_with_and_without_a_namespace_are_ordered_by_it_and_each_comes_once() -> None:
    # As the API gives them: what is of the whole cluster has no namespace at all, or null.
    items = [config_map("b", "z"), config_map("a", None), config_map("b", "z"), config_map("c", "a")]
    assert [item["metadata"]["name"] for item in order_objects(items)] == ["a", "c", "b"]
    # No namespace sorts as an empty one does, and never as the text of None: "N" comes before "a".
    assert [i["metadata"]["name"] for i in order_objects([config_map("b", "A"), config_map("a", None)])] == [
        "a",
        "b",
    ]
