"""Tables that break nothing that one copies, and that `awk` can read.

An id, a name, a blob's path stay in one piece: only columns with words in them are folded, between words.
Where that does not fit there is a `name: value` line per cell; into a pipe or a file each row is one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cli.terminal import escape_markup, out

_NARROW = 60  # columns; a table on less is hard to read even where it fits
_GAP = 2  # columns between cells
_SENTENCE = 24  # characters; a cell of more with spaces in it is text


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, numbers to the right; a title only for people."""
    cells = [[_format_cell(cell) for cell in row] for row in rows]
    if not out.is_terminal:
        _print_rows(columns, cells)
        return
    folds = [_holds_sentences(cells, index) for index in range(len(columns))]
    if out.width < max(_NARROW, _narrowest(columns, cells, folds)):
        _print_lines(title, columns, cells)
        return
    # Not into a pipe: rich's tables take as long to import as everything else of a small command.
    from rich.table import Table

    out.print(f"[bold]{escape_markup(title)}[/]")
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for index, column in enumerate(columns):
        # By the cells themselves: a column of sizes in words stays to the left, where words are read.
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        grid.add_column(column, justify="right" if numeric else "left", no_wrap=not folds[index])
    for row in cells:
        grid.add_row(*(escape_markup(cell) for cell in row))
    out.print(grid, soft_wrap=False)


def time_cell(at: datetime) -> str:
    """`2026-11-28 02:05`, in a column whose head says that it is UTC: shorter on a phone."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def _print_rows(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    lines = [columns, *cells]
    widths = [max(len(line[index]) for line in lines) + _GAP for index in range(len(columns))]
    for line in lines:
        # No trailing blanks: they would make every diff of two outputs differ with the longest name.
        out.print("".join(map(str.ljust, line, widths)).rstrip(), markup=False)


def _holds_sentences(cells: Sequence[Sequence[str]], index: int) -> bool:
    """Whether a column may be folded between its words; a time of day with its date is no sentence."""
    longest = max((row[index] for row in cells), key=len, default="")
    return len(longest) > _SENTENCE and " " in longest


def _narrowest(columns: Sequence[str], cells: Sequence[Sequence[str]], folds: Sequence[bool]) -> int:
    """The width below which something would be broken that is not to be."""
    widths = []
    for index, column in enumerate(columns):
        texts = [column, *(row[index] for row in cells)]
        pieces = [piece for text in texts for piece in (text.split() if folds[index] else [text])]
        widths.append(max(map(len, pieces), default=0))
    return sum(widths) + _GAP * (len(columns) - 1)


def _print_lines(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    out.print(f"[bold]{escape_markup(title)}[/]")
    for row in rows:
        out.print()
        for column, cell in zip(columns, row, strict=True):
            out.print(escape_markup(f"{column}: {cell}" if column else cell))


def _format_cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
