"""docs/performance.md, made from bench/results.json: dumps and restores beside their peers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.performance_load import fanout_text, soak_text
from local.scale import scale_text

ROOT = Path(__file__).resolve().parent.parent
Section = Mapping[str, Any]

_DUMPS = {
    "dump": "ours, `compression: fast`",
    "dump_small": "ours, `compression: small`",
    "mongodump_zstd": "`mongodump \\| zstd -3 -T2 \\| age`",
    "mongodump_gzip": "`mongodump --gzip \\| age`",
}
_RESTORES = {
    "restore": "ours: documents",
    "mongorestore": "`age -d \\| zstd -d \\| mongorestore`",
    "restore_verified": "ours: read back and compared, oplog, indexes",
    "mongorestore_replay": "`age -d \\| zstd -d \\| mongorestore --oplogReplay`",
}
_STAGES = {
    "receive_and_walk": "receiving 16 MiB replies and cutting the documents out, hashed",
    "crc64": "the archive's CRC-64",
    "zstd_fast": "zstd, `compression: fast`",
    "zstd_small": "zstd, `compression: small`",
    "age": "age: ChaCha20-Poly1305",
    "sha256": "SHA-256 of what is stored",
}
_HEAD = """# Performance

What is fast here, beside what a good engineer would type instead. Every figure is from `bench/results.json`,
which `make bench` writes; this page is made from it by `make generate`; do not edit. The peers are run where
MongoDB's tools, zstd and age are on the PATH, in the same rounds as ours, and each ratio is the median of the
rounds' ratios: machines are noisy, and a ratio is less so than a time.

"""
_DUMP_TEXT = """The source is a server that sends stored batches from memory, so that the client is measured.
The clock of ours starts at the first connection, since a worker runs already when a backup begins; its CPU
and its memory are those of the whole process. A pipeline's memory is the sum of its processes'.
The cores are busy with the pipeline itself; the machine is busy with the server that sends and with whoever
takes what is stored, too. Where its cores are full, there is nothing left to overlap.
"""
_RESTORE_TEXT = """The target takes inserts at the speed of memory and forgets them. Ours decrypts and
decompresses, checks the archive's CRC and inserts over two connections.
"""
_VERIFIED_TEXT = """The second pair of rows is all that a restore does: an index of each collection and 10,000
entries of the oplog for both; ours reads every document back and compares, which mongorestore does not do.
The target builds no index and applies no entry: it answers, so that the clients are compared, not servers.
"""
_STAGE_TEXT = """CPU seconds for a gigabyte of documents, one stage after the other. In a dump they overlap:
receiving in one thread, compressing in two of zstd's, encrypting, hashing and staging in another. The sum
over the number of cores is the least that a dump can take.
"""


def performance_text() -> str:
    """The whole page."""
    results = json.loads((ROOT / "bench/results.json").read_text())
    parts = [_HEAD + _describe_machine(results["machine"])]
    dump, restore = results.get("dump", {}), results.get("restore", {})
    if "seconds" in dump:
        ratios = _list_ratios(dump, "dump", "mongodump_zstd") + _list_ratios(dump, "dump", "mongodump_gzip")
        parts += ["## Dump\n", ratios, _list_runs(results, _DUMPS, stored=True), _chart(results), _DUMP_TEXT]
    if "seconds" in restore:
        ratios, text = _list_ratios(restore, "restore", "mongorestore"), _RESTORE_TEXT
        if verified := results.get("restore_verified"):
            ratios += _list_ratios(verified, "restore with everything", "mongorestore_replay")
            text += _VERIFIED_TEXT
        parts += ["## Restore\n", ratios, _list_runs(results, _RESTORES, stored=False), text]
    if stages := results.get("stages"):
        rows = "".join(f"| {_STAGES[name]} | {stages[name]} |\n" for name in _STAGES if name in stages)
        parts += [
            "## Where the time of a dump goes\n",
            f"| stage | CPU s/GB |\n|---|---|\n{rows}",
            _STAGE_TEXT,
        ]
    parts += filter(None, (fanout_text(results.get("fanout", {})), soak_text(results.get("soak", {}))))
    if scale := scale_text(results):
        parts.append(scale)
    return "\n".join(parts)


def _describe_machine(machine: Section) -> str:
    versions = ", ".join(f"{name} {machine[name]}" for name in ("pymongo", "zstandard", "cryptography"))
    return f"Machine: {machine['cores']} cores, {machine['cpu']}; Python {machine['python']}; {versions}.\n"


def _list_ratios(section: Section, what: str, peer: str) -> str:
    """The ratios, best known first; a line that says so where the peer was not there."""
    if f"vs_{peer}" not in section:
        return f"- {what}: not measured beside {peer}: it was not on the PATH\n"
    other = _DUMPS.get(peer) or _RESTORES[peer]
    figures = [f"{section[f'vs_{peer}']}× its speed"]
    for prefix, text in (("size", "size"), ("cpu", "CPU"), ("rss", "memory")):
        if (key := f"{prefix}_vs_{peer}") in section:
            figures.append(f"{section[key]}× its {text}")
    return f"- beside {other}: {', '.join(figures)}\n".replace("\\|", "|")


def _list_runs(results: Section, names: Mapping[str, str], *, stored: bool) -> str:
    head = [
        "",
        "seconds",
        *(["stored MB"] if stored else []),
        "CPU s",
        "cores busy",
        "machine busy",
        "memory MB",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, title in names.items():
        run = results.get(name, {})
        if "seconds" not in run:  # the tools were not there
            continue
        size = [f"{run['stored_megabytes']:.0f}"] if stored else []
        cells = [title, f"{run['seconds']:.1f}", *size, f"{run['cpu_seconds']:.1f}"]
        # Runs of before it was measured do not have it.
        machine = f"{run['machine_busy']:.0%}" if "machine_busy" in run else "not measured"
        cells += [f"{run['cores_busy']:.0%}", machine, f"{run['rss_megabytes']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _chart(results: Section) -> str:
    """Megabytes a second, drawn by GitHub."""
    runs = {name: results[name] for name in _DUMPS if "seconds" in results.get(name, {})}
    labels = ", ".join(f'"{_DUMPS[name]}"'.replace("`", "").replace("\\|", "|") for name in runs)
    speeds = ", ".join(f"{run['megabytes_per_second']:.0f}" for run in runs.values())
    return (
        "```mermaid\nxychart-beta horizontal\n"
        f'    title "Documents dumped, MB/s"\n    x-axis [{labels}]\n    bar [{speeds}]\n```\n'
    )
