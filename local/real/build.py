"""Brings one real program, checked and once per version: as it is published, or built from its Go module."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from local.real import directory
from local.real.programs import Program
from local.real.releases import fetch_release
from local.real.sources import VARIABLE as SOURCES
from local.real.sources import check_out
from shared.kernel.durations import format_duration
from shared.kernel.errors import Corrupt

TIMEOUT = timedelta(hours=1)  # kube-apiserver took 7 minutes of one core; a hung download must end
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Built:
    """What became of one program: its path, or None and the reason in `state`."""

    program: Program
    path: Path | None
    state: str


def bring_all(programs: Sequence[Program], *, cached: bool, budget: timedelta) -> list[Built]:
    """Each program; the slow ones only from the cache if `cached`; no build begins after the budget."""
    end = time.monotonic() + budget.total_seconds()
    return [bring(one, build=not (cached and one.slow), deadline=end) for one in programs]


def bring(program: Program, *, build: bool = True, deadline: float | None = None) -> Built:
    """The program in `bin/`: there already, from the cache, downloaded or built; if not, the reason."""
    folder = directory()
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    path, stamp = folder / "bin" / program.name, folder / f"{program.name}.version"
    # Two runs at once share the folder; the second one finds what the first one built.
    with (folder / f".{program.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == _stamp(program):
            return Built(program, path, "ready")
        kept, begun = cache_path(program), time.monotonic()
        if kept.exists():
            _copy_program(kept, path)
            state = "from the cache"
        elif not (refusal := fetch_release(program, path, deadline)):
            state = "downloaded: the published program"
            _copy_program(path, kept)
        elif reason := _refuse_build(program, build, deadline) or _build(program, path, deadline):
            # A release that is not what was pinned is said even where it would be built for hours instead.
            return Built(program, None, f"{reason} ({refusal})" if program.release else reason)
        else:
            state = f"built in {format_duration(timedelta(seconds=time.monotonic() - begun))}"
            _copy_program(path, kept)
        stamp.write_text(_stamp(program), encoding="utf-8")
        return Built(program, path, state)


def cache_path(program: Program) -> Path:
    """Where this very build of the program is kept for other checkouts."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(_stamp(program).encode()).hexdigest()[:12]
    return home / "groundcrew" / "real" / f"{program.name}-{program.version}-{digest}"


def _copy_program(source: Path, target: Path) -> None:
    """Whole or not at all: another run may be about to start it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copy2(source, aside)
    aside.replace(target)


def _stamp(program: Program) -> str:
    # What our own go.mod and sources say belongs to the build, too.
    own = sorted((_HERE / program.tidy).iterdir()) if program.tidy else []
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in own)).hexdigest() if own else ""
    return f"{program.version} {program.checksum} {program.flags} {digest}"


def _refuse_build(program: Program, build: bool, deadline: float | None) -> str:
    """Why it is not even begun; empty if it may be."""
    if not build:
        cost = f" ({program.cost})" if program.cost else ""
        return f"not in the cache: make real SLOW=1 builds it{cost}"
    if deadline is not None and time.monotonic() >= deadline:
        return "not begun: the time for builds is over"
    return ""


def _build(program: Program, path: Path, deadline: float | None) -> str:
    """Why it could not be built; empty if it was."""
    go = shutil.which("go")
    if go is None:
        return "Go is missing (the version that the module asks for, 1.26 at the newest)"
    limit = TIMEOUT.total_seconds()
    limit = limit if deadline is None else min(limit, max(1.0, deadline - time.monotonic()))
    try:
        if program.repository:
            return _build_sources(go, program, path, limit)
        refusal = _check_module(go, program, limit)
        if refusal:
            return refusal
        with_flags = ["-trimpath", "-ldflags", f"-s -w {program.flags}".strip(), "-o", str(path)]
        if program.tidy:
            # Our own go.mod repeats the module's replacements, which Go ignores unless it is the main module.
            _run([go, "build", *with_flags, program.package], cwd=_HERE / program.tidy, limit=limit)
        else:
            _run_install(go, program, path, limit)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        return f"does not build: {lines[-1].strip() if lines else error}"
    except subprocess.TimeoutExpired:
        return f"was not built within {format_duration(timedelta(seconds=limit))}"
    return ""


def _build_sources(go: str, program: Program, path: Path, limit: float) -> str:
    """Why it could not be built from its commit; empty if it was."""
    if shutil.which("git") is None:
        return "Git is missing"
    with tempfile.TemporaryDirectory(prefix=f"groundcrew-{program.name}-") as folder:
        sources = Path(folder, "sources")
        try:
            check_out(program, sources, limit)
        except (subprocess.CalledProcessError, Corrupt) as error:
            reason = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            line = (reason.strip().splitlines() or [str(error)])[-1]
            return f"cannot be fetched, and {SOURCES} names no repository that has it: {line}"
        mode = "vendor" if (sources / "vendor").is_dir() else "readonly"
        argv = [go, "build", "-trimpath", "-ldflags", f"-s -w {program.flags}".strip(), "-o", str(path)]
        _run([*argv, program.package], cwd=sources, limit=limit, GOFLAGS=f"-mod={mode}")
    return ""


def _check_module(go: str, program: Program, limit: float) -> str:
    """Why the module is not the pinned one; empty if it is."""
    wanted = f"{program.module}@{program.version}"
    answer = _run([go, "mod", "download", "-json", wanted], cwd=_HERE, check=False, limit=limit)
    module = json.loads(answer.stdout or "{}")
    if "Sum" not in module:
        return f"cannot be downloaded: {str(module.get('Error', answer.stderr)).strip().splitlines()[-1:]}"
    if module["Sum"] != program.checksum:
        return f"is not what was pinned: {module['Sum']}"
    return ""


def _run_install(go: str, program: Program, path: Path, limit: float) -> None:
    """`go install` names the program itself; it is built aside and moved."""
    aside = path.parent / f".{program.name}"
    flags = ["-trimpath", "-ldflags", f"-s -w {program.flags}".strip()]
    wanted = f"{program.package}@{program.version}"
    _run([go, "install", *flags, wanted], cwd=_HERE, limit=limit, GOBIN=str(aside))
    binary = next(aside.iterdir())
    binary.replace(path)
    shutil.rmtree(aside)


def _run(
    argv: list[str], *, cwd: Path, limit: float, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    # At a low priority: others work on the machine as well. No cgo: nothing of the machine's libraries gets
    # into what is built.
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", **environment}
    return subprocess.run(
        ["nice", "-n", "15", *argv], cwd=cwd, env={**os.environ, **settings}, check=check,
        capture_output=True, text=True, timeout=limit,
    )  # fmt: skip
