"""Journals of restores as files in a folder of the user."""

from __future__ import annotations

import os
from pathlib import Path


class JournalFiles:
    """`JournalStore` in a folder, which is created when the first one is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        """None if there is none."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, key: str, data: bytes) -> None:
        """Whole or not at all, whenever the process is killed."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._path(key).with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path(key))

    def remove(self, key: str) -> None:
        """Removing one that does not exist is fine."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
