"""`groundcrew cost`: what running costs, what the schedule saves, and what would save more."""

from __future__ import annotations

from datetime import timedelta

import click

from cli.console import as_json, print_answer
from shared.wiring.cost import cost_deps as wiring


@click.group()
def cost() -> None:
    """Say in money what the schedule does."""


@cost.command()
@click.option("--days", type=click.IntRange(1, 366), help="So many days up to now [the last full week].")
@as_json
def report(days: int | None, json_: bool) -> None:
    """Show hours, money, commitments against the schedule, and what would save most."""
    from shared.cost import job

    deps = wiring()
    # The job's clock, so that report and inventory are of the same moment.
    now = deps.inventory.clock.now()
    # By default the same week as the timer's report, so that the two say the same.
    span = (now - timedelta(days=days), now) if days else job.last_full_week(now, deps.zone)
    result = job.build_report(deps, *span)
    print_answer(job.report_as_dict(result), json_=json_, text=result.text(deps.zone).rstrip())
