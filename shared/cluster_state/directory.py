"""Writes the files of a cluster's state where somebody restores them: for their eyes only, over nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from shared.kernel.errors import UsageError


def write_directory(folder: Path, files: Mapping[str, str]) -> None:
    """Each file with mode 0600, in a folder with mode 0700 that is made, or empty.

    Raises UsageError for a folder that holds something, and for one that cannot be written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            hint = "Nothing is overwritten. Name another one, or remove what is in it."
            raise UsageError("the folder is not empty", value=folder, hint=hint)
        folder.chmod(0o700)  # an empty one of before may be open to others
        for name, text in files.items():
            _write_new(folder / name, text)
    except OSError as error:
        # Only the reason: the rest of the message would repeat the path.
        raise UsageError("cannot write the cluster's state", value=f"{folder}: {error.strerror}") from error


def _write_new(path: Path, text: str) -> None:
    """Created with its mode, so that nobody can open it before it has that."""
    # A link that somebody put there is not followed: it would lead Secrets to where they can be read.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags, 0o600), "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
        file.write(text)
