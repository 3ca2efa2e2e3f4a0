"""Builds one real program from its Go module, checked and once per version."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from local.real import directory
from local.real.programs import Program
from shared.kernel.durations import format_duration

TIMEOUT = timedelta(hours=1)  # kube-apiserver took 20 minutes of one core; a hung download must end
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Built:
    """What became of one program: its path, or None and the reason in `state`."""

    program: Program
    path: Path | None
    state: str


def bring(program: Program) -> Built:
    """The program in `bin/`, built if this version is not there yet; the reason why not, if that fails."""
    folder = directory()
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    path, stamp = folder / "bin" / program.name, folder / f"{program.name}.version"
    # Two runs at once share the folder; the second one finds what the first one built.
    with (folder / f".{program.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == _stamp(program):
            return Built(program, path, "ready")
        begun = time.monotonic()
        reason = _build(program, path)
        if reason:
            return Built(program, None, reason)
        stamp.write_text(_stamp(program), encoding="utf-8")
        return Built(
            program, path, f"built in {format_duration(timedelta(seconds=time.monotonic() - begun))}"
        )


def _stamp(program: Program) -> str:
    return f"{program.version} {program.checksum} {program.flags}"


def _build(program: Program, path: Path) -> str:
    """Why it could not be built; empty if it was."""
    go = shutil.which("go")
    if go is None:
        return "Go is missing (the version that the module asks for, 1.26 at the newest)"
    try:
        refusal = _check_module(go, program)
        if refusal:
            return refusal
        with_flags = ["-trimpath", "-ldflags", f"-s -w {program.flags}".strip(), "-o", str(path)]
        if program.tidy:
            # Our own go.mod repeats the module's replacements, which Go ignores unless it is the main module.
            _run([go, "build", *with_flags, program.package], cwd=_HERE / program.tidy)
        else:
            _run_install(go, program, path)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        return f"does not build: {lines[-1].strip() if lines else error}"
    except subprocess.TimeoutExpired:
        return f"was not built within {format_duration(TIMEOUT)}"
    return ""


def _check_module(go: str, program: Program) -> str:
    """Why the module is not the pinned one; empty if it is."""
    answer = _run(
        [go, "mod", "download", "-json", f"{program.module}@{program.version}"], cwd=_HERE, check=False
    )
    module = json.loads(answer.stdout or "{}")
    if "Sum" not in module:
        return f"cannot be downloaded: {str(module.get('Error', answer.stderr)).strip().splitlines()[-1:]}"
    if module["Sum"] != program.checksum:
        return f"is not what was pinned: {module['Sum']}"
    return ""


def _run_install(go: str, program: Program, path: Path) -> None:
    """`go install` names the program itself; it is built aside and moved."""
    aside = path.parent / f".{program.name}"
    flags = ["-trimpath", "-ldflags", f"-s -w {program.flags}".strip()]
    _run([go, "install", *flags, f"{program.package}@{program.version}"], cwd=_HERE, GOBIN=str(aside))
    binary = next(aside.iterdir())
    binary.replace(path)
    shutil.rmtree(aside)


def _run(
    argv: list[str], *, cwd: Path, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    # One package at a time and at a low priority: others work on the machine as well. No cgo: nothing of the
    # machine's libraries gets into what is built.
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", **environment}
    return subprocess.run(
        ["nice", "-n", "15", *argv], cwd=cwd, env={**os.environ, **settings}, check=check,
        capture_output=True, text=True, timeout=TIMEOUT.total_seconds(),
    )  # fmt: skip
