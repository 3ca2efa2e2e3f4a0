"""What is read from Azure's answers: ids, instance views, output, times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.adapters.azure_disks import parse_snapshot
from shared.adapters.azure_vms import parse_command, parse_view
from shared.azure.arm import ArmId
from shared.cloud.machines import CommandResult, PowerState
from shared.kernel.errors import UsageError
from shared.kernel.timestamps import parse_optional_timestamp

MACHINE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/node"


@pytest.mark.parametrize(
    "text",
    ["", "node", MACHINE + "/extra", MACHINE.replace("virtualMachines", "disks"), "/subscriptions/s"],
)
def test_what_is_not_the_id_of_a_machine_is_the_caller_s_mistake(text: str) -> None:
    with pytest.raises(UsageError, match="looks like"):
        ArmId.parse(text, "Microsoft.Compute/virtualMachines")


@pytest.mark.parametrize(
    ("codes", "power", "busy", "failure"),
    [
        (["ProvisioningState/succeeded", "PowerState/running"], PowerState.RUNNING, False, ""),
        (["PowerState/Running"], PowerState.RUNNING, False, ""),
        (["ProvisioningState/updating", "PowerState/starting"], PowerState.STARTING, True, ""),
        (["ProvisioningState/Updating"], PowerState.UNKNOWN, True, ""),
        (["ProvisioningState/failed/AllocationFailed"], PowerState.UNKNOWN, False, "AllocationFailed"),
        (["ProvisioningState/failed", "PowerState/stopped"], PowerState.STOPPED, False, "Failed"),
        (["OSState/generalized", "PowerState/deallocated"], PowerState.DEALLOCATED, False, ""),
        (["PowerState/dreaming", "nonsense", ""], PowerState.UNKNOWN, False, ""),
        ([], PowerState.UNKNOWN, False, ""),
    ],
)
def test_an_instance_view_is_read_whatever_its_case_and_gaps(
    codes: list[str], power: PowerState, busy: bool, failure: str
) -> None:
    state = parse_view(MACHINE.lower(), {"statuses": [{"code": code} for code in codes]})

    assert (state.power, state.busy, state.failure) == (power, busy, failure)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Enable succeeded: \n[stdout]\nhi\n\ngroundcrew:exit=0\n\n[stderr]\n", CommandResult("hi\n", "", 0)),
        ("Enable succeeded: \n[stdout]\nhi\n[stderr]\noops", CommandResult("hi", "oops", None)),
        ("Enable failed: no agent", CommandResult("Enable failed: no agent", "", None)),
        ("", CommandResult("", "", None)),
    ],
    ids=["with-code", "cut-short", "agent-failed", "empty"],
)
def test_the_output_of_a_command_is_read_from_its_message(message: str, expected: CommandResult) -> None:
    assert parse_command({"value": [{"code": "ProvisioningState/succeeded", "message": message}]}) == expected


def test_a_time_is_read_with_azure_s_seven_digits() -> None:
    assert parse_optional_timestamp("2026-03-29T01:30:00.1234567+00:00") == datetime(
        2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC
    )
    assert parse_optional_timestamp("2026-03-29T01:30:00Z") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert parse_optional_timestamp(None) is None


def test_a_snapshot_without_a_time_never_looks_old() -> None:
    body = {
        "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/snapshots/x",
        "name": "x",
        "location": "westeurope",
        "properties": {"provisioningState": "Updating"},
    }

    snapshot = parse_snapshot(body)

    assert snapshot.created > datetime(9000, 1, 1, tzinfo=UTC)
    assert not snapshot.provisioned
