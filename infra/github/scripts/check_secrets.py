"""`python check_secrets.py FOLDER`: no secret in plain text, and what is encrypted is encrypted wholly.

Exit 0: nothing found; 1: each finding is one line, `file: key: what`. It never prints a value. Templates,
which are no YAML, are read as text.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SEALED = re.compile(r"ENC\[AES256_GCM,data:.*,iv:.+,tag:.+,type:\w+\]", re.DOTALL)
# Words that name a secret, as the last part of a key; `existingSecret: name` is a reference.
NAMED = re.compile(
    r"(?:password|passwords|passwd|secretkey|token|apikey|privatekey|replicasetkey|license|connectionstring)$"
)
REFERENCES = re.compile(r"^(?:existing\w*|\w*secret(?:name|ref)?|\w*keyref|\w*file)$")
PRIVATE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{10}|gh[pousr]_[A-Za-z0-9]{30}"
    r"|groundcrew-sign-secret-[\w-]{20}"
    r"|github_pat_\w{30}|AccountKey=[A-Za-z0-9+/]{40}|[?&]sig=[A-Za-z0-9%]{30}"
    r"|[a-z][a-z0-9+]*://[^\s/:@{}$]+:[^\s/@{}$<>]{3,}@"
)
SKIPPED = {".git", ".github", "charts", "node_modules"}


def findings(folder: Path) -> Iterator[str]:
    """Each finding as one line."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or SKIPPED & set(name.parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        sealed = False
        if path.suffix in (".yaml", ".yml"):
            documents = _documents(text)
            sealed = any(isinstance(one, dict) and "sops" in one for one in documents)
            if name.parts[0] == "secrets" and not sealed:
                yield f"{name}: is in secrets/ and not encrypted: sops encrypt --in-place {name}"
            for document in documents:
                yield from (f"{name}: {what}" for what in _document(document, sealed=sealed))
        if not sealed and PRIVATE.search(text):
            line = text[: PRIVATE.search(text).start()].count("\n") + 1  # type: ignore[union-attr]
            yield f"{name}: line {line}: looks like a private key, a token or a password in an address"


def _documents(text: str) -> list[Any]:
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError:
        return []  # a template; its text is searched


def _document(document: Any, *, sealed: bool) -> Iterator[str]:
    for item in _secrets(document):
        for field in ("data", "stringData"):
            for key, value in (item.get(field) or {}).items():
                if not SEALED.fullmatch(str(value)):
                    where = (item.get("metadata") or {}).get("name", "?")
                    yield f"Secret {where}: {key} is in plain text"
    if not sealed:
        yield from _named(document, ())


def _secrets(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        if document.get("kind") == "Secret":
            yield document
        for item in document.get("items") or []:
            yield from _secrets(item)


def _named(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _named(inner, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner, path)
    elif isinstance(value, str) and value and path:
        key = re.sub(r"[^a-z0-9]", "", path[-1].lower())
        template = "{{" in value or value.startswith("$(")
        if NAMED.search(key) and not REFERENCES.match(key) and not template and not SEALED.fullmatch(value):
            yield f"{'.'.join(path)}: a secret in plain text"


def main(arguments: list[str]) -> int:
    """Print the findings; 1 if there are any, 2 if there is no such folder."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python check_secrets.py FOLDER", file=sys.stderr)
        return 2
    found = list(findings(Path(arguments[0])))
    print("\n".join(found) if found else "no secret in plain text")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
