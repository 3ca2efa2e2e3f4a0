"""When a job that needs the server waits for it, and when it is let to fail and say why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan
from shared.cloud.machines import PowerState
from shared.kernel.errors import Unavailable
from shared.power.availability import offline_reason


def look(world, plan: FaultPlan | None = None) -> str:
    return offline_reason(world.job(plan).inventory)


def test_a_machine_that_is_off_by_its_calendar_is_asleep_and_the_reason_is_told(world, at) -> None:
    world.add()
    world.clock.set(at("2:00"))
    assert look(world).startswith("rocketchat is off (")


def test_a_night_with_wake_is_left_to_power_until_the_machine_runs(make_world, at) -> None:
    world = make_world()
    world.policy_text = world.policy_text.replace("skip", "wake")
    world.__post_init__()
    world.add()
    world.seal(at("2:00", 2))
    world.clock.set(at("2:00", 3))
    assert "is being started" in look(world)
    world.tick()
    assert world.power is PowerState.STARTING
    assert "is being started" in look(world)
    world.clock.advance(timedelta(minutes=5))
    assert world.power is PowerState.RUNNING
    assert look(world) == ""


@pytest.mark.parametrize(
    "state", [PowerState.RUNNING, PowerState.STOPPED, PowerState.STOPPING, PowerState.UNKNOWN]
)
def test_a_machine_that_runs_or_was_shut_down_from_inside_is_not_asleep(world, at, state) -> None:
    world.add(state)
    world.clock.set(at("2:00"))
    assert look(world) == ""


def test_one_that_is_gone_or_cannot_be_asked_about_is_not_asleep(world, at) -> None:
    world.clock.set(at("2:00"))
    assert look(world) == ""
    world.add()
    assert look(world) != ""
    fault = Fault(Unavailable("Azure"), operation="machines.list_states")
    assert look(world, FaultPlan(fault)) == ""


def test_one_that_should_run_and_does_not_start_is_a_failure_and_not_sleep(world, at) -> None:
    world.add()
    world.machines.fail_start(times=100)
    world.clock.set(at("7:00"))
    for _ in range(24):
        world.tick()
        world.clock.advance(timedelta(minutes=5))
    assert look(world) == ""


def test_of_several_machines_all_must_be_off(make_world, at) -> None:
    world = make_world(
        "timezone: UTC\nbackup: {when_vm_off: skip}\n"
        "power: {machines: [{name: rocketchat, windows: [], carries: [rocketchat]},"
        " {name: other, windows: [], carries: [mongodb]}]}"
    )
    world.add()
    other = world.machines.add("other", power=PowerState.RUNNING)
    assert look(world) == ""
    world.machines.set_power(other, PowerState.DEALLOCATED)
    assert "rocketchat is off" in look(world)
    assert "other is off" in look(world)
