"""`groundcrew probes`: whether the chat does what people do with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.console import as_json, print_answer, print_table

if TYPE_CHECKING:
    from shared.probes.model import ProbeRun


@click.group()
def probes() -> None:
    """Whether the chat does what people do with it: sign in, write, read, upload."""


@probes.command()
@as_json
def run(json_: bool) -> None:
    """Look now, tell what changed, and keep it. Exit 1 if something failed.

    Writes one message and one file into `probes.channel`, if policy names one, and deletes them again.
    """
    from shared.probes.job import run_probes
    from shared.wiring.probes import probe_deps

    made, _ = run_probes(probe_deps(), "groundcrew probes run")
    _print_run(made, json_=json_)


@probes.command()
@as_json
def show(json_: bool) -> None:
    """Show the newest look. Exit 1 if something failed. Changes nothing."""
    from shared.wiring.probes import load_last

    last = load_last()
    if last is None:
        print_answer({"at": None, "outcomes": []}, json_=json_, text="nobody has looked yet")
        return
    _print_run(last, json_=json_)


def _print_run(made: ProbeRun, *, json_: bool) -> None:
    from shared.kernel.timestamps import format_minute
    from shared.probes.render import describe_probes

    if json_:
        print_answer(asdict(made), json_=True)
    else:
        rows = [(str(one.name), str(one.status), one.reason) for one in made.outcomes]
        print_table(f"Probes of {format_minute(made.at)}, {made.trigger}", ("PROBE", "RESULT", "WHY"), rows)
        click.echo(describe_probes(made.outcomes))
    if made.failed:
        raise SystemExit(1)
