"""Finds plaintext secrets in values files and rendered manifests; says where, never what.

Values are looked at as committed, before SOPS decrypts them: an encrypted one reads `ENC[…]` and is fine.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from shared.deploy.model import Finding
from shared.kernel.redact import MIN_SECRET_LENGTH, holds_secret, names_secret
from shared.kubernetes.images import mapping
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import shown_name

Path = tuple[str | int, ...]
_HARMLESS = re.compile(r"\s*|ENC\[AES256_GCM,.*\]|\{\{.*\}\}|\$\{.*\}|\$\(.*\)", re.DOTALL)
_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_ARGUMENT = re.compile(r"--?([A-Za-z][\w-]*)=(.+)", re.DOTALL)
CURE = "Put it into a Kubernetes Secret and name that, or encrypt the file with SOPS"


def values_secrets(
    values: Mapping[str, Any],
    lines: Mapping[Path, int],
    *,
    file: str = "values",
    deployed: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Plaintext secrets in one values file, in the order of their lines.

    With `deployed`, the values that came of it, those that others replaced are left out.
    """
    found = []
    for path, name, text in _literals(values):
        if deployed is not None and _at(deployed, path) != _at(values, path):
            continue
        if path[0] != "sops" and _is_plain_secret(name, text):
            where = f"{file}: {dotted(path)}"
            found.append(
                Finding(
                    "plaintext-secret", "error", where, line_of(lines, path), "a secret in plain text", CURE
                )
            )
    return sorted(found, key=lambda one: (one.line, one.where))


def sealed_values(deployed: Mapping[str, Any]) -> list[Finding]:
    """Values that reach Helm encrypted, as those of a chart's own values.yaml do: nothing decrypts these."""
    hint = "Name the file in deploy.values of policy.yaml, where it is decrypted"
    return [
        Finding("sealed-value", "error", dotted(path), 0, "it would be deployed as it is encrypted", hint)
        for path, _, text in _literals(deployed)
        if path[0] != "sops" and text.lstrip().startswith("ENC[AES256_GCM")
    ]


def manifest_secrets(manifests: Sequence[Manifest]) -> list[Finding]:
    """Plaintext secrets outside of Secret objects: in variables, ConfigMaps, arguments, annotations."""
    found = []
    for manifest in manifests:
        if manifest.get("kind") == "Secret":
            continue  # where secrets belong; the plan masks them
        label = _label(manifest)
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


def copied_secrets(
    manifests: Sequence[Manifest],
    committed: Mapping[str, Mapping[str, Any]],
    *,
    templates: Mapping[str, str] | None = None,
    secrets: Collection[str] = (),
) -> list[Finding]:
    """What Secret objects hold that stands in plain text in the repository.

    `committed` are the values of each file as committed, `templates` the texts of the templates, `secrets`
    what was decrypted. What a template makes up at random, or puts together, cannot be known; of an address
    the password is looked at.
    """
    places = _places(committed)
    found = []
    for manifest in manifests:
        for key, raw, text in _held(manifest) if manifest.get("kind") == "Secret" else ():
            if text in secrets:
                continue
            where = _copied(key, text, places) or _written(key, raw, text, templates or {})
            if where:
                label, told = f"{_label(manifest)}: {shown_name(key)}", f"{where} has it in plain text"
                found.append(Finding("plaintext-secret", "error", label, 0, told, CURE))
    return sorted(found, key=lambda one: one.where)


def _copied(key: str, text: str, places: Mapping[str, tuple[str, str]]) -> str:
    """Where among the values the text, or the password in it, stands; empty if nowhere."""
    where, name = places.get(text, ("", ""))
    if where and (names_secret(key) or names_secret(name) or holds_secret(text)):
        return where
    passwords = (places.get(unquote(one), ("", ""))[0] for one in _PASSWORD.findall(text))
    return next(filter(None, passwords), "")


def _written(key: str, raw: str, text: str, templates: Mapping[str, str]) -> str:
    """The template that has the text as it stands beside its key; empty if none has."""
    if len(raw) < MIN_SECRET_LENGTH or not _is_plain_secret(key, text):
        return ""
    pattern = re.compile(rf"{re.escape(key)}[\"']?\s*:\s*[\"']?{re.escape(raw)}(?![^\s\"',}}])")
    return next((shown_name(name) for name, whole in templates.items() if pattern.search(whole)), "")


def _places(committed: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Where each text stands, and what it goes by there."""
    return {
        text: (shown_name(f"{file}: {dotted(path)}"), name)
        for file, values in committed.items()
        for path, name, text in _literals(values)
        if len(text) >= MIN_SECRET_LENGTH and path[0] != "sops" and _is_plain_secret("password", text)
    }


def _held(secret: Manifest) -> Iterator[tuple[str, str, str]]:
    """The keys of a Secret with what stands there and what it means; bytes that are no text are left out."""
    for key, value in mapping(secret.get("stringData")).items():
        yield str(key), str(value), str(value)
    for key, value in mapping(secret.get("data")).items():
        try:
            yield str(key), str(value), base64.b64decode(str(value), validate=True).decode()
        except (binascii.Error, ValueError):
            continue


def _label(manifest: Manifest) -> str:
    return shown_name(f"{manifest.get('kind')}/{mapping(manifest.get('metadata')).get('name')}")


def _at(values: Any, path: Path) -> Any:
    for part in path:
        if isinstance(values, Mapping):
            values = values.get(str(part))
        elif isinstance(values, list | tuple) and isinstance(part, int) and part < len(values):
            values = values[part]
        else:
            return None
    return values


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
