"""Every resource has the arguments and blocks that the pinned provider knows, and all that it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infra import hcl
from tests.infra.extract_schema import BINDINGS

SCHEMA = json.loads(Path(__file__).with_name("provider_schema.json").read_text(encoding="utf-8"))
# Of the language, not of a resource.
META = {"count", "depends_on", "dynamic", "for_each", "lifecycle", "provider"}


def problems(body: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    """What the provider would refuse."""
    given = set(body) - META
    flags = {name: told for name, (_, told) in schema["attributes"].items()}
    for name, content in body.get("dynamic", {}).items():
        given.add(name)
        yield from block_problems(name, [one["content"][0] for one in content], schema, where)
    for name in given - set(body.get("dynamic", {})):
        if name in schema["blocks"]:
            yield from block_problems(name, body[name], schema, where)
        elif "o" not in flags.get(name, "") and "r" not in flags.get(name, ""):
            yield f"{where}: there is no {name}"
        elif is_block(body[name]) and schema["attributes"][name][0] != "dynamic":
            yield f"{where}: {name} is an argument, not a block"
    for name, told in flags.items():
        if "r" in told and name not in given:
            yield f"{where}: {name} is needed"
    for name, inner in schema["blocks"].items():
        if inner["needed"] and name not in given:
            yield f"{where}: the block {name} is needed"


def block_problems(name: str, bodies: Any, schema: dict[str, Any], where: str) -> Iterator[str]:
    """The same for each block of a name."""
    inner = schema["blocks"].get(name)
    if inner is None:
        yield f"{where}: there is no block {name}"
        return
    for body in bodies if isinstance(bodies, list) else [bodies]:
        yield from problems(body, inner, f"{where}.{name}")


def is_block(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


@pytest.mark.parametrize("kind", ["resource", "data"])
def test_every_resource_is_as_its_provider_wants_it(kind: str) -> None:
    found = []
    for folder, type_name, name, body in hcl.resources(kind):
        if type_name == "terraform_data":
            continue
        assert type_name in SCHEMA[kind], f"{type_name}: run python -m tests.infra.extract_schema"
        found += [f"{folder}: {p}" for p in problems(body, SCHEMA[kind][type_name], f"{type_name}.{name}")]
    assert not found


def test_every_provider_is_configured_as_it_wants() -> None:
    found = []
    for folder in hcl.ROOTS:
        for name, bodies in hcl.load_all()[folder]["provider"].items():
            schema = SCHEMA["providers"][name]["schema"]
            found += [f"{folder}: {p}" for p in problems(bodies[0], schema, name)]
    assert not found


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"adress_prefixes": []}, "there is no adress_prefixes", id="an argument that is not"),
        pytest.param({"name": None}, "name is needed", id="an argument that is needed"),
        pytest.param({"delegatoin": [{}]}, "there is no delegatoin", id="a block that is not"),
        pytest.param(
            {"delegation": [{"name": "x"}]}, "the block service_delegation is needed", id="a block within"
        ),
        pytest.param({"service_endpoints": ["x"]}, "there is no service_endpoints", id="of version 4"),
    ],
)
def test_the_check_finds(change: dict[str, Any], problem: str) -> None:
    body = hcl.resource("modules/network", "azurerm_subnet", "functions") | change
    body = {name: value for name, value in body.items() if value is not None}
    found = list(problems(body, SCHEMA["resource"]["azurerm_subnet"], "azurerm_subnet.functions"))
    assert any(problem in one for one in found), found


@pytest.mark.parametrize("folder", hcl.ROOTS)
def test_the_providers_are_pinned_to_the_versions_whose_schema_this_is(folder: str) -> None:
    pinned = hcl.load_all()[folder]["terraform"][0]["required_providers"][0]
    assert {name: one["version"] for name, one in pinned.items()} == {
        name: BINDINGS[name][2] for name in pinned
    }
    assert {name: SCHEMA["providers"][name]["version"] for name in pinned} == {
        name: BINDINGS[name][2] for name in pinned
    }


def test_modules_name_the_providers_that_they_use_and_leave_the_version_to_the_root() -> None:
    for folder, config in hcl.load_all().items():
        if folder in hcl.ROOTS:
            continue
        types = {*config.get("resource", {}), *config.get("data", {})}
        used = {re.split("_", name)[0] for name in types}
        named = (config["terraform"][0].get("required_providers") or [{}])[0]
        assert set(named) == used, folder
        assert all(set(one) == {"source"} for one in named.values()), folder
