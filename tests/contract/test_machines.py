"""One suite for `Machines`: the fake, and the adapter over the stand-in of Azure, polled in both styles."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Protocol

import pytest

from local.azure_rm import AzureServer
from local.azure_rm.machines import Vm
from local.fakes.clock import ManualClock
from local.fakes.compute import MemoryMachines
from shared.adapters.azure_vms import AzureMachines
from shared.azure.arm_client import connect_arm
from shared.cloud.machines import CommandResult, Machines, PowerState
from shared.kernel.errors import Conflict, NotFound, Refused, Unavailable
from tests.local.azure_rm.published import describe_azure_faults

MINUTE = timedelta(minutes=1)


class Rig(Protocol):
    """A cloud under test, and what happens in it behind the port's back."""

    machines: Machines

    def add(self, name: str, power: str = "running", **tags: str) -> str: ...
    def wait(self, by: timedelta) -> None: ...
    def fail_start(self, code: str) -> None: ...
    def lag(self, by: timedelta) -> None: ...
    def remove(self, machine_id: str) -> None: ...
    def shut_down_inside(self, machine_id: str) -> None: ...
    def command(self, *, hangs: bool = False) -> None: ...
    def listings(self) -> int: ...


class MemoryRig:
    """Over the fake; starts and stops take a minute."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fake = MemoryMachines(self.clock)
        self.fake.start_takes = self.fake.stop_takes = MINUTE
        self.machines: Machines = self.fake

    def add(self, name: str, power: str = "running", **tags: str) -> str:
        return self.fake.add(name, power=PowerState(power), tags=tags)

    def wait(self, by: timedelta) -> None:
        self.clock.advance(by)

    def fail_start(self, code: str) -> None:
        self.fake.fail_start(code)

    def lag(self, by: timedelta) -> None:
        self.fake.lag = by

    def remove(self, machine_id: str) -> None:
        self.fake.remove(machine_id)

    def shut_down_inside(self, machine_id: str) -> None:
        self.fake.set_power(machine_id, PowerState.STOPPED)

    def command(self, *, hangs: bool = False) -> None:
        def answer(_machine: str, script: str) -> CommandResult:
            if hangs:
                raise TimeoutError
            assert script == "echo out; echo err >&2; exit 3"
            return CommandResult("out", "err", 3)

        self.fake.on_command = answer

    def listings(self) -> int:
        return self.fake.calls["states"]


class AzureRig:
    """Over the stand-in, over HTTP; starts and stops take a minute."""

    def __init__(self, server: AzureServer, style: str) -> None:
        self.server = server
        server.api.polling = style
        self.client = connect_arm(server.credential(), server.subscription, base_url=server.url)
        self.machines: Machines = AzureMachines(self.client, poll_every=timedelta(milliseconds=5))

    def add(self, name: str, power: str = "running", **tags: str) -> str:
        return self.server.add_vm(name, power=power, tags=tags).id.lower()

    def wait(self, by: timedelta) -> None:
        self.server.advance(by)

    def fail_start(self, code: str) -> None:
        self.server.faults.fail_operation("virtualMachines/start", code)

    def lag(self, by: timedelta) -> None:
        self.server.faults.view_lag = by

    def remove(self, machine_id: str) -> None:
        self.server.delete_vm(self.server.world.by_id(Vm, machine_id))

    def shut_down_inside(self, machine_id: str) -> None:
        self.server.set_power(self.server.world.by_id(Vm, machine_id), "stopped")

    def command(self, *, hangs: bool = False) -> None:
        if hangs:
            self.server.faults.hang_operation("virtualMachines/runCommand")

    def listings(self) -> int:
        return len(self.server.requests("GET .*/virtualMachines$"))


@pytest.fixture(params=["memory", "azure-async-operation", "location"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Each implementation in turn."""
    if request.param == "memory":
        yield MemoryRig()
        return
    slow = ("start", "deallocate")
    delays = {f"virtualMachines/{verb}": MINUTE for verb in slow} | {
        "virtualMachines/runCommand": timedelta()
    }
    with AzureServer(clock=ManualClock(), delays=delays) as server:
        azure = AzureRig(server, request.param)
        with azure.client:
            yield azure
        assert describe_azure_faults(server) == []


def power(rig: Rig, machine_id: str) -> PowerState:
    """By both ways of asking, which must agree."""
    state = rig.machines.get_state(machine_id)
    assert rig.machines.list_states()[machine_id] == state
    return state.power


def test_a_machine_is_listed_as_it_was_ordered(rig: Rig) -> None:
    second = rig.add("node-b")
    first = rig.add("node-a", owner="groundcrew")

    listed = rig.machines.list()

    assert [machine.id for machine in listed] == [first, second]
    assert (listed[0].name, listed[0].group, listed[0].size) == ("node-a", "rocketchat", "Standard_D4ads_v5")
    assert listed[0].tags == {"owner": "groundcrew"}
    assert listed[1].tags == {}


def test_the_states_of_an_idle_fleet_cost_one_listing(rig: Rig) -> None:
    ids = {rig.add(f"node-{number}", "running" if number % 2 else "deallocated") for number in range(20)}
    before = rig.listings()

    states = rig.machines.list_states()

    assert rig.listings() - before == 1
    assert set(states) == ids
    assert states[min(ids)].power is PowerState.DEALLOCATED
    assert {state.busy for state in states.values()} == {False}


def test_a_start_is_under_way_until_it_is_done(rig: Rig) -> None:
    machine = rig.add("node", "deallocated")

    rig.machines.begin_start(machine)

    assert power(rig, machine) is PowerState.STARTING
    assert rig.machines.get_state(machine).busy
    rig.wait(MINUTE)
    assert power(rig, machine) is PowerState.RUNNING
    assert not rig.machines.get_state(machine).busy


def test_a_stop_is_under_way_until_compute_is_released(rig: Rig) -> None:
    machine = rig.add("node")

    rig.machines.begin_deallocate(machine)

    assert power(rig, machine) is PowerState.DEALLOCATING
    rig.wait(MINUTE)
    assert power(rig, machine) is PowerState.DEALLOCATED
    assert not PowerState.DEALLOCATED.billed


@pytest.mark.parametrize("goal", ["running", "deallocated"])
def test_asking_for_the_state_it_is_in_changes_nothing(rig: Rig, goal: str) -> None:
    machine = rig.add("node", goal)
    begin = rig.machines.begin_start if goal == "running" else rig.machines.begin_deallocate

    begin(machine)
    rig.wait(MINUTE)

    assert power(rig, machine) is PowerState(goal)


def test_a_second_operation_conflicts_with_the_one_that_runs(rig: Rig) -> None:
    machine = rig.add("node", "deallocated")
    rig.machines.begin_start(machine)

    with pytest.raises(Conflict) as caught:
        rig.machines.begin_deallocate(machine)

    assert caught.value.value == "Conflict"
    rig.wait(MINUTE)
    assert power(rig, machine) is PowerState.RUNNING


@pytest.mark.parametrize("code", ["AllocationFailed", "ZonalAllocationFailed"])
def test_lack_of_capacity_shows_when_the_start_is_over_and_a_second_try_may_work(rig: Rig, code: str) -> None:
    machine = rig.add("node", "deallocated")
    rig.fail_start(code)

    rig.machines.begin_start(machine)
    assert rig.machines.get_state(machine).failure == ""
    rig.wait(MINUTE)

    assert power(rig, machine) is PowerState.DEALLOCATED
    assert rig.machines.get_state(machine).failure == code
    assert rig.machines.get_state(machine).detail
    rig.machines.begin_start(machine)
    rig.wait(MINUTE)
    assert power(rig, machine) is PowerState.RUNNING
    assert rig.machines.get_state(machine).failure == ""


def test_a_machine_that_was_deleted_or_renamed_is_not_found(rig: Rig) -> None:
    machine, other = rig.add("node"), rig.add("other")
    rig.remove(machine)

    for operation in (rig.machines.get_state, rig.machines.begin_start, rig.machines.begin_deallocate):
        with pytest.raises(NotFound):
            operation(machine)
    assert set(rig.machines.list_states()) == {other}


def test_the_case_of_an_id_does_not_matter(rig: Rig) -> None:
    machine = rig.add("Node-A", "deallocated")

    rig.machines.begin_start(machine.upper().replace("/SUBSCRIPTIONS", "/subscriptions"))
    rig.wait(MINUTE)

    assert machine == machine.lower()
    assert power(rig, machine) is PowerState.RUNNING


def test_a_view_that_lags_shows_the_former_state_until_it_has_caught_up(rig: Rig) -> None:
    machine = rig.add("node", "deallocated")
    rig.wait(10 * MINUTE)
    rig.lag(MINUTE)

    rig.machines.begin_start(machine)
    rig.wait(MINUTE / 2)

    assert power(rig, machine) is PowerState.DEALLOCATED
    rig.wait(MINUTE)
    assert power(rig, machine) is PowerState.STARTING
    rig.wait(MINUTE)
    assert power(rig, machine) is PowerState.RUNNING


def test_a_machine_shut_down_from_inside_is_stopped_and_still_paid_for(rig: Rig) -> None:
    machine = rig.add("node")

    rig.shut_down_inside(machine)

    assert power(rig, machine) is PowerState.STOPPED
    assert rig.machines.get_state(machine).power.billed


def test_a_command_leaves_both_streams_and_its_exit_code(rig: Rig) -> None:
    machine = rig.add("node")
    rig.command()

    result = rig.machines.run_command(machine, "echo out; echo err >&2; exit 3", timeout=MINUTE)

    assert (result.stdout.strip(), result.stderr.strip(), result.exit_code) == ("out", "err", 3)


def test_a_command_needs_a_machine_that_runs(rig: Rig) -> None:
    machine = rig.add("node", "deallocated")

    with pytest.raises(Refused):
        rig.machines.run_command(machine, "true", timeout=MINUTE)


def test_a_command_that_hangs_is_given_up_after_its_time(rig: Rig) -> None:
    machine = rig.add("node")
    rig.command(hangs=True)

    with pytest.raises(Unavailable, match="no end in sight"):
        rig.machines.run_command(machine, "true", timeout=timedelta(milliseconds=50))


def test_a_script_that_hangs_keeps_other_scripts_away_for_ninety_minutes(rig: Rig) -> None:
    machine = rig.add("node")
    rig.command(hangs=True)
    with pytest.raises(Unavailable):
        rig.machines.run_command(machine, "sleep 99", timeout=timedelta(milliseconds=50))
    rig.command()
    with pytest.raises(Conflict):
        rig.machines.run_command(machine, "echo out; echo err >&2; exit 3", timeout=timedelta(seconds=5))
    rig.wait(timedelta(minutes=89))
    with pytest.raises(Conflict):
        rig.machines.run_command(machine, "echo out; echo err >&2; exit 3", timeout=timedelta(seconds=5))
    rig.wait(timedelta(minutes=1))
    answer = rig.machines.run_command(
        machine, "echo out; echo err >&2; exit 3", timeout=timedelta(seconds=10)
    )
    assert answer.exit_code == 3


def test_a_script_that_hangs_does_not_keep_the_machine_from_being_deallocated(rig: Rig) -> None:
    machine = rig.add("node")
    rig.command(hangs=True)
    with pytest.raises(Unavailable):
        rig.machines.run_command(machine, "sleep 99", timeout=timedelta(milliseconds=50))
    rig.machines.begin_deallocate(machine)
    rig.wait(MINUTE)
    assert power(rig, machine) is PowerState.DEALLOCATED
    rig.machines.begin_start(machine)
    rig.wait(MINUTE)
    rig.command()
    answer = rig.machines.run_command(
        machine, "echo out; echo err >&2; exit 3", timeout=timedelta(seconds=10)
    )
    assert answer.exit_code == 3
