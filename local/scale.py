"""How long a backup, a drill and a restore take at sizes that cannot be tried here, and what they cost.

A model, fitted to what `make bench` measures: CPU seconds for a gigabyte, stored bytes for each byte, the
first call of a worker. What is assumed beside that is in `Assumptions`, each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from textwrap import fill
from typing import Any

GB = 1e9


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is not measured here.

    - `instance_cores`, `instance_gigabytes`: an instance of 2,048 MB has one core; a core of it does what one
      of the measuring machine does.
    - `busy`: the share of its core that a worker uses; the rest waits for the network. As measured in a dump.
    - `read_megabytes`: MB/s that the server's disk and `backup.read_limit` let all readers have together.
    - `write_megabytes`: MB/s of documents that a MongoDB takes in a restore, indexes included.
    - `part_gigabytes`: `backup.part_target`, uncompressed: a part is one message and one worker's.
    - `restore_cores`: of the machine of whoever restores, in one process; a drill is one function.
    - `price_gigabyte_second`, `price_stored`: list prices in US dollars, for a GB-second of execution on the
      Flex Consumption plan and for a GB-month of cool storage, of one region; look yours up.
    """

    instance_cores: float = 1.0
    instance_gigabytes: float = 2.0
    busy: float = 0.75
    read_megabytes: float = 150.0
    write_megabytes: float = 40.0
    part_gigabytes: float = 0.512
    restore_cores: int = 2
    price_gigabyte_second: float = 0.000026
    price_stored: float = 0.01


@dataclass(frozen=True, slots=True)
class Measured:
    """What `make bench` found, in SI units.

    - `dump_cpu`, `restore_cpu`, `read_back_cpu`: CPU seconds for a gigabyte of documents.
    - `stored`: bytes in storage for each byte of documents.
    - `first_call`: CPU seconds until a fresh worker does its first part.
    """

    dump_cpu: float
    restore_cpu: float
    read_back_cpu: float
    stored: float
    first_call: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds, dollars, and what keeps it from being faster."""

    seconds: float
    dollars: float
    limit: str


def read_measured(results: Mapping[str, Any]) -> Measured | None:
    """What the model needs of bench/results.json; None if it was not all measured."""
    try:
        dump, restore = results["dump"], results["restore"]
        return Measured(
            dump["cpu_seconds"] / dump["gigabytes"],
            restore["cpu_seconds"] / restore["gigabytes"],
            results["stages"]["receive_and_walk"],
            dump["stored_megabytes"] / 1000 / dump["gigabytes"],
            results["firstcall"]["backup_part"]["cpu_seconds"],
        )
    except KeyError:
        return None


def estimate_backup(gigabytes: float, instances: int, measured: Measured, given: Assumptions) -> Estimate:
    """A backup by so many instances on one queue. `limit` is `instances`, `server` or `parts`."""
    parts = max(1, ceil(gigabytes / given.part_gigabytes))
    workers = min(instances, parts)
    speed = given.busy * given.instance_cores / measured.dump_cpu  # GB/s of one worker
    by_workers, by_server = workers * speed, given.read_megabytes / 1000
    # Parts are handed out one by one: the last round is waited for by those that have nothing left to do.
    rounds = ceil(parts / workers)
    work = max(rounds * (gigabytes / parts) / speed, gigabytes / by_server)
    seconds = measured.first_call / given.instance_cores + work
    limit = "server" if by_server <= by_workers else "instances" if workers == instances else "parts"
    # Paid is the time in which instances work, also while they wait for the server.
    paid = workers * seconds * given.instance_gigabytes
    return Estimate(seconds, paid * given.price_gigabyte_second, limit)


def estimate_restore(gigabytes: float, measured: Measured, given: Assumptions) -> Estimate:
    """A restore by one process of two cores, on a machine that is there already."""
    speed = given.busy * given.restore_cores / measured.restore_cpu
    target = given.write_megabytes / 1000
    limit = "target" if target <= speed else "process"
    return Estimate(gigabytes / min(speed, target), 0.0, limit)


def estimate_drill(gigabytes: float, measured: Measured, given: Assumptions) -> Estimate:
    """A drill by one function: restored into a scratch server, and all of it read back and compared."""
    core = given.busy * given.instance_cores
    into = min(core / measured.restore_cpu, given.write_megabytes / 1000)
    back = min(core / measured.read_back_cpu, given.read_megabytes / 1000)
    seconds = measured.first_call + gigabytes / into + gigabytes / back
    limit = "target" if into < core / measured.restore_cpu else "function"
    return Estimate(seconds, seconds * given.instance_gigabytes * given.price_gigabyte_second, limit)


def scale_text(results: Mapping[str, Any], given: Assumptions | None = None) -> str:
    """The section of docs/performance.md; empty without the figures."""
    measured = read_measured(results)
    if measured is None:
        return ""
    given = given or Assumptions()
    sizes, counts = (10, 100, 1_000, 10_000), (1, 10, 100)
    rows = []
    for size in sizes:
        backups = [estimate_backup(size, count, measured, given) for count in counts]
        others = [estimate_drill(size, measured, given), estimate_restore(size, measured, given)]
        stored = f"{size * measured.stored:,.0f} GB, {size * measured.stored * given.price_stored:,.2f} $"
        cells = [_cell(one) for one in (*backups, *others)]
        rows.append(f"| {size:,} GB | " + " | ".join([*cells, stored]) + " |\n")
    head = ["", *(f"backup, {count} instance{'s' * (count > 1)}" for count in counts)]
    head += ["drill", "restore", "a set a month"]
    table = "| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|\n" + "".join(rows)
    basis = _describe_basis(measured, given, is_growth_measured="fanout" in results)
    return f"## At other sizes: a model\n\n{basis}\n{table}"


def _cell(estimate: Estimate) -> str:
    cost = f", {estimate.dollars:,.2f} $" if estimate.dollars >= 0.005 else ""
    return f"{_describe_span(estimate.seconds)}{cost} ({estimate.limit})"


def _describe_span(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


# The one part of it that two cores can show; the rest would need a core for each worker.
_GROWTH = (
    " How far workers add up until the server is the limit is measured above, under"
    " [several workers](#several-workers-on-one-queue)."
)


def _describe_basis(measured: Measured, given: Assumptions, *, is_growth_measured: bool) -> str:
    paragraphs = [
        "Computed, not measured, from what was measured above: a gigabyte takes"
        f" {measured.dump_cpu:.1f} s of"
        f" CPU to dump, {measured.restore_cpu:.1f} s to restore and {measured.read_back_cpu:.1f} s"
        " to read back,"
        f" and is stored in {measured.stored:.2f} of its size; the first call of a worker takes"
        f" {measured.first_call:.2f} s.",
        f"Assumed: an instance has {given.instance_gigabytes:.0f} GB and {given.instance_cores:.0f}"
        " core that"
        f" does what one of this machine does, and is busy {given.busy:.0%} of the time, as a dump"
        " is here; the"
        f" server lets readers have {given.read_megabytes:.0f} MB/s together (its disk's, or"
        f" `backup.read_limit`), and takes {given.write_megabytes:.0f} MB/s of documents, which no"
        " real MongoDB"
        f" was asked; a part has {given.part_gigabytes:.3g} GB; a GB-second costs"
        f" {given.price_gigabyte_second:.6f} $, a GB-month {given.price_stored:.2f} $: look yours up."
        " `local/scale.py` has them all, to be changed.",
        "Not in it: requests, the VM that must be up, the network, the oplog's growth meanwhile, and the time"
        " in which the platform starts instances. In parentheses is what keeps it from being faster."
        " Instances beyond what the server can feed wait, and are paid for it."
        + (_GROWTH if is_growth_measured else ""),
    ]
    return "\n\n".join(fill(paragraph, 110, break_on_hyphens=False) for paragraph in paragraphs) + "\n"
