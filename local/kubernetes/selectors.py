"""Label and field selectors.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.kubernetes.errors import Object, bad_request

Predicate = Callable[[Mapping[str, str]], bool]

_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*")
_EQUAL = re.compile(rf"\s*({_KEY})\s*(==|=|!=)\s*({_VALUE})\s*")
_ORDER = re.compile(rf"\s*({_KEY})\s*([<>])\s*(-?\d+)\s*")
_EXISTS = re.compile(rf"\s*(!?)\s*({_KEY})\s*")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term: all terms of a selector must hold."""

    key: str
    operator: str  # in, notin, exists, absent, <, >
    values: frozenset[str] = frozenset()

    def matches_labels(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy the term; `notin` and `!=` are also satisfied by absence."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
        if value is None or not re.fullmatch(r"-?\d+", value):
            return False
        bound = int(next(iter(self.values)))
        return int(value) < bound if self.operator == "<" else int(value) > bound


def _split_terms(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    return [term for term in re.split(r",(?![^(]*\))", text) if term.strip()] if text.strip() else []


def _parse_requirement(term: str) -> Requirement:
    if match := _SET.fullmatch(term):
        values = frozenset(value.strip() for value in match[3].split(","))
        return Requirement(match[1], match[2], values)
    if match := _EQUAL.fullmatch(term):
        return Requirement(match[1], "notin" if match[2] == "!=" else "in", frozenset((match[3],)))
    if match := _ORDER.fullmatch(term):
        return Requirement(match[1], match[2], frozenset((match[3],)))
    if match := _EXISTS.fullmatch(term):
        return Requirement(match[2], "absent" if match[1] else "exists")
    raise bad_request(f'unable to parse requirement: found "{term.strip()}", expected: a label requirement')


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The terms of a `labelSelector` parameter. Raises `ApiError` 400."""
    return tuple(_parse_requirement(term) for term in _split_terms(text))


def match_labels(requirements: tuple[Requirement, ...], labels: Mapping[str, str] | None) -> bool:
    """Whether all terms hold; no terms select everything."""
    return all(requirement.matches_labels(labels or {}) for requirement in requirements)


def of_object(selector: Mapping[str, Any] | None) -> tuple[Requirement, ...] | None:
    """A `LabelSelector` object's terms; None, which selects nothing, for no selector at all."""
    if selector is None:
        return None
    requirements = [
        Requirement(key, "in", frozenset((value,)))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    for expression in selector.get("matchExpressions") or ():
        values = frozenset(expression.get("values") or ())
        requirements.append(Requirement(expression["key"], operators[expression["operator"]], values))
    return tuple(requirements)


# The fields by which a kind can be selected, besides its name and namespace; all others are refused.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "jobs": ("status.successful",),
    "replicasets": ("status.replicas",),
}


def parse_fields(text: str, plural: str) -> tuple[Requirement, ...]:
    """The terms of a `fieldSelector` parameter, as requirements on `field_values`. Raises `ApiError` 400."""
    requirements = []
    for term in _split_terms(text):
        parts = re.fullmatch(r"\s*([\w.]+)\s*(==|=|!=)\s*(.*?)\s*", term)
        if parts is None:
            raise bad_request(f'invalid selector: "{term}"; can\'t understand it')
        field = parts[1]
        if field not in ("metadata.name", "metadata.namespace", *_FIELDS.get(plural, ())):
            raise bad_request(
                f'Unable to find "{plural}" that match field selector "{text}": '
                f"field label not supported: {field}"
            )
        requirements.append(Requirement(field, "notin" if parts[2] == "!=" else "in", frozenset((parts[3],))))
    return tuple(requirements)


def field_values(item: Object, requirements: tuple[Requirement, ...]) -> dict[str, str]:
    """The values of the fields that the requirements ask for, as text; absent ones are empty."""
    values = {}
    for requirement in requirements:
        value: Any = item
        for name in requirement.key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        values[requirement.key] = (
            "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        )
    return values


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list or a watch asks for."""

    namespace: str = ""
    name: str = ""
    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def matches_object(self, item: Object) -> bool:
        """Whether the object is part of it."""
        meta = item["metadata"]
        if self.namespace and meta.get("namespace") != self.namespace:
            return False
        if self.name and meta["name"] != self.name:
            return False
        return match_labels(self.labels, meta.get("labels")) and match_labels(
            self.fields, field_values(item, self.fields)
        )
