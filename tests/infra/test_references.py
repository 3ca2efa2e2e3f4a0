"""What an expression names exists: variables, locals, outputs of modules, attributes of resources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infra import hcl

SCHEMA = json.loads(Path(__file__).with_name("provider_schema.json").read_text(encoding="utf-8"))

GROUP, CONFIG = "azurerm_resource_group", "data.azurerm_client_config"

_SIMPLE = re.compile(r"(?<![\w.])(var|local)\.(\w+)")
_MODULE = re.compile(r"(?<![\w.])module\.(\w+)(?:\.(\w+))?")
_INDEX = r"(?:\[[^\]]*\])?"
_RESOURCE = re.compile(rf"(?<![\w.])(data\.)?((?:azurerm|azapi|helm)_\w+)\.(\w+){_INDEX}(?:\.(\w+))?")


def dangling(folder: str, config: dict[str, Any]) -> Iterator[str]:
    """What a folder's content names and does not exist."""
    known = {
        "var": set(config.get("variable", {})),
        "local": {name for block in config.get("locals", []) for name in block},
    }
    targets = {name: target for name, target, _ in hcl.calls(folder)}
    for text in hcl.expressions(config):
        for kind, name in _SIMPLE.findall(text):
            if name not in known[kind]:
                yield f"{kind}.{name}"
        for name, output in _MODULE.findall(text):
            if name not in targets:
                yield f"module.{name}"
            elif output and output not in hcl.load_all()[targets[name]].get("output", {}):
                yield f"module.{name}.{output}"
        yield from _dangling_resources(config, text)


def _dangling_resources(config: dict[str, Any], text: str) -> Iterator[str]:
    for data, type_name, name, attribute in _RESOURCE.findall(text):
        kind = "data" if data else "resource"
        if name not in config.get(kind, {}).get(type_name, {}):
            yield f"{data}{type_name}.{name}"
        elif attribute and attribute not in readable(SCHEMA[kind][type_name]):
            yield f"{data}{type_name}.{name}.{attribute}"


def readable(schema: dict[str, Any]) -> set[str]:
    return {*schema["attributes"], *schema["blocks"]}


@pytest.mark.parametrize("folder", hcl.folders())
def test_everything_that_is_named_exists(folder: str) -> None:
    assert not list(dangling(folder, hcl.load_all()[folder]))


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        pytest.param("${var.nmae}", "var.nmae", id="a variable"),
        pytest.param("${upper(local.nowhere)}", "local.nowhere", id="a local"),
        pytest.param("x-${module.vm.ipaddress}", "module.vm.ipaddress", id="an output"),
        pytest.param("${module.vmm.id}", "module.vmm", id="a module"),
        pytest.param(f"${{{GROUP}.that.name}}", f"{GROUP}.that", id="a resource"),
        pytest.param(f"${{{GROUP}.this.nmae}}", f"{GROUP}.this.nmae", id="an attribute"),
        pytest.param(f"${{{CONFIG}.current.mail}}", f"{CONFIG}.current.mail", id="an attribute of data"),
        pytest.param('${f("a${var.nmae}")}', "var.nmae", id="within a text within an expression"),
    ],
)  # fmt: skip
def test_the_check_finds(expression: str, missing: str) -> None:
    assert list(dangling("microk8s", hcl.load_all()["microk8s"] | {"wrong": expression})) == [missing]


def test_modules_are_given_what_they_need_and_nothing_else() -> None:
    wrong = []
    for folder in hcl.load_all():
        for name, target, arguments in hcl.calls(folder):
            variables = hcl.load_all()[target].get("variable", {})
            given = set(arguments) - {"source", "for_each", "count", "depends_on", "providers"}
            needed = {one for one, bodies in variables.items() if "default" not in bodies[0]}
            wrong += [f"{folder}: module.{name} has no variable {one}" for one in given - set(variables)]
            wrong += [f"{folder}: module.{name} needs {one}" for one in needed - given]
    assert not wrong


def test_nothing_is_declared_that_nobody_uses() -> None:
    unused = []
    for folder, config in hcl.load_all().items():
        words = " ".join(hcl.expressions(config))
        unused += [f"{folder}: var.{v}" for v in config.get("variable", {}) if f"var.{v}" not in words]
        names = [name for block in config.get("locals", []) for name in block]
        unused += [f"{folder}: local.{name}" for name in names if not re.search(rf"local\.{name}\b", words)]
    # The locals that app.tf takes are in the same folder; outputs of modules are used by who calls them.
    asked = {
        (target, output)
        for folder, config in hcl.load_all().items()
        for name, target, _ in hcl.calls(folder)
        for called, output in _MODULE.findall(" ".join(hcl.expressions(config)))
        if called == name
    }
    asked |= {("modules/network", name) for name in ("functions_subnet_id",)}  # local.network in app.tf
    for folder, config in hcl.load_all().items():
        if folder not in hcl.ROOTS:
            unused += [f"{folder}: output {o}" for o in config.get("output", {}) if (folder, o) not in asked]
    assert not unused


def test_everything_is_described() -> None:
    bare = [
        f"{folder}: {kind} {name}"
        for folder, config in hcl.load_all().items()
        for kind in ("variable", "output")
        for name, bodies in config.get(kind, {}).items()
        if not bodies[0].get("description")
    ]
    assert not bare


def test_every_module_is_called_by_a_root_or_by_another_module() -> None:
    called = {target for folder in hcl.load_all() for _, target, _ in hcl.calls(folder)}
    assert called == set(hcl.load_all()) - set(hcl.ROOTS)
