"""`groundcrew`: the same jobs from a laptop, restore above all."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from cli.common import add_common_options
from cli.console import DEBUG, Group
from shared.kernel.version import VERSION

# Each is a command of its name in a module of its name. Together they import half a second of code, of which
# one command needs a tenth: somebody waits for it, at night and on a phone.
COMMANDS = (
    "audit", "backups", "calendar", "certs", "completion", "cost", "deploy", "doctor", "drill", "erasures",
    "hardening", "init", "keys", "migrate", "mongodb", "notify", "ops", "policy", "power", "probes",
    "restore", "secrets", "snapshots", "status",
)  # fmt: skip


class LazyGroup(Group):
    """Imports a command when it is called for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, without importing any."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, with the options that every command takes."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            command: Any = getattr(import_module(f"cli.{cmd_name}"), cmd_name)
            add_common_options(command, hidden=True)
            self.add_command(command, cmd_name)
        return super().get_command(ctx, cmd_name)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, "-V", "--version", prog_name="groundcrew")
@click.option(DEBUG, is_flag=True, expose_value=False, help="Show the traceback of an error.")
def main() -> None:
    """The ground crew of a Rocket.Chat server.

    Exit codes: 0 done, 1 failed, 2 used wrongly. Every command takes --json,
    and then tells errors in JSON too.
    """


add_common_options(main)

if __name__ == "__main__":
    main()
