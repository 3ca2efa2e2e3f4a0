"""The law behind two implementations of `Machines`: whatever happens, they tell the same story."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.azure_rm import AzureServer
from local.fakes.clock import ManualClock
from local.fakes.compute import MemoryMachines
from shared.adapters.azure_vms import AzureMachines, parse_view
from shared.azure.arm import ArmId
from shared.azure.arm_client import ArmClient, connect_arm
from shared.cloud.machines import Machines, PowerState
from shared.kernel.errors import GroundcrewError
from shared.kernel.timestamps import parse_optional_timestamp

START, STOP = timedelta(minutes=3), timedelta(minutes=5)
STEPS = st.one_of(
    st.sampled_from(["start", "deallocate", "break", "look"]),
    st.integers(min_value=1, max_value=400).map(lambda seconds: timedelta(seconds=seconds)),
)


def attempt(machines: Machines, step: str, machine: str) -> str:
    """Do the step; what came of it."""
    try:
        if step == "start":
            machines.begin_start(machine)
        elif step == "deallocate":
            machines.begin_deallocate(machine)
    except GroundcrewError as error:
        return type(error).__name__
    return "done"


@contextmanager
def simulated() -> Iterator[tuple[AzureServer, ArmClient]]:
    """A server with a clock of its own, and the client for it."""
    delays = {"virtualMachines/start": START, "virtualMachines/deallocate": STOP}
    with (
        AzureServer(clock=ManualClock(), delays=delays) as server,
        connect_arm(server.credential(), server.subscription, base_url=server.url) as client,
    ):
        yield server, client


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=16), st.sampled_from(["running", "deallocated"]))
def test_the_fake_and_the_adapter_tell_the_same_story(steps: list[str | timedelta], power: str) -> None:
    clock = ManualClock()
    fake = MemoryMachines(clock)
    fake.start_takes, fake.stop_takes = START, STOP
    mine = fake.add("node", power=PowerState(power))
    with simulated() as (server, client):
        azure = AzureMachines(client)
        theirs = server.add_vm("node", power=power).id.lower()
        for step in steps:
            if isinstance(step, timedelta):
                clock.advance(step)
                server.advance(step)
            elif step == "break":
                # Only where the next start will take it up, in both alike.
                if fake.get_state(mine).power is PowerState.DEALLOCATED and not fake.get_state(mine).failure:
                    fake.fail_start("AllocationFailed")
                    server.faults.fail_operation("virtualMachines/start", "AllocationFailed")
            else:
                assert attempt(fake, step, mine) == attempt(azure, step, theirs)
            mine_now, theirs_now = fake.get_state(mine), azure.get_state(theirs)
            assert (mine_now.power, mine_now.busy, mine_now.failure) == (
                theirs_now.power,
                theirs_now.busy,
                theirs_now.failure,
            )


WORD = st.text(alphabet="abcXYZ019-_.()", min_size=1, max_size=12)


@settings(deadline=None)
@given(WORD, WORD, WORD)
def test_an_id_means_the_same_in_any_case(subscription: str, group: str, name: str) -> None:
    text = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/disks/{name}"

    parsed = ArmId.parse(text, "Microsoft.Compute/disks")

    assert parsed == ArmId.parse(text.upper()) == ArmId.parse(str(parsed))
    assert (parsed.group, parsed.name) == (group.lower(), name.lower())


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({}, optional={"code": st.none() | st.text(max_size=30)}), max_size=4))
def test_no_status_that_azure_may_invent_breaks_the_reading(statuses: list[dict[str, str | None]]) -> None:
    assert parse_view("/x", {"statuses": statuses}).power in PowerState


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(0, 9))  # noqa: DTZ001
def test_times_survive_whatever_number_of_digits(naive: datetime, tenths: int) -> None:
    exact = naive.replace(tzinfo=UTC)
    text = f"{exact:%Y-%m-%dT%H:%M:%S}.{exact.microsecond:06d}{tenths}+00:00"

    assert parse_optional_timestamp(text) == exact


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "", None, 5])
def test_a_time_without_a_zone_is_no_time(text: object) -> None:
    assert parse_optional_timestamp(text) is None
