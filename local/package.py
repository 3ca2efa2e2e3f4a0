"""`make package`: the zip that is deployed, built from the repository and the lock file.

It holds the app's own files, the dependencies for Azure's Python and platform with their bytecode, and Helm.
The same inputs give the same bytes. What it leaves out of the dependencies is said at `_is_unneeded`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from local.funcignore import FuncIgnore
from shared.adapters.kubernetes_schemas import SCHEMAS
from shared.kernel.errors import GroundcrewError, Unavailable

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.13"  # what infra/terraform runs the app on
PLATFORM = "x86_64-manylinux_2_28"  # Debian 12, on which Azure's images are built
SITE = Path(".python_packages/lib/site-packages")  # where the worker looks for them
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell; a real one would change its bytes
_EXECUTABLE, _PLAIN = 0o755, 0o644
# apprise finds its plugins by the names of their source files.
_WITH_SOURCES = {"apprise"}


def list_app_files(root: Path = ROOT) -> list[Path]:
    """The app's own files, relative: what git knows of, less what .funcignore leaves out."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=True, timeout=60)
    ignore = FuncIgnore.parse((root / ".funcignore").read_text())
    return [Path(n) for n in sorted(listed.stdout.splitlines()) if (root / n).is_file() and ignore.accepts(n)]


def build(folder: Path, target: Path, *, helm: Path | None, python: str = PYTHON) -> Path:
    """Fill `folder`, which is made anew, and write the zip to `target`. Raises CalledProcessError.

    `python` is the name or path of an interpreter of version 3.13, which compiles the bytecode.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in list_app_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    install_dependencies(folder / SITE)
    trim(folder / SITE)
    compile_bytecode(folder, python)
    compile_ahead(folder, python)
    prepare_policy(folder, python)
    if helm is not None:
        add_helm(folder, helm)
    return write_zip(folder, target)


def install_dependencies(site: Path) -> None:
    """Install requirements.txt for the target, checked by hash, wheels only: nothing is built or run here."""
    argv = [
        sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(site), "--require-hashes",
        "--python-version", PYTHON, "--python-platform", PLATFORM, "--only-binary", ":all:",
        "--link-mode", "copy", "-r", str(ROOT / "requirements.txt"),
    ]  # fmt: skip
    subprocess.run(argv, check=True, timeout=600)


def trim(site: Path) -> None:
    """Remove what no function reads, and put the schemas of Kubernetes into one archive."""
    pack_schemas(site / "kubernetes_validate")
    for path in sorted(site.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif _is_unneeded(path.relative_to(site)):
            path.unlink()
    strip = shutil.which("strip")
    for library in site.rglob("*.so"):
        if strip:  # zstandard's and others carry their debugging symbols
            subprocess.run([strip, "--strip-debug", str(library)], check=True, timeout=60)


def _is_unneeded(path: Path) -> bool:
    """Types for checkers, sources of C, tests, programs, clients of others, translations of holidays."""
    top, suffix = path.parts[0], path.suffix
    if top.endswith(".dist-info"):
        return path.name not in ("METADATA", "entry_points.txt")
    return (
        suffix in (".pyi", ".typed", ".h", ".c", ".pxd", ".pyx", ".po", ".pot", ".ico", ".png", ".md", ".rst")
        or (suffix == ".mo" and top in ("holidays", "apprise"))
        or top in ("bin", "share", "__pycache__")
        or "tests" in path.parts[:-1]
        or (top == "azure" and "aio" in path.parts[:-1] and "mgmt" in path.parts)
        or (top == "zstandard" and path.name.startswith("_cffi"))
        # For PyOpenSSL, which is not there; to learn that, it loads all of cryptography.x509 first.
        or (top == "pymongo" and path.name == "pyopenssl_context.py")
    )


def pack_schemas(package: Path) -> None:
    """The strict schemas of each version in a zip of its own, in place of thousands of files.

    A deploy reads those of one version; the index of one zip with all would cost more than all else of it.
    """
    source = package / SCHEMAS
    for folder in sorted(source.iterdir()):
        if folder.name.endswith("-strict"):
            target = folder.with_name(f"{folder.name}.zip")
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                for path in sorted(folder.glob("*.json")):
                    if path.name != "all.json":
                        _add(archive, path.name, path.read_bytes(), _PLAIN)
        shutil.rmtree(folder)


def compile_bytecode(folder: Path, python: str) -> None:
    """Bytecode beside the app's sources; of the dependencies the bytecode alone, but for a few.

    It is never checked against a source: in the package neither changes, and the folder may be read-only.
    """
    site = folder / SITE
    common = [python, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    relative = ["-s", str(folder), "-p", "/home/site/wwwroot"]  # the path that tracebacks show
    subprocess.run([*common, *relative, str(folder), "-x", re.escape(str(site))], check=True, timeout=600)
    with_sources = [str(site / name) for name in sorted(_WITH_SOURCES) if (site / name).exists()]
    if with_sources:
        subprocess.run([*common, *relative, *with_sources], check=True, timeout=600)
    others = [path for path in sorted(site.iterdir()) if path.name not in _WITH_SOURCES]
    subprocess.run([*common, "-b", *relative, *map(str, others)], check=True, timeout=600)
    for path in others:
        for source in [path] if path.suffix == ".py" else path.rglob("*.py") if path.is_dir() else ():
            if source.with_suffix(".pyc").is_file():
                source.unlink()


def compile_ahead(folder: Path, python: str) -> None:
    """What each worker would make in Python: methods of dataclasses, regular expressions, schemas of records;
    and the bytecode of modules once more, in one file that is quicker to read than hundreds.

    See the modules' own texts.
    """
    for module in (
        "shared.kernel.dataclass_code", "shared.kernel.pattern_code", "shared.formats.prepared_schemas",
        "shared.kernel.module_code",
    ):  # fmt: skip
        _run_packaged(folder, python, module)


def prepare_policy(folder: Path, python: str) -> None:
    """Check the policy that is deployed now, and not in each worker: see `shared.policy.prepared`."""
    _run_packaged(folder, python, "shared.policy.prepared", str(folder / "policy.yaml"))


def _run_packaged(folder: Path, python: str, module: str, *arguments: str) -> None:
    """A module of the package as a program, with the package's libraries."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{folder / SITE}",
        "PYTHONDONTWRITEBYTECODE": "1",  # what is deployed is compiled already
        "PYTHONHASHSEED": "0",
    }
    argv = [python, "-m", module, *arguments]
    subprocess.run(argv, cwd=folder, env=environment, check=True, timeout=600)


def add_helm(folder: Path, helm: Path) -> None:
    """Helm, and its checksum, by which the app makes itself a copy that it may run."""
    target = folder / "bin" / "helm"
    target.parent.mkdir()
    shutil.copyfile(helm, target)
    target.chmod(_EXECUTABLE)
    checksum = hashlib.sha256(target.read_bytes()).hexdigest()
    target.with_name("helm.sha256").write_text(f"{checksum}  helm\n")


def write_zip(folder: Path, target: Path) -> Path:
    """Every file in the order of names, with its mode and no time of its own."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            mode = _EXECUTABLE if path.stat().st_mode & 0o100 else _PLAIN
            _add(archive, path.relative_to(folder).as_posix(), path.read_bytes(), mode)
    return target


def _add(archive: zipfile.ZipFile, name: str, data: bytes, mode: int) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = (0o100000 | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)


def measure(target: Path) -> dict[str, float]:
    """`files` and `megabytes` of the package unpacked, without Helm."""
    with zipfile.ZipFile(target) as archive:
        entries = [entry for entry in archive.infolist() if not entry.filename.startswith("bin/")]
    return {"files": len(entries), "megabytes": sum(entry.file_size for entry in entries) / 1e6}


def find_python(names: Iterable[str] = (f"python{PYTHON}",)) -> str:
    """The path of an interpreter of the target's version. Raises Unavailable."""
    code = f"import sys; sys.exit('.'.join(map(str, sys.version_info[:2])) != {PYTHON!r})"
    # pyenv's own `python3.13` on the PATH fails unless that version was chosen with `pyenv global`.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    try:
        versions = sorted(map(str, pyenv.glob(f"versions/{PYTHON}.*/bin/python{PYTHON}")), reverse=True)
    except OSError:  # another person's folder, as after `su` without a dash
        versions = []
    for name in [os.environ.get("PACKAGE_PYTHON", ""), sys.executable, *names, *versions]:
        try:
            # Whole, since whoever runs it may do so without a PATH.
            path = name and shutil.which(name)
            if path and subprocess.run([path, "-c", code], capture_output=True, timeout=60).returncode == 0:
                return path
        except OSError:
            continue
    hint = f"Install Python {PYTHON}, or name one: make package PACKAGE_PYTHON=/path/to/python{PYTHON}"
    raise Unavailable(f"no Python {PYTHON} here, which compiles the package's bytecode", hint=hint)


def main(argv: Sequence[str] | None = None) -> int:
    """Build `dist/package/` and `dist/groundcrew.zip`."""
    parser = argparse.ArgumentParser(prog="python -m local.package", description=main.__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "dist")
    parser.add_argument("--helm", type=Path, default=ROOT / "bin" / "helm", help="the Helm 4 binary to pack")
    options = parser.parse_args(argv)
    try:
        python = find_python()
        helm = options.helm if options.helm.is_file() else None
        target = build(options.into / "package", options.into / "groundcrew.zip", helm=helm, python=python)
    except GroundcrewError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    size = measure(target)
    packed = target.stat().st_size / 1e6
    sys.stdout.write(
        f"{target}: {packed:.1f} MB; unpacked without Helm: "
        f"{size['files']:.0f} files, {size['megabytes']:.1f} MB\n"
    )
    if helm is None:
        sys.stdout.write(f"without Helm, which deploys need: {options.helm} is missing (make helm)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
