"""`groundcrew`: the same jobs from a laptop, restore above all."""

from __future__ import annotations

import click

from cli import backups, cost, keys, policy, power, restore, snapshots
from cli.console import Group


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=None, version="0.1.0", prog_name="groundcrew")
def main() -> None:
    """The ground crew of a Rocket.Chat server.

    Exit codes: 0 done, 1 failed, 2 used wrongly. Every command takes --json.
    """


main.add_command(backups.backups)
main.add_command(restore.restore)
main.add_command(keys.keys)
main.add_command(policy.policy)
main.add_command(power.power)
main.add_command(snapshots.snapshots)
main.add_command(cost.cost)

if __name__ == "__main__":
    main()
