"""cert-manager's own definitions of its kinds, out of its Go module: real API servers check objects by them.

Nothing of them is in this repository: `make real` brings them into `.local/real/definitions`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from local.real import directory

MODULE: Final = "github.com/cert-manager/cert-manager"
VERSION: Final = "v1.21.2"
CHECKSUM: Final = "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68="
_LIMIT_SECONDS: Final = 300.0  # 3 MB; a hung download must end


def bring_definitions() -> str:
    """Brings them if they are not there at this version; what came of it, for the table."""
    folder = _folder()
    if folder.is_dir():
        return "ready"
    go = shutil.which("go")
    if go is None:
        return "Go is missing"
    try:
        answer = subprocess.run(
            [go, "mod", "download", "-json", f"{MODULE}@{VERSION}"],
            cwd=Path(__file__).parent, env={**os.environ, "GOTOOLCHAIN": "local"},
            check=False, capture_output=True, text=True, timeout=_LIMIT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"was not downloaded within {_LIMIT_SECONDS:g} s"
    module: dict[str, Any] = json.loads(answer.stdout or "{}")
    if module.get("Sum") != CHECKSUM:
        return f"is not what was pinned: {module['Sum']}" if "Sum" in module else "cannot be downloaded"
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.copytree(Path(module["Dir"], "deploy", "crds"), aside)
    try:
        aside.replace(folder)
    except OSError:  # another run was faster
        shutil.rmtree(aside, ignore_errors=True)
    return "ready"


def load_definitions() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions that were brought; none if they were not."""
    return [
        item
        for path in sorted(_folder().glob("*.yaml"))
        for item in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if item
    ]


def _folder() -> Path:
    return directory() / "definitions" / f"cert-manager-{VERSION}"
