"""Dump and restore beside what a good engineer would type instead, from and to the server of `bench.replay`.

The peers are `mongodump | zstd | age` and `age | zstd | mongorestore`; where MongoDB's tools are not on the
PATH, only ours is measured, and the table says so. Each round runs all of them one after the other, and the
medians of the rounds' ratios count, so that a noisy neighbour slows both sides of a ratio.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.data import CACHE, ROOT, Data
from bench.replay import build_replies, serve_replies
from shared.formats.agekeys import generate_identity
from shared.policy.computed import LEVELS

ROUNDS = 5
SECRET, RECIPIENT = generate_identity(post_quantum=False)
_READ_BYTES = 1 << 20
_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """What one run of a pipeline took."""

    seconds: float
    stored_bytes: int
    cpu_seconds: float  # of all its processes
    rss_megabytes: float  # the sum of their peaks
    machine_busy: float  # of all cores: the server's, the reader's and everybody else's work, too


def run(data: Data) -> dict[str, dict[str, float | str]]:
    """The figures of `dump`, `dump_small`, `restore` and `restore_verified`."""
    with serve_replies(build_replies(data)) as uri, tempfile.TemporaryDirectory(dir=CACHE) as folder:
        return {
            **_measure_dumps(data, uri),
            **_measure_restores(data, uri, Path(folder)),
        }


def _measure_dumps(data: Data, uri: str) -> dict[str, dict[str, float | str]]:
    runs: dict[str, Callable[[], PipelineRun]] = {
        name: lambda level=level: _run_ours("dump", uri, str(level), RECIPIENT)  # type: ignore[misc]
        for name, level in LEVELS.items()
    }
    age = f"age --encrypt --recipient {RECIPIENT}"
    if peers := _missing_tools("mongodump", "zstd", "age"):
        print(f"not measured beside mongodump: {peers}", file=sys.stderr)
    else:
        mongodump = f"mongodump --quiet --uri {uri} --archive"
        runs["mongodump_zstd"] = lambda: _run_pipeline([mongodump, "zstd -q -3 -T2", age])
        runs["mongodump_gzip"] = lambda: _run_pipeline([f"{mongodump} --gzip", age])
    # The slow peer in rounds of its own: what came next, which was ours, was slower than behind a quick one
    # (1.27 instead of 1.36 times the speed of `mongodump | zstd | age`), as if the machine were hot.
    slow = {"mongodump_gzip": runs.pop("mongodump_gzip"), "fast": runs["fast"]} if not peers else {}
    rounds, slow_rounds = _run_rounds(runs), _run_rounds(slow)
    figures: dict[str, dict[str, float | str]] = {
        "dump": _describe(rounds, "fast", data),
        "dump_small": _describe(rounds, "small", data),
    }
    for name, among in (("mongodump_zstd", rounds), ("mongodump_gzip", slow_rounds)) if not peers else ():
        figures[name] = _describe(among, name, data)
        for ours, section in (("fast", "dump"), ("small", "dump_small")):
            if ours in among[0]:
                figures[section][f"vs_{name}"] = _ratio(among, name, ours, "seconds")
                figures[section][f"size_vs_{name}"] = _ratio(among, ours, name, "stored_bytes")
                figures[section][f"cpu_vs_{name}"] = _ratio(among, ours, name, "cpu_seconds")
    return figures


def _measure_restores(data: Data, uri: str, folder: Path) -> dict[str, dict[str, float | str]]:
    path, key = folder / "part.archive.zst.age", folder / "key"
    with path.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "bench.client", "pack", uri, str(LEVELS["fast"]), RECIPIENT],
            stdout=file, stderr=subprocess.DEVNULL, check=True, cwd=ROOT, timeout=600,
        )  # fmt: skip
    key.write_text(SECRET + "\n")
    # Documents alone, and all that a restore does: ours reads back what it inserted and compares.
    runs: dict[str, Callable[[], PipelineRun]] = {
        "restore": lambda: _run_ours("load", uri, str(path), SECRET),
        "restore_verified": lambda: _run_ours("restore", uri, str(path), SECRET),
    }
    if peers := _missing_tools("mongorestore", "zstd", "age"):
        print(f"not measured beside mongorestore: {peers}", file=sys.stderr)
    else:
        decrypt, restore = f"age -d -i {key} {path}", f"mongorestore --quiet --uri {uri} --archive"
        for name, options in (("mongorestore", "--noIndexRestore"), ("mongorestore_replay", "--oplogReplay")):
            command = f"{restore} {options}"
            runs[name] = lambda c=command: _run_pipeline([decrypt, "zstd -q -d", c])  # type: ignore[misc]
    rounds = _run_rounds(runs)
    figures = {name: _describe(rounds, name, data) for name in runs}
    for ours, peer in (("restore", "mongorestore"), ("restore_verified", "mongorestore_replay")):
        if peer in runs:
            figures[ours][f"vs_{peer}"] = _ratio(rounds, peer, ours, "seconds")
            figures[ours][f"cpu_vs_{peer}"] = _ratio(rounds, ours, peer, "cpu_seconds")
            figures[ours][f"rss_vs_{peer}"] = _ratio(rounds, ours, peer, "rss_megabytes")
    return figures


def _missing_tools(*names: str) -> str:
    return ", ".join(f"no {name} on the PATH" for name in names if shutil.which(name) is None)


def _run_rounds(runs: dict[str, Callable[[], PipelineRun]]) -> list[dict[str, PipelineRun]]:
    return [{name: measure() for name, measure in runs.items()} for _ in range(ROUNDS)]


def _describe(rounds: Sequence[dict[str, PipelineRun]], name: str, data: Data) -> dict[str, float | str]:
    runs = [each[name] for each in rounds]
    seconds = statistics.median(run.seconds for run in runs)
    cpu = statistics.median(run.cpu_seconds for run in runs)
    return {
        "gigabytes": data.total_bytes / 1e9,
        "seconds": seconds,
        "megabytes_per_second": data.total_bytes / 1e6 / seconds,
        "stored_megabytes": runs[0].stored_bytes / 1e6,
        "cpu_seconds": cpu,
        "cores_busy": cpu / seconds / (os.cpu_count() or 1),
        "machine_busy": statistics.median(run.machine_busy for run in runs),
        "rss_megabytes": max(run.rss_megabytes for run in runs),
    }


def _ratio(rounds: Sequence[dict[str, PipelineRun]], over: str, under: str, field: str) -> float:
    return statistics.median(getattr(each[over], field) / getattr(each[under], field) for each in rounds)


def _run_ours(action: str, uri: str, *arguments: str) -> PipelineRun:
    command = [sys.executable, "-m", "bench.client", action, uri, *arguments]
    with tempfile.TemporaryFile() as told:
        run = _run_pipeline([shlex.join(command)], stderr=told)
        told.seek(0)
        seconds = json.loads(told.read().splitlines()[-1])["seconds"]
    return replace(run, seconds=seconds)


def _run_pipeline(commands: Sequence[str], stderr: object = None) -> PipelineRun:
    """Run the commands as a pipeline, and count what comes out of it. Raises SystemExit if one fails."""
    began, source, ticks = time.perf_counter(), None, _read_core_ticks()
    processes: list[subprocess.Popen[bytes]] = []
    for command in commands:
        process = subprocess.Popen(
            shlex.split(command),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,  # type: ignore[call-overload]
        )
        if source is not None:
            source.close()  # the process that reads it has its own
        source = process.stdout
        processes.append(process)
    stored, peaks, ended = 0, [0.0] * len(processes), threading.Event()

    def sample_peaks() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            peaks[:] = [max(old, _peak_megabytes(p.pid)) for old, p in zip(peaks, processes, strict=True)]

    sampler = threading.Thread(target=sample_peaks)
    sampler.start()
    while chunk := os.read(source.fileno(), _READ_BYTES):  # type: ignore[union-attr]
        stored += len(chunk)
    cpu_seconds = 0.0
    for process, command in zip(processes, commands, strict=True):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{shlex.split(command)[0]} ended with {process.returncode}")
        cpu_seconds += usage.ru_utime + usage.ru_stime
    ended.set()
    sampler.join()
    worked, idled = (now - then for now, then in zip(_read_core_ticks(), ticks, strict=True))
    busy = worked / max(worked + idled, 1)
    return PipelineRun(time.perf_counter() - began, stored, cpu_seconds, sum(peaks), busy)


def _read_core_ticks() -> tuple[int, int]:
    """What all cores together have worked and idled since the start of the machine, in 10 ms.

    Source: https://man7.org/linux/man-pages/man5/proc_stat.5.html
    """
    user, nice, system, idle, waiting, *others = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    )
    return user + nice + system + sum(others), idle + waiting


def _peak_megabytes(pid: int) -> float:
    """The high-water mark so far; `wait4` tells the parent's where that is larger. 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1.024e-3 for line in lines if line.startswith("VmHWM")), 0.0)
