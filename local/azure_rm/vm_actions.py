"""What can be done to a virtual machine: start, deallocate, powerOff, restart, runCommand, tags."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from datetime import timedelta
from pathlib import Path

from local.azure_rm.machines import Vm
from local.azure_rm.replies import ArmError, Json
from local.azure_rm.resources import ArmOperation
from local.azure_rm.world import ArmWorld

# Between states: what a machine shows meanwhile, and what it is afterwards.
_MOVES = {
    "start": ("starting", "running"),
    "deallocate": ("deallocating", "deallocated"),
    "powerOff": ("stopping", "stopped"),
    "restart": ("running", "running"),
}
# These end a script that runs in the guest; a start does not.
_PREEMPTING = ("deallocate", "powerOff", "restart")
# https://learn.microsoft.com/azure/virtual-machines/linux/run-command#restrictions: "90 minutes, after which
# it times out"; meanwhile other scripts are refused.
RUN_COMMAND_LIMIT = timedelta(minutes=90)
# Output beyond this is cut from the front: https://learn.microsoft.com/azure/virtual-machines/linux/run-command
OUTPUT_BYTES = 4096


def begin_move(world: ArmWorld, vm: Vm, action: str) -> ArmOperation:
    """Begin one of the power actions."""
    meanwhile, afterwards = _MOVES[action]
    before = vm.power
    # A start or deallocation of what is so already is fine; these two are not.
    if action in ("powerOff", "restart") and before != "running":
        raise ArmError(409, "OperationNotAllowed", f"Cannot {action} VM '{vm.name}': it is {before}.")
    running = vm.operation
    if running is not None and running.verb == "virtualMachines/runCommand" and action in _PREEMPTING:
        world.preempt(running)  # a script that hangs keeps nobody from stopping the machine
    # Accepted and over at once: who sends a start twice gets two successes.
    idle = before == afterwards and action != "restart"
    meanwhile = before if idle else meanwhile

    def finish(operation: ArmOperation) -> None:
        at = operation.ended or world.clock.now()
        if operation.failure:
            # Back to where it was: a start without capacity leaves the machine off, and says so in its view.
            vm.move(at, power=before, provisioning="Failed", failure=operation.failure)
        else:
            vm.move(at, power=afterwards)

    operation = world.begin(f"virtualMachines/{action}", vm, "POST", finish, idle=idle)
    vm.move(operation.started, power=meanwhile, provisioning="Updating")
    return operation


class Guest:
    """The shell inside the machines: scripts run for real, with nothing on their PATH but `commands`.

    `commands` maps a name to the shell text of a stub, such as `{"microk8s": "echo Stopped."}`.
    """

    def __init__(self) -> None:
        self.commands: dict[str, str] = {}
        self.scripts: list[tuple[str, str]] = []

    def run(self, vm_name: str, script: str) -> tuple[str, str]:
        """Run it and return standard output and standard error, the last 4,096 bytes of each."""
        self.scripts.append((vm_name, script))
        with tempfile.TemporaryDirectory(prefix="guest-") as folder:
            for name, text in self.commands.items():
                stub = Path(folder, name)
                stub.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
                stub.chmod(0o700)
            done = subprocess.run(
                ["/bin/sh", "-c", script],
                # Nothing of this machine: a script that needs what the guest lacks fails here as there.
                env={"PATH": folder},
                cwd=folder,
                capture_output=True,
                timeout=30,
                check=False,
            )
        out, err = (
            stream[-OUTPUT_BYTES:].decode("utf-8", "replace") for stream in (done.stdout, done.stderr)
        )
        return out, err


def run_command(world: ArmWorld, vm: Vm, body: Json, guest: Guest) -> ArmOperation:
    """Begin a run-command; its result is one status: both streams in its message, and no exit code."""
    script = body.get("script")
    if body.get("commandId") != "RunShellScript" or not isinstance(script, list):
        raise ArmError(400, "InvalidParameter", "The value of parameter 'commandId' or 'script' is invalid.")
    # Refused at once, since the agent of a machine that is off answers nobody.
    if vm.power != "running":
        raise ArmError(409, "OperationNotAllowed", "The operation requires the VM to be running.")
    done = threading.Event()

    def finish(operation: ArmOperation) -> None:
        vm.move(operation.ended or world.clock.now())

    operation = world.begin("virtualMachines/runCommand", vm, "POST", finish, ready=done.is_set)
    vm.move(operation.started, provisioning="Updating")
    if operation.due is None:  # it hangs
        operation.due = operation.started + RUN_COMMAND_LIMIT
        operation.failure = ("VMExtensionProvisioningTimeout", "The script did not end within 90 minutes.")
        operation.ready = lambda: True
        return operation

    def work() -> None:
        out, err = guest.run(vm.name, "\n".join(map(str, script)))
        status = {
            "code": "ProvisioningState/succeeded",
            "level": "Info",
            "displayStatus": "Provisioning succeeded",
            # One text for both streams, and "succeeded" whatever the script's own exit code was.
            "message": f"Enable succeeded: \n[stdout]\n{out}\n[stderr]\n{err}",
        }
        with world.lock:
            operation.result = {"value": [status]}
            done.set()

    threading.Thread(target=work, name="run-command", daemon=True).start()
    return operation


def read_tags(body: Json) -> dict[str, str]:
    """The `tags` of a request's body. Raises 400 beyond 50 of them, the service's limit."""
    tags = body.get("tags") or {}
    if not isinstance(tags, dict) or len(tags) > 50:
        raise ArmError(400, "InvalidTags", "Tags must be at most 50 pairs of name and value.")
    return {str(name): str(value) for name, value in tags.items()}
