"""Dump: pre-read batches → archive → zstd → age → sink, beside the same bytes through `gzip -6 | age`."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from itertools import groupby
from typing import Any

from bench.data import Data
from shared.formats.agekeys import generate_identity, parse_recipient
from shared.formats.archive import ArchiveHeader, ArchiveWriter, PreludeEntry
from shared.formats.envelope import PartWriter
from shared.policy.backup import LEVELS

ROUNDS = 5
SECRET, RECIPIENT = generate_identity(post_quantum=False)


def archive(data: Data, write: Callable[[bytes], object]) -> None:
    """The whole data as one archive."""
    header = ArchiveHeader("8.0.4", "groundcrew bench")
    writer = ArchiveWriter(
        write, header, [PreludeEntry("rocketchat", name, "{}") for name in data.collections]
    )
    for collection, batches in groupby(data.read_batches(), key=lambda pair: pair[0]):
        for _, batch in batches:
            writer.documents("rocketchat", collection, batch)
        writer.end("rocketchat", collection)
    writer.finish()


def ours(data: Data, level: int, write: Callable[[bytes], object]) -> tuple[float, int]:
    """Seconds and stored bytes of our pipeline."""
    began = time.perf_counter()
    sealer = PartWriter(write, [parse_recipient(RECIPIENT)], level=level, threads=2)
    archive(data, sealer.write)
    sealed = sealer.finish()
    return time.perf_counter() - began, sealed.stored_bytes


def theirs(data: Data) -> tuple[float, int]:
    """Seconds and stored bytes of `gzip -6 | age` over the same archive."""
    age = shutil.which("age")
    if age is None:
        raise SystemExit("missing: age (Debian: apt-get install age); without it there is nothing to compare")
    command = f"gzip -6 -c | {age} --encrypt --recipient {RECIPIENT} | wc -c"
    began = time.perf_counter()
    with subprocess.Popen(  # noqa: S602 - a pipeline of the shell is what is measured
        command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as pipeline:
        if pipeline.stdin is None or pipeline.stdout is None:
            raise SystemExit("the pipeline could not be started")
        archive(data, pipeline.stdin.write)
        pipeline.stdin.close()
        size = int(pipeline.stdout.read())
    return time.perf_counter() - began, size


def run(data: Data) -> dict[str, dict[str, float]]:
    """Each round measures all three, one after the other; the medians of the rounds' ratios count."""
    rounds: list[dict[str, tuple[float, int]]] = []
    for _ in range(ROUNDS):
        measured = {name: ours(data, level, len) for name, level in LEVELS.items()}
        rounds.append({**measured, "gzip6": theirs(data)})
    megabytes = data.total_bytes / 1e6
    return {
        "dump": {**_compared(rounds, "fast", megabytes), "gigabytes": megabytes / 1e3},
        "dump_small": _compared(rounds, "small", megabytes),
        "gzip6": _plain(rounds, "gzip6", megabytes),
    }


def _compared(rounds: list[Any], name: str, megabytes: float) -> dict[str, float]:
    speed = [each["gzip6"][0] / each[name][0] for each in rounds]
    size = [each[name][1] / each["gzip6"][1] for each in rounds]
    return {
        "level": LEVELS[name],
        "speed_vs_gzip6": statistics.median(speed),
        "speed_vs_gzip6_lowest": min(speed),
        "size_vs_gzip6": statistics.median(size),
        **_plain(rounds, name, megabytes),
    }


def _plain(rounds: list[Any], name: str, megabytes: float) -> dict[str, float]:
    return {
        "megabytes_per_second": megabytes / statistics.median(each[name][0] for each in rounds),
        "ratio": megabytes * 1e6 / rounds[0][name][1],
    }
