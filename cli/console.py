"""What every command shares: errors as one sentence with an exit code, JSON or a table, a progress bar,
and secrets that come from elsewhere than the command line.
"""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cli.common import FIRST_CONTACT, is_quiet, logging_to_stderr, policy_of_this_place
from cli.tables import print_table as print_table
from cli.terminal import discard, escape_markup
from cli.terminal import err as err
from cli.terminal import out as out
from shared.kernel.errors import GroundcrewError, UsageError
from shared.kernel.redact import redact
from shared.settings.environment import BadSettings
from shared.wiring import announce_waiting

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DEBUG = "--debug"
# A disk, a quota, a limit of the shell: each means that the answer did not arrive, whatever the command did.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


# click's own handling prints a traceback for everything that is no ClickException.
class Group(click.Group):
    """Turns whatever is raised into one message and an exit code; a traceback only with `--debug`."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and leave with 0, 1 or 2; without `standalone_mode` as click has it."""
        words = list(sys.argv[1:] if args is None else args)
        extra |= {"prog_name": prog_name, "complete_var": complete_var, "standalone_mode": False}
        if not standalone_mode:
            return super().main(words, **extra)
        # Wherever it stands: who is told to run again with it appends it.
        debug = DEBUG in words
        # Taken out by hand: as an option of the group, click would take it before the command's name only.
        words = [word for word in words if word != DEBUG]
        try:
            announce_waiting(FIRST_CONTACT, _note_waiting)  # before `-q` is read, which takes it back
            with logging_to_stderr(), policy_of_this_place():
                code = super().main(words, **extra)
        except BrokenPipeError:
            discard(sys.stdout.fileno())
            sys.exit(1)  # as `head` wants it: who asked does not read the rest
        except Exception as error:  # noqa: BLE001 - the last handler there is
            if debug:
                click.echo(redact("".join(traceback.format_exception(error))), err=True)
            _exit_with_error(error, json_="--json" in words)
        # With standalone_mode off click returns the code of --help and its like, else what the command does.
        sys.exit(code if isinstance(code, int) else 0)


def _note_waiting(text: str) -> None:
    err.print(escape_markup(text))


def _exit_with_error(error: Exception, *, json_: bool) -> NoReturn:
    code = _exit_code(error)
    # Before `--json`, which would be written to the very stream that is full.
    if isinstance(error, OSError) and error.errno in _NO_ROOM and not error.filename:
        # Of the interpreter's own streams, whose last flush would fail again.
        discard(sys.stdout.fileno())
        err.print(f"[bold red]error:[/] cannot write the answer: {error.strerror}")
    elif json_:
        print_answer({"error": _error_fields(error), "exit": code}, json_=True)
    elif isinstance(error, click.ClickException):
        error.show()
    elif isinstance(error, click.Abort):
        err.print("Aborted!")
    elif isinstance(error, GroundcrewError):
        # Escaped: an error may quote a path or a name with brackets, which rich would swallow.
        err.print(f"[bold red]error:[/] {escape_markup(error)}")
    else:
        err.print(f"[bold red]unexpected:[/] {escape_markup(_describe_unexpected(error))}")
        err.print(f"run again with {DEBUG} for the traceback")
    sys.exit(code)


def _exit_code(error: Exception) -> int:
    if isinstance(error, click.ClickException):
        return error.exit_code
    # As click has it: 2 is for who called, 1 for what was called.
    return 2 if isinstance(error, UsageError) else 1


def _error_fields(error: Exception) -> dict[str, object]:
    fields: dict[str, object] = {"class": type(error).__name__, "message": str(error) or "aborted"}
    if isinstance(error, GroundcrewError):
        fields |= {"hint": error.hint, "permanent": error.permanent}
    if isinstance(error, BadSettings):
        # Each by itself: a script that sets up an installation goes through them one by one.
        fields["faults"] = error.faults
    if isinstance(error, click.ClickException):
        fields["message"] = error.format_message()
    elif not isinstance(error, GroundcrewError | click.Abort):
        fields |= {
            "message": f"unexpected: {_describe_unexpected(error)}",
            "hint": f"Run again with {DEBUG}.",
        }
    return fields


def _describe_unexpected(error: Exception) -> str:
    # Nobody has looked at this text before: it may quote a URI or a connection string.
    return f"{type(error).__name__}: {redact(str(error))}"


def read_option(option: str, text: str) -> str:
    """What an option says: `-` is a line of standard input, `@FILE` a file's first line, all else itself.

    So a password need not stand in the arguments, which everybody on the machine sees. Raises UsageError.
    """
    if text == "-":
        text, where = sys.stdin.readline().strip(), "standard input"
    elif text.startswith("@"):
        where = text[1:]
        try:
            # One line: the rest of a file may be a comment, and a URI with a line break in it fails in odd
            # ways.
            text = Path(where).expanduser().read_text(encoding="utf-8").strip().partition("\n")[0].strip()
        except (OSError, UnicodeError) as error:
            value = getattr(error, "strerror", None) or "it is not text"
            # The file's name and the system's reason, never what was read of it.
            raise UsageError(f"{option}: cannot read {where}", value=value) from error
    else:
        return text
    if not text:
        raise UsageError(f"{option}: nothing is in {where}", hint="One line is wanted there.")
    return text


yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def confirm(question: str, *, yes: bool) -> None:
    """Go on after a yes; without a terminal to ask at, only with `--yes`. Raises UsageError, click.Abort."""
    if yes:
        return
    # In a script nobody answers, and the end of input would read as "no" without a word.
    if not sys.stdin.isatty():
        raise UsageError(question, hint="There is nobody to ask: name what you mean, or give --yes.")
    click.confirm(question, abort=True, err=True)


as_json = click.option("--json", "json_", is_flag=True, help="Answer in JSON.")


def print_answer(value: Any, *, json_: bool, text: str = "") -> None:
    """Print the answer: JSON, or a text for people."""
    if json_:
        # print and not rich, which would wrap and style
        click.echo(json.dumps(value, indent=1, default=str, ensure_ascii=False))
    else:
        click.echo(text or str(value))


def format_bytes(count: int) -> str:
    """`1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


class ProgressReporter:
    """A `Reporter` that draws a progress bar on standard error, or a line per phase without a terminal."""

    def __init__(self, progress: Progress | None, *, quiet: bool = False) -> None:
        self._progress, self._quiet = progress, quiet
        self._task: TaskID | None = None

    def phase(self, name: str, total: int) -> None:
        """The bar of the phase before is filled, a new one begins."""
        if self._progress is None:
            if not self._quiet:
                err.print(f"{escape_markup(name)} …")
            return
        if self._task is not None:
            task = self._progress.tasks[-1]
            self._progress.update(self._task, completed=task.total)
        # Nothing to do is a bar that is full, and not one that divides by zero.
        self._task = self._progress.add_task(name, total=max(total, 1))

    def advance(self, amount: int) -> None:
        """Move the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, amount)

    def note(self, text: str) -> None:
        """A line above the bar."""
        if not self._quiet:
            err.print(escape_markup(text))


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[ProgressReporter]:
    """A progress bar for a long command."""
    if quiet or is_quiet() or not err.is_terminal:
        yield ProgressReporter(None, quiet=is_quiet())
        return
    # Only where a bar is drawn: it is a third of what the command line imports.
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        reporter = ProgressReporter(progress)
        yield reporter
        reporter.phase("Done", 1)
        reporter.advance(1)
