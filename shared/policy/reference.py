"""docs/policy.schema.json and docs/policy.md, generated from the types.

`python -m shared.policy.reference docs` writes both anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .document import json_schema

_HEAD = """# policy.yaml

What the team decides, in one file under review. Every key has a default; unknown keys are mistakes.
`groundcrew policy check` reports every mistake with its line and a hint. Editors that know the YAML
language server complete and check it by the schema beside this page. Secrets and addresses are app
settings, never here.

Durations are `90s`, `30m`, `36h`, `14d`, `2w` or `1h30m`; sizes `512 MiB`. Times are local to `timezone`.
Windows are `Mon-Fri 07:00-19:00`, `Sat,Sun 22:00-02:00` (over midnight: the night belongs to the day it
begins on) or `daily 00:00-24:00`. On the nights when clocks change, no window is cut short: one that begins
or ends in the skipped hour does so at the jump; one that begins in the repeated hour begins at its first
pass, and one that ends there ends at its second.

Generated from `shared/policy`; do not edit.
"""


def schema_text() -> str:
    """The content of docs/policy.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference_text() -> str:
    """The content of docs/policy.md."""
    schema = json_schema()
    lines = [_HEAD]
    top = {name: value for name, value in schema["properties"].items() if "$ref" not in value}
    lines += ["| key | kind | default | meaning |", "|---|---|---|---|", *_table_rows(schema, top, ""), ""]
    for name, value in schema["properties"].items():
        if "$ref" in value:
            target = _resolve_ref(schema, value)
            lines += [f"## {name}", "", target["description"], ""]
            lines += ["| key | kind | default | meaning |", "|---|---|---|---|"]
            lines += [*_table_rows(schema, target["properties"], f"{name}.", target.get("required", ())), ""]
    return "\n".join(lines).rstrip() + "\n"


def _resolve_ref(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    resolved: dict[str, Any] = schema["$defs"][value["$ref"].rpartition("/")[2]]
    return resolved


def _table_rows(
    schema: dict[str, Any], properties: dict[str, Any], prefix: str, required: Any = ()
) -> list[str]:
    rows = []
    for name, value in properties.items():
        section, many = _nested_section(value)
        path = f"{prefix}{name}{'[]' if many else ''}"
        default = "required" if name in required else _format_default(value)
        kind = "list" if many else "section" if section else _format_type(value)
        rows.append(f"| `{path}` | {kind} | {default} | {value.get('description', '')} |")
        if section:
            target = _resolve_ref(schema, section)
            rows += _table_rows(schema, target["properties"], f"{path}.", target.get("required", ()))
    return rows


def _nested_section(value: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    if "$ref" in value:
        return value, False
    if "$ref" in value.get("items", {}):
        return value["items"], True
    for choice in value.get("anyOf", ()):
        if "$ref" in choice:
            return choice, False
    return None, False


def _format_default(value: dict[str, Any]) -> str:
    default = value.get("default")
    return "" if default in (None, {}, []) else f"`{json.dumps(default, ensure_ascii=False).strip(chr(34))}`"


def _format_type(value: dict[str, Any]) -> str:
    if "enum" in value:
        return " \\| ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value:
        kinds = dict.fromkeys(
            _format_type(choice) for choice in value["anyOf"] if choice.get("type") != "null"
        )
        return " or ".join(kinds)
    if value.get("type") == "array":
        return f"list of {_format_type(value['items'])}"
    # The schema knows durations by their pattern only.
    if value.get("pattern", "").startswith("^([0-9]{1,6}[smhdw])"):
        return "duration"
    if value.get("format") == "date":
        return "date"
    words = {"string": "text", "integer": "number", "boolean": "`true` \\| `false`"}
    limits = [str(value[end]) for end in ("minimum", "maximum") if end in value]
    return words[value["type"]] + (f" ({'–'.join(limits)})" if len(limits) == 2 else "")


def main(folder: str) -> None:
    """Write both files into the folder."""
    Path(folder, "policy.schema.json").write_text(schema_text(), encoding="utf-8")
    Path(folder, "policy.md").write_text(reference_text(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
