"""What every command shares: errors as one sentence with an exit code, JSON or a table, a progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from shared.errors import GroundcrewError, UsageError

# Answers go to standard output, everything else to standard error, so that --json can be piped.
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Group(click.Group):
    """Turns our errors into one message and an exit code; a user's mistake is never a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and leave with 0, 1 or 2."""
        try:
            return super().main(*args, **kwargs)
        except GroundcrewError as error:
            err.print(f"[bold red]error:[/] {_escaped(error)}")
            sys.exit(2 if isinstance(error, UsageError) else 1)


def _escaped(value: object) -> str:
    return str(value).replace("[", "\\[")


as_json = click.option("--json", "json_", is_flag=True, help="Answer in JSON.")


def answer(value: Any, *, json_: bool, text: str = "") -> None:
    """Print the answer: JSON, or a text for people."""
    if json_:
        # print and not rich, which would wrap and style
        click.echo(json.dumps(value, indent=1, default=str, ensure_ascii=False))
    else:
        click.echo(text or str(value))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers are to the right."""
    grid = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        # An id must stay in one piece to be copied from a narrow screen.
        grid.add_column(
            column, justify="right" if numeric else "left", overflow="fold", no_wrap=column == "set"
        )
    for row in rows:
        grid.add_row(*(f"{cell:,}" if isinstance(cell, int) else _escaped(cell) for cell in row))
    out.print(grid)


def size(count: int) -> str:
    """`1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


class Bar:
    """A `Reporter` that draws a progress bar on standard error, or a line per phase without a terminal."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def phase(self, name: str, total: int) -> None:
        """The bar of the phase before is filled, a new one begins."""
        if self._progress is None:
            err.print(f"{name} …")
            return
        if self._task is not None:
            task = self._progress.tasks[-1]
            self._progress.update(self._task, completed=task.total)
        self._task = self._progress.add_task(name, total=max(total, 1))

    def advance(self, amount: int) -> None:
        """Move the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, amount)

    def note(self, text: str) -> None:
        """A line above the bar."""
        err.print(_escaped(text))


@contextmanager
def bar(*, quiet: bool = False) -> Iterator[Bar]:
    """A progress bar for a long command."""
    if quiet or not err.is_terminal:
        yield Bar(None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        made = Bar(progress)
        yield made
        made.phase("Done", 1)
        made.advance(1)
