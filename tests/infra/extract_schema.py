"""Writes tests/infra/provider_schema.json anew: what the providers' schemas say of the resources that we use.

    python -m tests.infra.extract_schema

The providers are programs that a machine without their registry cannot have, and their schemas are many
megabytes. The bindings that CDK Terrain publishes on PyPI are made from the same schemas, one package per
provider version; this takes from them the names and types of arguments, blocks and what can be referred to,
and which of them are required. The packages are downloaded by pip, checked against the versions named here,
and read without being run.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.infra.hcl import load_all

OUTPUT = Path(__file__).with_name("provider_schema.json")

# The package whose schema is that of the provider version pinned in infra/terraform/*/versions.tf.
BINDINGS = {
    "azurerm": ("cdktn-provider-azurerm", "18.9.0", "5.10.0"),
    "azapi": ("cdktn-provider-azapi", "1.0.0", "2.13.0"),
    "helm": ("cdktn-provider-helm", "15.1.0", "3.3.0"),
}

# Providers on Terraform's newer framework take `name = {…}` where the older ones take a block; the bindings
# do not tell the two apart.
_STILL_BLOCKS = {"identity", "timeouts"}

_ENTRY = re.compile(
    r"^ {8}(?:    )?(\w+): \{\n\s+value: (.*),\n\s+isBlock: (true|false),\n"
    r"\s+type: \"(\w+)\",\n\s+storageClassType: \"(\w+)\"",
    re.MULTILINE,
)
_STRUCT = re.compile(
    r"^(?:export )?function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
_HCL = re.compile(r"synthesizeHclAttributes\(\) \{\n(.*?)^ {4}\}", re.MULTILINE | re.DOTALL)
_CLASS = re.compile(r"^(?:export )?class (\w+) extends [^\n]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_GETTER = re.compile(
    r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n"
    r"(?:    _\w+(?: = new (?P<made>[\w.]+)[^\n]*)?;?\n)?    get \w+\(\) \{\n(?P<body>.*?)^    \}",
    re.MULTILINE | re.DOTALL,
)
_INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"#(\w+) [^\n]*\n(?:(?!\*/).)*?\*/\s+readonly \w+(\??):", re.DOTALL)
_TYPES: dict[str, Any] = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "stringList": "string",
    "numberList": "number",
    "numberListList": ["list", "number"],
    "stringMap": "string",
}
_READ = {"String": "string", "Number": "number", "Boolean": "bool", "List": ["list", "string"]}
_READ |= {"StringMap": ["map", "string"], "NumberList": ["list", "number"]}
_VERSION = re.compile(r"provider version (\d+\.\d+\.\d+)")

Found = dict[str, Any]


class Binding:
    """The classes and functions of one resource, data source or provider."""

    def __init__(self, package: Mapping[str, str], folder: str, *, framework: bool) -> None:
        self.code = package[f"lib/{folder}/index.js"]
        self.structs = {name.lower(): body for name, body in _STRUCT.findall(self.code)}
        self.classes = dict(_CLASS.findall(self.code))
        self.framework = framework
        self.needed = {
            name.lower(): {field for field, optional in _FIELD.findall(body) if not optional}
            for name, body in _INTERFACE.findall(package[f"lib/{folder}/index.d.ts"])
        }

    def extract(self) -> Found:
        """Its attributes and blocks."""
        top = next(body for body in self.classes.values() if "synthesizeHclAttributes" in body)
        entries = _HCL.findall(top)
        config = next((name for name in self.needed if name.endswith("config")), "")
        return self._block(entries[-1] if entries else "", top, config)

    def _block(self, entries: str, getters: str, interface: str) -> Found:
        """`attributes`: type and r(equired), o(ptional), c(omputed) by name; `blocks` by name."""
        found: Found = {"attributes": {}, "blocks": {}}
        flags, read = self._getters(getters)
        # A provider's own configuration is never read, and has no getters.
        needed = self.needed.get(interface, set())
        for name, value, block, kind, storage in _ENTRY.findall(entries):
            if block == "true" and not (self.framework and name not in _STILL_BLOCKS):
                found["blocks"][name] = self._nested(value, kind, name in needed)
            else:
                given = "dynamic" if block == "true" else _type(kind, storage)
                found["attributes"][name] = [given, flags.get(name) or ("r" if name in needed else "o")]
        for name, how in read.items():
            if name not in found["attributes"] and name not in found["blocks"]:
                found["attributes"][name] = [how, flags[name]]
        return found

    def _nested(self, value: str, kind: str, needed: bool) -> Found:
        function = re.findall(r"(\w+)ToHclTerraform", value)[0].lower()
        named = f"{function}outputreference"
        getters = next((body for name, body in self.classes.items() if name.lower() == named), "")
        nesting = "single" if kind == "struct" and "timeouts" in function else kind
        inner = self._block(self.structs[function], getters, function)
        # Blocks of one are lists of at most one to the older providers.
        return inner | {"nesting": nesting.replace("struct", "list"), "needed": needed}

    def _getters(self, body: str) -> tuple[dict[str, str], dict[str, Any]]:
        flags, read = dict[str, str](), dict[str, Any]()
        for found in _GETTER.finditer(body):
            name, computed, optional, required = found.group(1, 2, 3, 4)
            told = zip("cor", (computed, optional, required), strict=True)
            flags[name] = "".join(letter for letter, yes in told if yes == "true")
            how = re.search(r"this\.get(\w+)Attribute\(", found["body"])
            if how:
                read[name] = _READ.get(how[1], "dynamic")
            elif found["made"] and self._computed_type(found["made"]):
                read[name] = self._computed_type(found["made"])
        return flags, read

    def _computed_type(self, made: str) -> Any:
        """The type of what is only computed: a list of objects, a map of texts, or anything."""
        element = self.classes.get(re.sub(r"List$", "OutputReference", made))
        if element is None:
            return {"StringMap": ["map", "string"]}.get(made.rpartition(".")[2], "dynamic")
        return ["list", ["object", self._getters(element)[1]]]


def _type(kind: str, storage: str) -> Any:
    element = _TYPES.get(storage, "dynamic")
    return element if kind == "simple" or element == "dynamic" else [kind, element]


def extract(package: Mapping[str, str], folder: str, *, framework: bool = False) -> Found:
    """The schema of one resource, data source or provider of a binding's files (name to text)."""
    return Binding(package, folder, framework=framework).extract()


def _download(name: str, version: str, provider_version: str, into: Path) -> dict[str, str]:
    """The JavaScript and its types of a binding, by path within its package."""
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(into)]
    subprocess.run([*argv, f"{name}=={version}"], check=True)
    wheel = next(into.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA")))
        told = _VERSION.search(metadata.decode())
        if told is None or told[1] != provider_version:
            raise SystemExit(f"{name} {version} is not of provider version {provider_version}")
        bundle = archive.read(next(n for n in archive.namelist() if n.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        members = [m for m in tar.getmembers() if m.name.startswith("package/lib/") and m.isfile()]
        return {
            m.name.removeprefix("package/"): (tar.extractfile(m) or io.BytesIO()).read().decode()
            for m in members
        }


def _folder(package: Mapping[str, str], provider: str, kind: str, type_name: str) -> str:
    short = type_name.removeprefix(f"{provider}_").replace("_", "-")
    for candidate in (f"data-{provider}-{short}",) if kind == "data" else (short, f"{short}-resource"):
        if f"lib/{candidate}/index.js" in package:
            return candidate
    raise SystemExit(f"{provider} has no {kind} {type_name}")


def used(kind: str) -> set[str]:
    """The types of the resources (or data sources) in infra/terraform."""
    return {name for files in load_all().values() for name in files.get(kind, {})} - {"terraform_data"}


def _written(schema: Mapping[str, Any]) -> str:
    """JSON with a line for each resource, so that a difference can be read."""
    parts = [
        f'"{kind}": {{\n'
        + ",\n".join(f'"{name}": {json.dumps(one, sort_keys=True)}' for name, one in sorted(of.items()))
        + "\n}"
        for kind, of in schema.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Download the bindings, and write the extract."""
    schema: dict[str, Any] = {"providers": {}, "resource": {}, "data": {}}
    for provider, (name, version, provider_version) in BINDINGS.items():
        with tempfile.TemporaryDirectory() as scratch:
            package = _download(name, version, provider_version, Path(scratch))
        about = {"version": provider_version, "source": f"PyPI {name} {version}"}
        framework = provider != "azurerm"
        provider_schema = extract(package, "provider", framework=framework)
        schema["providers"][provider] = about | {"schema": provider_schema}
        for kind in ("resource", "data"):
            for type_name in sorted(t for t in used(kind) if t.startswith(f"{provider}_")):
                folder = _folder(package, provider, kind, type_name)
                schema[kind][type_name] = extract(package, folder, framework=framework)
    OUTPUT.write_text(_written(schema), encoding="utf-8")
    sys.stdout.write(
        f"{OUTPUT.name}: {len(schema['resource'])} resources, {len(schema['data'])} data sources\n"
    )


if __name__ == "__main__":
    main()
