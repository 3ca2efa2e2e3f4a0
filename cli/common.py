"""What every command takes besides its own: `-q`, `-v`, and where settings and the policy come from."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from shared.kernel.logs import FactFormatter
from shared.settings import definitions
from shared.wiring import announce_waiting

# As long as somebody looks at a terminal and does not yet think that the command hangs.
FIRST_CONTACT = timedelta(seconds=10)
_QUIET = "groundcrew.quiet"  # in the context's `meta`, which a command shares with its groups
_VERBOSE = "groundcrew.verbose"


def is_quiet() -> bool:
    """Whether the person wants neither progress nor notes."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(_QUIET))


def add_common_options(command: click.Command, *, hidden: bool = False) -> None:
    """Give `-q` and `-v` to the command and, hidden, to all below it, so that they may stand anywhere."""
    # On each of them: people append `-q` to the line that they have just run.
    for each in _walk(command):
        each.params += _common_options(hidden=hidden or each is not command)


def _walk(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _walk(below)


def _common_options(*, hidden: bool) -> list[click.Option]:
    def keep(context: click.Context, option: click.Parameter, value: Any) -> None:
        if value and option.name == "quiet":
            context.meta[_QUIET] = True
            announce_waiting(FIRST_CONTACT, lambda _: None)  # by a timer's thread, which has no context
        elif value:
            # The most that was asked for: `-v` may stand at the group and again at the command.
            context.meta[_VERBOSE] = max(value, context.meta.get(_VERBOSE, 0))
            _set_log_level(context.meta[_VERBOSE])

    common: dict[str, Any] = {"expose_value": False, "hidden": hidden, "callback": keep}
    quiet, verbose = "No progress and no notes; errors and the answer remain.", "Log what is done; -vv more."
    return [
        click.Option(["-q", "--quiet"], is_flag=True, help=quiet, **common),
        click.Option(["-v", "--verbose"], count=True, help=verbose, **common),
    ]


class _ConsoleFormatter(FactFormatter):
    """An error's traceback only for who asked for more: the command's own last line says what failed."""

    with_traceback = False

    def format(self, record: logging.LogRecord) -> str:
        # A copy: the record is handed to other handlers as well, which may want the traceback.
        if record.exc_info and not self.with_traceback:
            record = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        return f"{record.levelname.lower()}: {super().format(record)}"


_formatter = _ConsoleFormatter()
_handler: logging.StreamHandler[Any] = logging.StreamHandler()
_handler.setFormatter(_formatter)


def _set_log_level(verbose: int) -> None:
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.getLogger().setLevel(level)
    # Azure's SDK writes every request with its headers.
    logging.getLogger("azure").setLevel(logging.WARNING if verbose < 2 else logging.INFO)
    _formatter.with_traceback = verbose > 0


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Log lines go to standard error, warnings and above until `-v` says otherwise."""
    root = logging.getLogger()
    # At each call: tests and embedding programs put another stream there than at the import.
    _handler.setStream(sys.stderr)
    root.addHandler(_handler)
    _set_log_level(0)
    try:
        yield
    finally:
        # Put back, as several commands run in one process under tests.
        root.removeHandler(_handler)
        root.setLevel(logging.WARNING)


@contextmanager
def policy_of_this_place() -> Iterator[None]:
    """Let GROUNDCREW_POLICY name the person's own policy, if nothing else does."""
    # Into the environment, where everything below reads its settings: there is no second way to name a
    # policy.
    name = definitions.POLICY.name
    home, beside = Path(click.get_app_dir("groundcrew")), Path(str(definitions.POLICY.default))
    path = None if os.environ.get(name) else choose_policy(Path.cwd(), home, beside)
    if path:
        os.environ[name] = str(path)
    try:
        yield
    finally:
        if path:
            os.environ.pop(name, None)


def choose_policy(here: Path, home: Path, beside: Path) -> Path | None:
    """The policy that is found; None for the one `beside` the code, if that is there.

    Where the command was installed by pip there is none: then it is the missing one of `here`, as errors say.
    """
    return find_policy(here, home) or (None if beside.is_file() else here / "policy.yaml")


def find_policy(here: Path, home: Path) -> Path | None:
    """`policy.yaml` in the current directory or one above it, in a checkout; else in the person's own folder.

    Above the current directory it is looked for only up to the root of a checkout: a file that somebody put
    into /tmp is not to govern who works below it.
    """
    # `.git` is a file in a worktree, so that its being there is asked, and not whether it is a folder.
    checkout = next((each for each in (here, *here.parents) if (each / ".git").exists()), here)
    inside = [here, *(each for each in here.parents if each.is_relative_to(checkout))]
    places = [each / "policy.yaml" for each in (*inside, home)]
    return next((place for place in places if place.is_file()), None)
