"""The functions of an app as the index describes them, and which of their bindings this host serves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.kernel.errors import UsageError

# What Groundcrew uses. Anything else is refused at the start: a binding that is quietly missing would be a
# function that never runs.
_SERVED = {
    ("in", "httpTrigger"),
    ("in", "timerTrigger"),
    ("in", "queueTrigger"),
    ("in", "eventGridTrigger"),
    ("out", "http"),
    ("out", "queue"),
}


@dataclass(frozen=True, slots=True)
class Binding:
    """One input or output, with the properties of its decorator under the names of `function.json`."""

    name: str
    type: str
    direction: str  # "in" or "out"
    properties: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A property that is text, or empty."""
        return str(self.properties.get(name) or "")


@dataclass(frozen=True, slots=True)
class Function:
    """An indexed function."""

    name: str
    id: str
    bindings: tuple[Binding, ...]

    @property
    def trigger(self) -> Binding:
        """What starts it; `check_served` sees to it that there is exactly one."""
        return next(binding for binding in self.bindings if binding.type.endswith("Trigger"))

    def outputs(self, kind: str) -> list[Binding]:
        """Its output bindings of one type."""
        return [binding for binding in self.bindings if binding.direction == "out" and binding.type == kind]


def parse_function(name: str, function_id: str, raw_bindings: Iterable[str]) -> Function:
    """Read the bindings as the worker library writes them, each a JSON object."""
    bindings = []
    for raw in raw_bindings:
        properties = json.loads(raw)
        # The library writes `IN` and `OUT`, function.json lower case.
        direction = str(properties["direction"]).lower()
        bindings.append(Binding(properties["name"], properties["type"], direction, properties))
    return Function(name, function_id, tuple(bindings))


def check_served(functions: Iterable[Function]) -> None:
    """Raises `UsageError` naming every binding that is not served: the host starts with all or not at all."""
    problems = [problem for function in functions for problem in _find_problems(function)]
    if problems:
        hint = "Run the app with the Azure Functions Core Tools, or leave these functions out."
        raise UsageError("This host does not serve", value="; ".join(problems), hint=hint)


def _find_problems(function: Function) -> list[str]:
    problems = [
        f"the {binding.direction} binding {binding.type} ({binding.name}) of {function.name}"
        for binding in function.bindings
        if (binding.direction, binding.type) not in _SERVED or _is_deferred(binding)
    ]
    triggers = sum(binding.type.endswith("Trigger") for binding in function.bindings)
    # Without exactly one nobody knows when to call it.
    if triggers != 1:
        problems.append(f"{function.name} with {triggers} triggers")
    return problems


def _is_deferred(binding: Binding) -> bool:
    # Parameters of an SDK's type (azurefunctions-extensions-bindings-*), which need the real host.
    extra = binding.properties.get("properties") or {}
    return str(extra.get("SupportsDeferredBinding", "")).lower() == "true"
