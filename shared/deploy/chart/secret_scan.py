"""Finds plaintext secrets in values files and rendered manifests; says where, never what.

Values are looked at as committed, before SOPS decrypts them: an encrypted one reads `ENC[…]` and is fine.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from shared.deploy.chart.assignments import find_assigned_name
from shared.deploy.model import Finding
from shared.kernel.redact import MIN_SECRET_LENGTH, holds_secret, names_secret
from shared.kubernetes.images import as_mapping
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import printable_name

Path = tuple[str | int, ...]
# Empty, encrypted, or put in by somebody else: templates, shells, Kubernetes' own references.
_HARMLESS = re.compile(r"\s*|ENC\[AES256_GCM,.*\]|\{\{.*\}\}|\$\{.*\}|\$\(.*\)", re.DOTALL)
_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_ARGUMENT = re.compile(r"--?([A-Za-z][\w-]*)=(.+)", re.DOTALL)
# At most as long as SHA-512, in hex: a key in hex is found by its name before this is asked.
_DIGEST = re.compile(r"(?:sha256[:-])?[0-9a-f]{8,128}", re.ASCII)
_DIGEST_NAME = re.compile(r"checksum|hash|digest|sha(?:1|224|256|384|512)?(?:sum)?$|md5", re.IGNORECASE)
# Bitnami's images take yes and no: ALLOW_EMPTY_PASSWORD.
_SWITCHES = frozenset({"true", "false", "none", "null", "yes", "no", "on", "off"})
HINT = "Put it into a Kubernetes Secret and name that, or encrypt the file with SOPS"


def find_values_secrets(
    values: Mapping[str, Any],
    lines: Mapping[Path, int],
    *,
    file: str = "values",
    ignore: Callable[[Path, str], bool] | None = None,
) -> list[Finding]:
    """Plaintext secrets in one values file, in the order of their lines; `ignore` says which are none."""
    findings = []
    for path, name, text in _walk_literals(values):
        if ignore is not None and ignore(path, text):
            continue
        # SOPS's own block holds the data key, encrypted, under names that sound like secrets.
        if path[0] != "sops" and _is_plain_secret(name, text):
            where = f"{file}: {format_path(path)}"
            findings.append(
                Finding(
                    "plaintext-secret", "error", where, find_line(lines, path), "a secret in plain text", HINT
                )
            )
    return sorted(findings, key=lambda one: (one.line, one.where))


def find_sealed_values(deployed: Mapping[str, Any]) -> list[Finding]:
    """Values that reach Helm encrypted, as those of a chart's own values.yaml do: nothing decrypts these."""
    hint = "Name the file in deploy.values of policy.yaml, where it is decrypted"
    return [
        Finding(
            "sealed-value", "error", format_path(path), 0, "it would be deployed as it is encrypted", hint
        )
        for path, _, text in _walk_literals(deployed)
        if path[0] != "sops" and text.lstrip().startswith("ENC[AES256_GCM")
    ]


def find_manifest_secrets(manifests: Sequence[Manifest]) -> list[Finding]:
    """Plaintext secrets outside of Secret objects: in variables, ConfigMaps, arguments, annotations."""
    findings = []
    for manifest in manifests:
        if manifest.get("kind") == "Secret":
            continue  # where secrets belong; the plan masks them
        label = _object_label(manifest)
        for path, name, text in _walk_literals(manifest):
            argument = _ARGUMENT.fullmatch(text)
            if _is_checksum(path, text):
                continue
            if _is_plain_secret(name, text) or (argument and _is_plain_secret(argument[1], argument[2])):
                findings.append(
                    Finding(
                        "plaintext-secret",
                        "error",
                        f"{label}: {format_path(path)}",
                        0,
                        "a secret in plain text",
                        HINT,
                    )
                )
    return sorted(findings, key=lambda one: one.where)


def find_copied_secrets(
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
    places = _index_values(committed)
    findings = []
    for manifest in manifests:
        for key, raw, text in _decode_secret(manifest) if manifest.get("kind") == "Secret" else ():
            # It came out of an encrypted file: that the same text stands elsewhere is looked for by its
            # place.
            if text in secrets:
                continue
            where = _find_in_values(key, text, places) or _find_in_templates(key, raw, text, templates or {})
            if where:
                label, message = (
                    f"{_object_label(manifest)}: {printable_name(key)}",
                    f"{where} has it in plain text",
                )
                findings.append(Finding("plaintext-secret", "error", label, 0, message, HINT))
    return sorted(findings, key=lambda one: one.where)


def _find_in_values(key: str, text: str, places: Mapping[str, tuple[str, str]]) -> str:
    """Where among the values the text, or the password in it, stands; empty if nowhere."""
    where, name = places.get(text, ("", ""))
    if where and (names_secret(key) or names_secret(name) or holds_secret(text)):
        return where
    # A chart puts an address together, in which the password is percent-encoded; in the values it is not.
    passwords = (places.get(unquote(one), ("", ""))[0] for one in _PASSWORD.findall(text))
    return next(filter(None, passwords), "")


def _find_in_templates(key: str, raw: str, text: str, templates: Mapping[str, str]) -> str:
    """The template that has the text as it stands beside its key; empty if none has."""
    # A short text stands in any template by accident.
    if len(raw) < MIN_SECRET_LENGTH or not _is_plain_secret(key, text):
        return ""
    pattern = re.compile(rf"{re.escape(key)}[\"']?\s*:\s*[\"']?{re.escape(raw)}(?![^\s\"',}}])")
    return next((printable_name(name) for name, whole in templates.items() if pattern.search(whole)), "")


def _index_values(committed: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Where each text stands, and what it goes by there."""
    return {
        text: (printable_name(f"{file}: {format_path(path)}"), name)
        for file, values in committed.items()
        for path, name, text in _walk_literals(values)
        if len(text) >= MIN_SECRET_LENGTH and path[0] != "sops" and _is_plain_secret("password", text)
    }


def _decode_secret(secret: Manifest) -> Iterator[tuple[str, str, str]]:
    """The keys of a Secret with what stands there and what it means; bytes that are no text are left out."""
    for key, value in as_mapping(secret.get("stringData")).items():
        yield str(key), str(value), str(value)
    for key, value in as_mapping(secret.get("data")).items():
        try:
            yield str(key), str(value), base64.b64decode(str(value), validate=True).decode()
        # A keystore or certificate in DER: nothing that a values file could hold in plain text.
        except (binascii.Error, ValueError):
            continue


def _object_label(manifest: Manifest) -> str:
    return printable_name(f"{manifest.get('kind')}/{as_mapping(manifest.get('metadata')).get('name')}")


def value_at(values: Any, path: Path) -> Any:
    """The value at a path; None if there is none."""
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
    if holds_secret(text) or (names_secret(name) and text.lower() not in _SWITCHES):
        return True
    # A configuration file or a script among the values has names and values of its own.
    return "\n" in text and any(find_assigned_name(line) for line in text.splitlines())


def _is_checksum(path: Path, text: str) -> bool:
    """Whether an annotation is the digest by which a chart restarts pods when a Secret or ConfigMap changes.

    https://helm.sh/docs/howto/charts_tips_and_tricks/#automatically-roll-deployments
    """
    is_annotation = len(path) > 2 and path[-2] in ("annotations", "labels") and path[-3] == "metadata"
    return is_annotation and bool(_DIGEST_NAME.search(str(path[-1])) and _DIGEST.fullmatch(text))


def _walk_literals(value: object, path: Path = (), name: str = "") -> Iterator[tuple[Path, str, str]]:
    """Every text with its path and the name it goes by: its key, or the `name` of a name-value pair."""
    if isinstance(value, Mapping):
        # The list of variables: `name: PASSWORD`, `value: …`; there the key says only `value`.
        pair = value.get("name") if "value" in value else None
        for key, inner in value.items():
            named = str(pair) if key == "value" and isinstance(pair, str) else str(key)
            yield from _walk_literals(inner, (*path, str(key)), named)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _walk_literals(inner, (*path, index), name)
    elif isinstance(value, bytes):
        yield path, name, value.decode(errors="replace")
    elif isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        yield path, name, str(value)


def format_path(path: Path) -> str:
    """`a.b[0].c`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def find_line(lines: Mapping[Path, int], path: Path) -> int:
    """The line of the path or of the nearest thing around it; 0 if nothing is known."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 0
