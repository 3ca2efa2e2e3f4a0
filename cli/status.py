"""`groundcrew status`: what the page shows, in a terminal, and as an exit code for monitoring."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.console import as_json, err, out, print_table
from cli.terminal import escape_markup
from shared.kernel.timestamps import format_minute

if TYPE_CHECKING:
    from shared.status.decide import Verdict
    from shared.status.model import Status

# As Nagios and its kin read them: https://www.monitoring-plugins.org/doc/guidelines.html
_EXIT_CODES = {"ok": 0, "look": 1, "act": 2, "unknown": 3}
_STYLES = {"ok": "bold green", "look": "bold yellow", "act": "bold red", "unknown": "bold magenta"}
_WORDS = {"ok": "ok", "look": "look", "act": "ACT", "unknown": "UNKNOWN"}


@click.command()
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit 0 if nothing is wrong, 1 if it can wait, 2 if somebody has to act, 3 if it cannot be seen.",
)
@click.option("--repair", is_flag=True, help="First roll up what the history lacks of the run records.")
@as_json
def status(json_: bool, exit_code: bool, repair: bool) -> None:
    """Show whether somebody has to act, and how each part stands."""
    from shared.status.decide import decide_verdict
    from shared.status.page import render_json
    from shared.wiring import open_state
    from shared.wiring.status import current_status, rebuild_run_history

    open_state()  # without any storage there is nothing to look at: the settings are wrong
    if repair:
        # Before the status is read, which is made of the history.
        err.print(f"{rebuild_run_history()} runs are rolled up")
    current = current_status()
    verdict = decide_verdict(current)
    if json_:
        click.echo(render_json(current))
    else:
        _print_status(current, verdict)
    if exit_code:
        # Only if asked for: by hand, an exit of 1 for "look at this tomorrow" would read as a failed command.
        sys.exit(_EXIT_CODES[verdict.level])


def _print_status(current: Status, verdict: Verdict) -> None:
    """The verdict, what is wrong, and one row a part; colours where the terminal wants them (NO_COLOR)."""
    from shared.status.view import list_rows

    out.print(f"[{_STYLES[verdict.level]}]{escape_markup(verdict.headline)}[/]")
    for one in verdict.findings:
        out.print(f"  [{_STYLES[one.level]}]{_WORDS[one.level]}[/] {escape_markup(str(one))}")
    rows = [
        (row.part, _WORDS[row.level] if row.level else "-", row.text)
        for row in list_rows(current, verdict.findings)
    ]
    print_table(f"As of {format_minute(current.at)}", ("PART", "STATE", "DETAILS"), rows)
