"""Whether a value surely fits a JSON schema (draft 2020-12), for the few words that Kubernetes' schemas use.

A `False` says nothing: then `jsonschema` judges, which finds what is wrong. Its import and its work are a
tenth of the CPU of a deploy's first call, spent on manifests that are nearly always right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What says nothing of the value; `format` is a remark unless one asks for more.
# https://json-schema.org/draft/2020-12/json-schema-validation#section-7.2.1
_REMARKS = frozenset({"description", "format", "$schema", "$id", "$defs", "default"})
_TYPES = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}


def surely_fits(value: Any, schema: Any, definitions: Mapping[str, Any]) -> bool:
    """Whether it fits for certain; `definitions` are schemas by the text of `$ref` that names them."""
    if not isinstance(schema, dict):
        return schema is True
    return all(
        word in _REMARKS or word.startswith("x-kubernetes-") or _holds(word, rule, value, schema, definitions)
        for word, rule in schema.items()
    )


def _holds(
    word: str, rule: Any, value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> bool:
    if word == "type":
        return _is_of_type(value, rule)
    if word == "$ref":
        return rule in definitions and surely_fits(value, definitions[rule], definitions)
    if word == "enum":
        # Texts only: that 1, 1.0 and true are equal in Python is no matter of ours.
        return isinstance(value, str) and value in rule
    if word == "oneOf":
        # By their types alone, as a port that is a number or a name.
        typed = all(isinstance(one, dict) and set(one) == {"type"} for one in rule)
        return typed and sum(_is_of_type(value, one["type"]) for one in rule) == 1
    if word == "items":
        return not isinstance(value, list) or all(surely_fits(one, rule, definitions) for one in value)
    if word == "required":
        return not isinstance(value, dict) or all(name in value for name in rule)
    if word in ("properties", "additionalProperties"):
        return not isinstance(value, dict) or all(
            surely_fits(value[name], inner, definitions)
            for name, inner in _list_properties(word, rule, value, schema)
        )
    return False


def _list_properties(
    word: str, rule: Any, value: Mapping[str, Any], schema: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """The names in the value that the word is about, each with the schema that it has to fit."""
    if word == "properties":
        return [(name, inner) for name, inner in rule.items() if name in value]
    return [(name, rule) for name in value if name not in schema.get("properties", {})]


def _is_of_type(value: Any, names: str | list[str]) -> bool:
    return any(_is_of_one_type(value, name) for name in ([names] if isinstance(names, str) else names))


def _is_of_one_type(value: Any, name: str) -> bool:
    # Booleans are integers to Python, and to nobody else; 1.0 is an integer there, and is left to jsonschema.
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
    return name in _TYPES and isinstance(value, _TYPES[name])
