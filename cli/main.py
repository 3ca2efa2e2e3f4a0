"""`groundcrew`: the same jobs from a laptop, restore above all."""

from __future__ import annotations

import click

from cli import (
    audit,
    backups,
    certs,
    completion,
    cost,
    deploy,
    doctor,
    drill,
    hardening,
    init,
    keys,
    mongodb,
    notify,
    ops,
    policy,
    power,
    restore,
    secrets,
    snapshots,
    status,
)
from cli.common import add_common_options
from cli.console import DEBUG, Group
from shared.kernel.version import VERSION


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, "-V", "--version", prog_name="groundcrew")
@click.option(DEBUG, is_flag=True, expose_value=False, help="Show the traceback of an error.")
def main() -> None:
    """The ground crew of a Rocket.Chat server.

    Exit codes: 0 done, 1 failed, 2 used wrongly. Every command takes --json,
    and then tells errors in JSON too.
    """


main.add_command(backups.backups)
main.add_command(deploy.deploy)
main.add_command(mongodb.mongodb)
main.add_command(restore.restore)
main.add_command(init.init)
main.add_command(completion.completion)
main.add_command(doctor.doctor)
main.add_command(drill.drill)
main.add_command(notify.notify)
main.add_command(keys.keys)
main.add_command(policy.policy)
main.add_command(power.power)
main.add_command(snapshots.snapshots)
main.add_command(certs.certs)
main.add_command(secrets.secrets)
main.add_command(hardening.hardening)
main.add_command(cost.cost)
main.add_command(status.status)
main.add_command(audit.audit)
main.add_command(ops.ops)
# Last, when all commands are there.
add_common_options(main)

if __name__ == "__main__":
    main()
