"""Finds a Helm that runs: on PATH, at the path of the setting, or the one in the app's package.

Core tools write every file of a Python package as 0666, so the packaged Helm arrives without its execute bit,
in a folder that may be read-only. Then it is run from a private copy, which is made once per instance and is
checked against the checksum that `make package` put beside it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from functools import cache
from pathlib import Path

from shared.kernel.errors import Corrupt, UsageError
from shared.kernel.versions import Version

PACKAGED = Path(__file__).resolve().parents[3] / "bin" / "helm"
SUPPORTED_MAJOR = 4
_CHUNK_BYTES = 1 << 20


def find_helm(binary: str = "", *, packaged: Path = PACKAGED) -> Path:
    """Helm's path, by name or path; by default on PATH or in the package. Raises UsageError, Corrupt."""
    name = binary or "helm"
    if on_path := shutil.which(name):
        return Path(on_path).resolve()
    candidates = [Path(name)] if os.sep in name else [packaged]
    for path in candidates:
        if path.is_file():
            return path.resolve() if os.access(path, os.X_OK) else make_runnable(path.resolve())
    hint = "Build the package with `make package`, or set GROUNDCREW_HELM to the path of a Helm 4 binary."
    raise UsageError("Helm was not found", value=name, hint=hint)


@cache
def make_runnable(packaged: Path) -> Path:
    """A private, executable copy of the file, which must have its checksum (`sha256sum`) beside it."""
    expected = _read_checksum(packaged)
    folder = _private_folder()
    copy = folder / f"helm-{expected[:16]}"
    # Hashed once per process, and not trusted for its name: an earlier copy may have been cut off.
    if copy.is_file() and not copy.is_symlink() and _checksum(copy) == expected:
        return copy
    descriptor, name = tempfile.mkstemp(dir=folder)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as target, packaged.open("rb") as source:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
        if _checksum(partial) != expected:
            hint = "Build the package anew with `make package`."
            raise Corrupt("Helm in the package is not the one that was packaged", value=packaged, hint=hint)
        partial.chmod(0o700)
        partial.rename(copy)  # at once: another worker of this instance may do the same
    finally:
        partial.unlink(missing_ok=True)
    return copy


def require_supported(version: str) -> None:
    """Raises UsageError for another major version than 4: its flags and its release records differ."""
    parsed = Version.parse(version)
    if parsed is None or parsed.major != SUPPORTED_MAJOR:
        hint = f"Set GROUNDCREW_HELM to a Helm {SUPPORTED_MAJOR} binary."
        raise UsageError(f"Helm {version or 'of an unknown version'} is not supported", hint=hint)


def _read_checksum(packaged: Path) -> str:
    path = packaged.with_name(f"{packaged.name}.sha256")
    try:
        return path.read_text(encoding="ascii").split()[0]
    except (OSError, UnicodeError, IndexError) as error:
        hint = f"chmod +x {packaged}, or build the package with `make package`."
        raise UsageError("Helm is not executable and has no checksum", value=path, hint=hint) from error


def _private_folder() -> Path:
    """A folder that only this user can write to; a new one if somebody else made that of the usual name."""
    folder = Path(tempfile.gettempdir()) / f"groundcrew-helm-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        status = folder.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
        # Whoever made that folder first could put a program into it, and it would be run with the cluster's
        # credentials.
        return folder if is_ours else Path(tempfile.mkdtemp(prefix="groundcrew-helm-"))
    return folder


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
