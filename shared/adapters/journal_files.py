"""Journals of restores as files in a folder of the user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.kernel.errors import Unavailable


class JournalFiles:
    """`JournalStore` in a folder, which is created when the first one is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        """None if there is none. Raises Unavailable."""
        with self._translate_errors():
            try:
                return self._path(key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, key: str, data: bytes) -> None:
        """Whole or not at all, whenever the process is killed. Raises Unavailable."""
        with self._translate_errors():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Beside it and renamed: a journal that was cut off would let --resume drop what it did not
            # create.
            temporary = self._path(key).with_suffix(".new")
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path(key))

    def remove(self, key: str) -> None:
        """Removing one that does not exist is fine. Raises Unavailable."""
        with self._translate_errors():
            self._path(key).unlink(missing_ok=True)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # a home that cannot be written to, a full disk
            raise Unavailable(
                "the journals of restores cannot be used", value=f"{self._folder}: {error.strerror}",
                hint="Set XDG_STATE_HOME to a folder that can be written to.",
            ) from error  # fmt: skip

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
