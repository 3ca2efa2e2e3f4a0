"""Providers that know their schema and nothing else, for `tofu validate` and for plans against mocks.

The real ones are programs from a registry that is not everywhere. OpenTofu asks a provider for its schema,
and with `mock_provider` for nothing else; so the extract of the schemas is enough to have it check types,
references, cycles and conditions itself. The protocol: docs/plugin-protocol of OpenTofu, version 6.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.infra import hcl

_FOLDER = Path(__file__).resolve().parent
SCHEMA: dict[str, Any] = json.loads((_FOLDER / "provider_schema.json").read_text(encoding="utf-8"))
SOURCES = {"azurerm": "hashicorp/azurerm", "azapi": "Azure/azapi", "helm": "hashicorp/helm"}
_NESTING = {"single": 1, "list": 2, "set": 3}
_METHODS = (
    "ValidateProviderConfig",
    "ValidateResourceConfig",
    "ValidateDataResourceConfig",
    "ConfigureProvider",
    "StopProvider",
    "UpgradeResourceState",
)


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes, text or message: https://protobuf.dev/programming-guides/encoding/"""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _attribute(name: str, type_name: Any, flags: str) -> bytes:
    data = _field(1, name.encode()) + _field(2, json.dumps(type_name).encode())
    for number, letter in ((4, "r"), (5, "o"), (6, "c")):
        data += _number(number, 1) if letter in flags else b""
    return data


def _block(schema: dict[str, Any]) -> bytes:
    data = b"".join(_field(2, _attribute(name, *told)) for name, told in schema["attributes"].items())
    for name, inner in schema["blocks"].items():
        nested = _field(1, name.encode()) + _field(2, _block(inner)) + _number(3, _NESTING[inner["nesting"]])
        data += _field(3, nested + (_number(4, 1) if inner["needed"] else b""))
    return data


def _schema(schema: dict[str, Any]) -> bytes:
    return _field(2, _block(schema))


def encode_schemas(provider: str) -> bytes:
    """The answer to GetProviderSchema."""
    data = _field(1, _schema(SCHEMA["providers"][provider]["schema"]))
    for number, kind in ((2, "resource"), (3, "data")):
        for name, schema in SCHEMA[kind].items():
            if name.startswith(f"{provider}_"):
                data += _field(number, _field(1, name.encode()) + _field(2, _schema(schema)))
    return data


@contextmanager
def providers() -> Iterator[str]:
    """Run them on loopback; gives what TF_REATTACH_PROVIDERS is to be."""
    running = {name: _start(name) for name in SOURCES}
    try:
        yield json.dumps({SOURCES[name]: _address(process) for name, process in running.items()})
    finally:
        for process in running.values():
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _start(provider: str) -> subprocess.Popen[str]:
    service = "/tfplugin6.Provider/"
    answers = {f"{service}GetProviderSchema": base64.b64encode(encode_schemas(provider)).decode()}
    answers |= {service + method: "" for method in _METHODS}
    argv = ["node", str(_FOLDER / "schema_provider.cjs")]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=hcl.ROOT)
    assert process.stdin is not None
    process.stdin.write(json.dumps(answers))
    process.stdin.close()
    return process


def _address(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    port = int(process.stdout.readline())
    where = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    return {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": process.pid, "Test": True, "Addr": where}
