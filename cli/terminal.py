"""Standard output for answers, standard error for everything else, so that --json can be piped.

NO_COLOR (https://no-color.org) takes away every style. A reader that closes its pipe ends
an answer, never work.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console


class AnswerConsole(Console):
    """Standard output: a reader that went away ends the command, without a traceback."""

    def on_broken_pipe(self) -> None:
        """Raise what rich caught; `cli.console.Group` ends the command."""
        raise


class NoteConsole(Console):
    """Standard error: a reader that went away hears no more, but a restore goes on."""

    def on_broken_pipe(self) -> None:
        """Write into nothing from here on."""
        self.quiet = True
        discard(sys.stderr.fileno())


def _styles() -> dict[str, Any]:
    # Not `no_color`, with which rich still writes bold: escape codes are what the variable is set against.
    return {"color_system": None} if os.environ.get("NO_COLOR") else {}


out = AnswerConsole(highlight=False, soft_wrap=True, **_styles())
err = NoteConsole(stderr=True, highlight=False, soft_wrap=True, **_styles())


def discard(descriptor: int) -> None:
    """Lead a file descriptor to nothing, so that the interpreter's last flush cannot fail on it again."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    # On the descriptor itself: the interpreter flushes its own stream at exit, whatever `sys.stdout` is by
    # then.
    os.dup2(nothing, descriptor)
    os.close(nothing)


def escape_markup(value: object) -> str:
    """The value as text in which rich sees no markup."""
    return str(value).replace("[", "\\[")
