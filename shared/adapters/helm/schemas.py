"""Sees to it that Helm fetches nothing: it follows what a schema of values refers to, over HTTP and to files.

`helm lint` and `helm template` do so before anybody approved of the chart. Seen of Helm 4.3.1: it fetches
what `$ref`, `$dynamicRef`, `$recursiveRef` and `$schema` name, but for the drafts that it has in it; an
`$id` alone, or what begins with `#`, stays in the document.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from shared.formats.tarball import Limits, read_files
from shared.kernel.errors import Corrupt, Refused

_SCHEMA = "values.schema.json"
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# https://json-schema.org/specification-links: those that Helm has in it.
_DRAFT = re.compile(r"https?://json-schema\.org/(draft-0[467]/|draft/20(19-09|20-12)/)?schema#?")
_LIMITS = Limits(entries=5000, packed_bytes=16 << 20, unpacked_bytes=64 << 20)
_DEEPEST = 4  # charts in charts in charts


def without_fetching(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """A chart's files, of which no schema refers to anything outside itself.

    Archives of further charts are packed anew from what was read of them, so that Helm reads the same.
    Raises Refused.
    """
    return _check_files(files, "", _LIMITS.total_bytes, 0)


def _check_files(files: Mapping[str, bytes], within: str, budget: int, depth: int) -> dict[str, bytes]:
    checked: dict[str, bytes] = {}
    for name, data in files.items():
        path = PurePosixPath(name)
        if path.name == _SCHEMA:
            _check_schema(data, within + name)
        if path.suffix == ".tgz" and path.parent.name == "charts":
            inner = _unpack_archive(data, within + name, budget)
            budget -= sum(map(len, inner.values()))
            # After it was unpacked: only then is it known that there is one more.
            if depth == _DEEPEST:
                raise Refused("the chart has charts in charts too deep to follow", value=within + name)
            checked[name] = _repack(_check_files(inner, f"{within}{name}/", budget, depth + 1))
        else:
            checked[name] = data
    return checked


def _unpack_archive(data: bytes, name: str, budget: int) -> dict[str, bytes]:
    try:
        files = read_files([data], ["."], limits=replace(_LIMITS, total_bytes=max(0, budget)))
    except (Refused, Corrupt) as error:
        hint = "Pack it with helm package, or put the chart's folder there"
        raise Refused(
            f"{name} is no archive of a chart as it is read here", value=error.message, hint=hint
        ) from error
    if "" in files:
        raise Refused(f"{name} has a file beside the chart's folder", hint="Pack it with helm package")
    return files


def _repack(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"chart/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _check_schema(data: bytes, name: str) -> None:
    """Raises Refused for a schema that is no JSON, or that refers to what is not in it."""

    def check_pairs(pairs: list[tuple[str, Any]]) -> None:
        # Each pair is seen, of keys that come twice as well: which of them counts is the reader's choice.
        for key, value in pairs:
            if isinstance(value, str):
                _check_reference(key, value, name)

    try:
        json.loads(data.decode(), object_pairs_hook=check_pairs)
    except (ValueError, RecursionError) as error:
        hint = "Mend it and merge again"
        raise Refused(f"{name} is not JSON in UTF-8", value=type(error).__name__, hint=hint) from error


def _check_reference(key: str, value: str, name: str) -> None:
    if key in _REFERENCES and not value.startswith("#"):
        hint = 'Copy what it names below $defs, and refer to it as "#/$defs/…"'
        raise Refused(f"{name} refers to another document", value=f"{key}: {ascii(value)[:200]}", hint=hint)
    if key == "$schema" and not _DRAFT.fullmatch(value):
        hint = 'Write "https://json-schema.org/draft/2020-12/schema"'
        raise Refused(f"{name} names a schema to be fetched", value=ascii(value)[:200], hint=hint)
