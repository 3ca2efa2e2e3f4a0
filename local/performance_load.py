"""The sections of docs/performance.md about many workers and many requests, from bench/results.json."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

Section = Mapping[str, Any]

_KINDS = {
    "valid": "merges, signed",
    "repeated": "the same again, half of them under an id of their own",
    "slow": "merges over a line that takes five seconds for the body",
    "forged": "another's secret, none, another body or half a signature",
    "too large": "5 MiB, where 4 are allowed",
    "cut off": "the sender goes away in the middle",
}


def fanout_text(fanout: Section) -> str:
    """What more workers bring; empty where it was not measured."""
    speeds = {
        int(name.partition("_")[0]): speed
        for name, speed in fanout.items()
        if name.endswith("_workers_mb_per_second")
    }
    if not speeds:
        return ""
    first = speeds[min(speeds)]
    rows = "".join(
        f"| {count} | {speed:.2f} | {speed / first:.2f}× | {_limit_of(count, fanout)} |\n"
        for count, speed in sorted(speeds.items())
    )
    most = max(speeds)
    within = fanout[f"{most}_workers_with_budget_mb_per_second"]
    each, together = fanout["reader_megabytes_per_second"], fanout["server_megabytes_per_second"]
    text = (
        f"{fanout['megabytes']:.0f} MB in one collection, in {fanout['parts']} ranges, by hosts that are"
        " processes of their own on one queue; each set was checked to have every part once and every"
        f" document. The server is made slow: it gives each reader {each:.2g} MB/s and all of them"
        f" {together:.2g}, since two workers at full speed use up the two cores. It shows whether queue,"
        " leases and receipts stand in the way of more workers, not how fast a MongoDB is. What is missing"
        " to the server's rate is what a part of 2 MiB costs beside being read, on a machine that does other"
        " work meanwhile; by default a part has 512 MiB."
    )
    budget = (
        f"With `backup.read_limit` at {fanout['budget_megabytes_per_second']:.3g} MB/s, {most} workers read"
        f" {within:.2f} MB/s together: the budget is all workers', not each one's."
    )
    head = "| workers | MB/s | beside one | what the server gives |\n|---|---|---|---|\n"
    return f"## Several workers on one queue\n\n{head}{rows}\n{_wrap(text)}\n{_wrap(budget)}"


def _limit_of(count: int, fanout: Section) -> str:
    """The most that so many readers can get, and which of the server's two rates that is."""
    each, together = fanout["reader_megabytes_per_second"], fanout["server_megabytes_per_second"]
    return f"{together:.3g} MB/s for all" if count * each >= together else f"{count} × {each:.3g} MB/s"


def soak_text(soak: Section) -> str:
    """The endpoint for webhooks under load for minutes; empty where it was not measured."""
    if not soak:
        return ""
    rows = "".join(
        f"| {text} | {soak['sent'].get(kind, 0)} | {_list_answers(soak['answers'].get(kind, {}))} |\n"
        for kind, text in _KINDS.items()
    )
    rss = soak["rss_megabytes"]
    text = (
        f"{soak['minutes']:.3g} minutes of {soak['per_second']:.3g} requests a second, through the host, the"
        f" endpoint, the queue and the worker behind it. {soak['accepted']} merges were accepted:"
        f" {soak['recorded']} are on record, {soak['lost']} lost, {soak['twice']} taken twice;"
        f" {soak['poisoned']} messages were set aside. Half of the valid ones were answered within"
        f" {soak['valid_p50_milliseconds']:.0f} ms, 99 of 100 within {soak['valid_p99_milliseconds']:.0f} ms,"
        " on a machine that runs the sender, the storage and the worker as well."
    )
    text += _describe_emulator(soak)
    memory = (
        f"Memory of the host with the worker in it, minute by minute, in MB:"
        f" {', '.join(f'{one:.0f}' for one in rss)}."
    )
    head = "| | sent | answers |\n|---|---|---|\n"
    return f"## Webhooks under load\n\n{head}{rows}\n{_wrap(text)}\n{_wrap(memory)}"


def _describe_emulator(soak: Section) -> str:
    if (slowest := soak.get("emulator_slowest_milliseconds")) is None:
        return ""
    return (
        f" The emulator of storage, asked directly once a second meanwhile, took at most {slowest:.0f} ms. It"
        " keeps its data in files here: with data in memory it removes every ten minutes what nobody refers"
        " to, and answers nothing until that is done."
    )


def _list_answers(answers: Section) -> str:
    return ", ".join(f"{count} × {status}" for status, count in sorted(answers.items())) or "none"


def _wrap(text: str) -> str:
    return fill(text, 110, break_on_hyphens=False) + "\n"
