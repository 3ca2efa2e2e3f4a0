"""The programs that their authors publish built, where those downloads can be reached.

A release is taken only with the checksum that is pinned in `programs.toml`; what differs is thrown away, and
the program is built from its sources instead. Only for Linux on amd64: for other machines none are pinned.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import platform
import shutil
import sys
import tarfile
import time
import urllib.request
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from local.real import directory
from local.real.programs import Program
from shared.kernel.errors import Corrupt

_TIMEOUT = 10.0  # seconds without a byte
_PIECE = 1024 * 1024
# Kubernetes' archive of its server has about 400 MB.
_MAX_BYTES = 1024 * 1024 * 1024
# Asked once in a run: behind a wall that drops packets each question takes the whole timeout.
_unreachable: set[str] = set()


def fetch_release(program: Program, path: Path, deadline: float | None = None) -> str:
    """Puts the published program at `path`. Why not, if it could not; empty if it did.

    `deadline` is of the monotonic clock, in seconds.
    """
    if not program.release:
        return "no release is pinned"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"no release is pinned for {sys.platform} on {platform.machine()}"
    host = urlsplit(program.release).netloc
    if host in _unreachable:
        return f"{host} cannot be reached"
    algorithm, _, digest = program.release_checksum.partition(":")
    # It stays there: three programs come in one archive of Kubernetes.
    archive = directory() / "releases" / digest
    try:
        if not archive.exists():
            _download(program, archive, deadline)
        _check(archive, algorithm, digest)
        _place(program, archive, path)
    except (Corrupt, tarfile.TarError) as error:
        return f"{program.release} is refused: {error}"
    except (OSError, http.client.HTTPException) as error:  # urllib's own errors are OSErrors
        _unreachable.add(host)
        return f"{host} cannot be reached: {error}"
    return ""


def _download(program: Program, archive: Path, deadline: float | None) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    aside, size = archive.with_name(f".{archive.name}.{os.getpid()}"), 0
    try:
        with (
            aside.open("wb") as file,
            urllib.request.urlopen(program.release, timeout=_TIMEOUT) as answer,  # noqa: S310 (pinned)
        ):
            while piece := answer.read(_PIECE):
                size += len(piece)
                if size > _MAX_BYTES:
                    raise Corrupt(f"larger than {_MAX_BYTES:,} bytes")
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError("the time for programs is over")
                file.write(piece)
        aside.replace(archive)
    finally:
        aside.unlink(missing_ok=True)


def _check(archive: Path, algorithm: str, expected: str) -> None:
    """Throws away what is not the pinned release, so that the next run asks anew. Raises Corrupt."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    if digest != expected:
        archive.unlink()
        raise Corrupt(f"not what was pinned but {algorithm}:{digest}")


def _place(program: Program, archive: Path, path: Path) -> None:
    """The program out of its archive, whole or not at all; a release without a member is the program."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    if not program.release_member:
        shutil.copyfile(archive, aside)
    else:
        with tarfile.open(archive) as entries, aside.open("wb") as file:
            shutil.copyfileobj(_find_member(entries, program.release_member), file, _PIECE)
    aside.chmod(0o755)
    aside.replace(path)


def _find_member(entries: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        entry = entries.extractfile(name)
    except KeyError:
        entry = None
    if entry is None:
        raise Corrupt(f"no file {name}")
    return entry
