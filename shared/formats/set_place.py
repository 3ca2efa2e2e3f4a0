"""Where a backup set lives: its class and id, which are parts of blob names, and the names of its files."""

from __future__ import annotations

import re

from shared.formats.strict_json import require_form

# Each is a folder of its own, so that a lifecycle rule of the storage can tell them apart by prefix.
CLASSES = ("daily", "weekly", "monthly", "manual")
SET_ID = re.compile(r"\d{8}T\d{6}Z", re.ASCII)  # when it was begun, UTC
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}", re.ASCII)


def require_place(klass: str, set_id: str) -> None:
    """A class and an id are parts of blob names: nothing else may get into those."""
    if klass not in CLASSES:
        raise ValueError(f"class is malformed: {klass[:60]!r}")
    require_form(SET_ID, set=set_id)
