"""Charts to develop and test deploys with, as the files of a repository."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "rocketchat"


def rocketchat(*, app_version: str = "", version: str = "") -> dict[str, bytes]:
    """The stand-in of Rocket.Chat's chart by path, as of another app or chart version if wanted."""
    files = {
        str(path.relative_to(FOLDER)): path.read_bytes()
        for path in sorted(FOLDER.rglob("*"))
        if path.is_file()
    }
    text = files["Chart.yaml"].decode()
    for key, wanted in (("appVersion", app_version), ("version", version)):
        if wanted:
            text = re.sub(rf"(?m)^{key}: .*$", f"{key}: {wanted}", text)
    return {**files, "Chart.yaml": text.encode()}
