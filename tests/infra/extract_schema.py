"""Writes tests/infra/provider_schema.json anew: what the providers' schemas say of the resources that we use.

    python -m tests.infra.extract_schema

The providers are programs that a machine without their registry cannot have, and their schemas are many
megabytes. The bindings that CDK Terrain publishes on PyPI are made from the same schemas, one package per
provider version; this takes from them the argument and block names, which of them are required, and the names
that can be referred to. The packages are downloaded by pip, checked against the versions named here, and read
without being run.
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
from collections.abc import Iterable, Mapping
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

_ENTRY = re.compile(
    r"^ {8}(?:    )?(\w+): \{\n\s+value: (.*),\n\s+isBlock: (true|false),\n"
    r"\s+type: \"(\w+)\",\n\s+storageClassType: \"(\w+)\"",
    re.MULTILINE,
)
_STRUCT = re.compile(
    r"^(?:export )?function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
_HCL = re.compile(r"synthesizeHclAttributes\(\) \{\n(.*?)^ {4}\}", re.MULTILINE | re.DOTALL)
_READABLE = re.compile(r"get\w+Attribute\('(\w+)'\)|new [\w.]+\(this, \"(\w+)\"")
_INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"#(\w+) [^\n]*\n(?:(?!\*/).)*?\*/\s+readonly \w+(\??):", re.DOTALL)
_VERSION = re.compile(r"provider version (\d+\.\d+\.\d+)")


def extract(package: Mapping[str, str], folder: str) -> dict[str, Any]:
    """The schema of one resource, data source or provider of a binding's files (name to text)."""
    code, types = package[f"lib/{folder}/index.js"], package[f"lib/{folder}/index.d.ts"]
    parts = [key for key in package if key.startswith(f"lib/{folder}/index-") or f"/{folder}/structs" in key]
    code, types = _joined(package, code, parts, ".js"), _joined(package, types, parts, ".d.ts")
    required = {
        name: {field for field, optional in _FIELD.findall(body) if not optional}
        for name, body in _INTERFACE.findall(types)
    }
    structs = {name.lower(): body for name, body in _STRUCT.findall(code)}
    config = next(name for name in required if name.endswith("Config"))
    top = _HCL.findall(code)[-1]
    found = _block(top, required[config], structs, required)
    main = code[code.rindex("static tfResourceType") :] if "static tfResourceType" in code else ""
    found["readable"] = sorted({a or b for a, b in _READABLE.findall(main)} | set(found["arguments"]))
    return found


def _joined(package: Mapping[str, str], text: str, parts: Iterable[str], suffix: str) -> str:
    return "\n".join([*(package[part] for part in parts if part.endswith(suffix)), text])


def _block(
    body: str, needed: set[str], structs: Mapping[str, str], required: Mapping[str, set[str]]
) -> dict[str, Any]:
    found: dict[str, Any] = {"arguments": [], "required": [], "blocks": {}}
    for name, value, block, _, _storage in _ENTRY.findall(body):
        if block == "true":
            function = re.findall(r"(\w+)ToHclTerraform", value)[0]
            inner = structs[function.lower()]
            wanted = next((v for k, v in required.items() if k.lower() == function.lower()), set())
            nested = _block(inner, wanted, structs, required)
            found["blocks"][name] = nested | {"needed": name in needed}
        else:
            found["arguments"].append(name)
            if name in needed:
                found["required"].append(name)
    found["arguments"].sort()
    found["required"].sort()
    return found


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
        schema["providers"][provider] = about | {"schema": extract(package, "provider")}
        for kind in ("resource", "data"):
            for type_name in sorted(t for t in used(kind) if t.startswith(f"{provider}_")):
                folder = _folder(package, provider, kind, type_name)
                schema[kind][type_name] = extract(package, folder)
    OUTPUT.write_text(_written(schema), encoding="utf-8")
    sys.stdout.write(
        f"{OUTPUT.name}: {len(schema['resource'])} resources, {len(schema['data'])} data sources\n"
    )


if __name__ == "__main__":
    main()
