"""What surely fits a schema fits it by jsonschema too, whatever is done to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema.validators import Draft202012Validator

from shared.adapters import kubernetes_schemas
from shared.formats.schema_fit import surely_fits

SERIES = "1.34"
POD = {
    "containers": [
        {
            "name": "chat",
            "image": "chat:1",
            "env": [{"name": "A", "value": "b"}],
            "ports": [{"containerPort": 3000, "name": "http"}],
            "resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": 0.5}},
            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 10},
            "securityContext": {"runAsUser": 65533, "readOnlyRootFilesystem": True},
        }
    ],
    "volumes": [{"name": "data", "emptyDir": {}}],
}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "chat", "labels": {"app": "chat"}, "creationTimestamp": None},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "chat"}},
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
        "template": {"metadata": {"labels": {"app": "chat"}}, "spec": POD},
    },
}
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "chat"},
    "spec": {"ports": [{"port": 80, "targetPort": "http"}], "selector": {"app": "chat"}, "type": "ClusterIP"},
}
OTHERS: list[Any] = ["x", 1, 1.0, 1.5, True, None, [], {}, [1], {"x": 1}, ["x"]]


def change_each_place(value: Any) -> Iterator[Any]:
    """The value with one place changed: by each of the others, without it, or with more in it."""
    yield from OTHERS
    if isinstance(value, dict):
        yield {**value, "unheardOf": 1}
        for key in value:
            yield {name: one for name, one in value.items() if name != key}
            for changed in change_each_place(value[key]):
                yield {**value, key: changed}
    if isinstance(value, list):
        for index, inner in enumerate(value):
            for changed in change_each_place(inner):
                yield [*value[:index], changed, *value[index + 1 :]]


@pytest.mark.parametrize("manifest", [DEPLOYMENT, SERVICE], ids=lambda one: str(one["kind"]))
def test_no_change_of_a_manifest_surely_fits_that_jsonschema_refuses(manifest: dict[str, Any]) -> None:
    names = manifest["kind"], manifest["apiVersion"], SERIES
    schema = kubernetes_schemas._load_schema(*names)
    definitions = kubernetes_schemas._list_definitions(SERIES)
    validator = kubernetes_schemas.load_validator(*names)
    assert surely_fits(manifest, schema, definitions)
    assert validator.is_valid(copy.deepcopy(manifest))
    changed = list(change_each_place(manifest))
    sure = [one for one in changed if surely_fits(one, schema, definitions)]
    assert [one for one in sure if not validator.is_valid(one)] == []
    assert 0 < len(sure) < len(changed) / 2


@pytest.mark.parametrize(
    ("schema", "fits", "does_not"),
    [
        ({"type": "integer"}, 1, 1.5),
        ({"type": ["number", "null"]}, None, True),
        ({"enum": ["a"]}, "a", "b"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, 1, 1.5),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 1.5, 1),
        ({"type": "array", "items": {"type": "string"}}, ["a"], ["a", 1]),
        ({"properties": {"a": {"type": "string"}}, "additionalProperties": False}, {"a": "b"}, {"b": "b"}),
        ({"additionalProperties": {"type": "string"}}, {"a": "b"}, {"a": 1}),
        ({"required": ["a"]}, {"a": None}, {}),
        ({"$ref": "#text", "description": "a text"}, "a", 1),
        ({"properties": {"a": True, "b": False}}, {"a": 1}, {"b": 1}),
    ],
)
def test_each_word_means_what_the_draft_says(schema: Any, fits: Any, does_not: Any) -> None:
    definitions = {"#text": {"type": "string"}}
    assert surely_fits(fits, schema, definitions)
    assert not surely_fits(does_not, schema, definitions)
    if "$ref" not in schema:
        assert Draft202012Validator(schema).is_valid(fits)
        assert not Draft202012Validator(schema).is_valid(does_not)


@pytest.mark.parametrize(
    "schema",
    [{"pattern": "a"}, {"allOf": [{}]}, {"$ref": "#nowhere"}, {"oneOf": [{"minimum": 1}]}, {"enum": [1]}, 7],
)
def test_what_is_not_understood_is_left_to_jsonschema(schema: Any) -> None:
    assert not surely_fits(1, schema, {})
