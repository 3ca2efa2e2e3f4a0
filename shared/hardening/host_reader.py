"""`HostPosture` by Azure's Run Command: the one fixed script of `shared.hardening.host`, in machines by name.

Run Command runs as root, and the right to it is the right to do anything on the machine. The app has it where
it stops services before the machine (`infra/terraform/modules/identity`); the audit asks for no other.
"""

from __future__ import annotations

from datetime import timedelta

from shared.cloud.machines import Machines
from shared.hardening.host import SCRIPT, ObservedHost, parse_host
from shared.kernel.errors import NotFound, Unavailable

# The script takes seconds; the rest is Azure's, which hands a command to the machine's agent.
_TIMEOUT = timedelta(minutes=3)


class RunCommandHosts:
    """The machines of a subscription, looked into one at a time: Azure runs one command on each."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines

    def read_host(self, name: str) -> ObservedHost:
        """See `HostPosture.read_host`."""
        machines = [one for one in self._machines.list() if one.name.lower() == name.lower()]
        if not machines:
            raise NotFound(
                "there is no machine of this name", value=name, hint="See hardening.hosts in policy.yaml."
            )
        result = self._machines.run_command(machines[0].id, SCRIPT, timeout=_TIMEOUT)
        # None is an answer of Azure without the code; then the script's own first line decides.
        if result.exit_code not in (0, None):
            raise Unavailable("the script did not end well", value=f"{name}: exit {result.exit_code}")
        return parse_host(name, result.stdout)
