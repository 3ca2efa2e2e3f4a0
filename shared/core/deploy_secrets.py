"""Finds plaintext secrets in values files and rendered manifests; says where, never what.

Values are looked at as committed, before SOPS decrypts them: an encrypted one reads `ENC[…]` and is fine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.core.deploy_words import Finding, Manifest
from shared.core.redact import holds_secret, names_secret

Path = tuple[str | int, ...]
_HARMLESS = re.compile(r"\s*|ENC\[AES256_GCM,.*\]|\{\{.*\}\}|\$\{.*\}|\$\(.*\)", re.DOTALL)
_ARGUMENT = re.compile(r"--?([A-Za-z][\w-]*)=(.+)", re.DOTALL)
CURE = "Put it into a Kubernetes Secret and name that, or encrypt the file with SOPS"


def values_secrets(
    values: Mapping[str, Any], lines: Mapping[Path, int], *, file: str = "values"
) -> list[Finding]:
    """Plaintext secrets in one values file, in the order of their lines."""
    found = []
    for path, name, text in _literals(values):
        if path[0] != "sops" and _is_plain_secret(name, text):
            where = f"{file}: {dotted(path)}"
            found.append(
                Finding(
                    "plaintext-secret", "error", where, line_of(lines, path), "a secret in plain text", CURE
                )
            )
    return sorted(found, key=lambda one: (one.line, one.where))


def manifest_secrets(manifests: Sequence[Manifest]) -> list[Finding]:
    """Plaintext secrets outside of Secret objects: in variables, ConfigMaps, arguments, annotations."""
    found = []
    for manifest in manifests:
        if manifest.get("kind") == "Secret":
            continue  # where secrets belong; the plan masks them
        label = f"{manifest.get('kind')}/{(manifest.get('metadata') or {}).get('name')}"
        for path, name, text in _literals(manifest):
            argument = _ARGUMENT.fullmatch(text)
            if _is_plain_secret(name, text) or (argument and _is_plain_secret(argument[1], argument[2])):
                found.append(
                    Finding(
                        "plaintext-secret",
                        "error",
                        f"{label}: {dotted(path)}",
                        0,
                        "a secret in plain text",
                        CURE,
                    )
                )
    return sorted(found, key=lambda one: one.where)


def _is_plain_secret(name: str, text: str) -> bool:
    if _HARMLESS.fullmatch(text):
        return False
    return holds_secret(text) or (
        names_secret(name) and text.lower() not in ("true", "false", "none", "null")
    )


def _literals(value: object, path: Path = (), name: str = "") -> Iterator[tuple[Path, str, str]]:
    """Every text with its path and the name it goes by: its key, or the `name` of a name-value pair."""
    if isinstance(value, Mapping):
        pair = value.get("name") if "value" in value else None
        for key, inner in value.items():
            named = str(pair) if key == "value" and isinstance(pair, str) else str(key)
            yield from _literals(inner, (*path, str(key)), named)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _literals(inner, (*path, index), name)
    elif isinstance(value, bytes):
        yield path, name, value.decode(errors="replace")
    elif isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        yield path, name, str(value)


def dotted(path: Path) -> str:
    """`a.b[0].c`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of the path or of the nearest thing around it; 0 if nothing is known."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 0
