"""Reads infra/terraform as HCL: HashiCorp's own parser, compiled to WebAssembly, run by Node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "infra" / "terraform"
ROOTS = ("microk8s", "aks")

# Blocks are lists of objects in the parser's answer, attributes anything else; expressions stay as "${text}".
_PARSE = """
const {parse} = require("@cdktn/hcl2json"), fs = require("fs");
(async () => {
  const found = {};
  for (const name of JSON.parse(fs.readFileSync(0, "utf8"))) {
    found[name] = await parse(name, fs.readFileSync(name, "utf8"));
  }
  console.log(JSON.stringify(found));
})().catch(error => { console.error(String(error)); process.exit(1); });
"""
Config = dict[str, Any]


def lacking() -> str:
    """What a machine lacks to read HCL; empty if nothing."""
    if shutil.which("node") is None:
        return "Node is not installed"
    return "" if (ROOT / "node_modules/@cdktn/hcl2json").is_dir() else "run npm ci for @cdktn/hcl2json"


def folders() -> list[str]:
    """The modules and the roots, by their place below infra/terraform."""
    return sorted({str(path.parent.relative_to(TERRAFORM)) for path in TERRAFORM.rglob("*.tf")})


@cache
def parse_files() -> dict[str, Config]:
    """Every .tf file's content, by its path below infra/terraform."""
    names = sorted(str(path) for path in TERRAFORM.rglob("*.tf"))
    argv = ["node", "-e", _PARSE]
    done = subprocess.run(
        argv, input=json.dumps(names), capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    found: dict[str, Config] = json.loads(done.stdout)
    return {str(Path(name).relative_to(TERRAFORM)): config for name, config in found.items()}


@cache
def load_all() -> dict[str, Config]:
    """Every module's and root's content, by its folder below infra/terraform; its files are put together."""
    found: dict[str, Config] = {}
    for name, config in parse_files().items():
        module = found.setdefault(str(Path(name).parent), {})
        for kind, content in config.items():
            _merge(module, kind, content)
    return found


def _merge(module: Config, kind: str, content: Any) -> None:
    if isinstance(content, list):
        module.setdefault(kind, []).extend(content)
        return
    into = module.setdefault(kind, {})
    for name, value in content.items():
        if kind in ("resource", "data"):
            into.setdefault(name, {}).update(value)
        elif kind == "provider":
            into.setdefault(name, []).extend(value)
        else:
            into[name] = value


def resources(kind: str = "resource") -> Iterator[tuple[str, str, str, Config]]:
    """Folder, type, name and body of every resource (or data source)."""
    for folder, config in load_all().items():
        for type_name, named in config.get(kind, {}).items():
            for name, bodies in named.items():
                yield folder, type_name, name, bodies[0]


def resource(folder: str, type_name: str, name: str) -> Config:
    """The body of one resource."""
    body: Config = load_all()[folder]["resource"][type_name][name][0]
    return body


def local(folder: str, name: str) -> Any:
    """The value of a local as it is written."""
    return next(block[name] for block in load_all()[folder]["locals"] if name in block)


def calls(folder: str) -> Iterator[tuple[str, str, Config]]:
    """Name, folder and arguments of each module that is called."""
    for name, bodies in load_all()[folder].get("module", {}).items():
        target = (TERRAFORM / folder / bodies[0]["source"]).resolve().relative_to(TERRAFORM)
        yield name, str(target), bodies[0]


def texts(value: Any) -> Iterator[str]:
    """Every text within a value, keys included."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def expressions(value: Any) -> Iterator[str]:
    """What stands in `${…}` or is a whole expression, without the quoted texts within it."""
    for text in texts(value):
        for found in _interpolations(text):
            yield re.sub(r'"(?:[^"\\$]|\\.|\$(?!\{))*"', '""', found)


def _interpolations(text: str) -> Iterator[str]:
    start = 0
    while begin := re.compile(r"[$%]\{").search(text, start):
        depth, end = 1, begin.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield text[begin.end() : end - 1]
        start = end
