"""Which rights in Azure are missing, and that Terraform's role is what is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.azure_rm import AzureServer
from shared.adapters import azure_rights
from shared.cloud import rights
from shared.cloud.rights import RoleGrant, find_missing_actions
from shared.kernel.errors import Refused
from tests.infra import hcl

START, READ = "Microsoft.Compute/virtualMachines/start/action", "Microsoft.Compute/virtualMachines/read"


@pytest.mark.parametrize(
    ("grants", "missing"),
    [
        ([], [START, READ]),
        ([RoleGrant(("*",))], []),
        ([RoleGrant(("*/read",))], [START]),
        ([RoleGrant(("microsoft.compute/virtualmachines/*",))], []),
        ([RoleGrant((READ.upper(), START))], []),
        ([RoleGrant(("Microsoft.Compute/*",), ("Microsoft.Compute/virtualMachines/start/action",))], [START]),
        ([RoleGrant(("*",), ("*/start/*",)), RoleGrant((START,))], []),  # what one excludes another gives
        ([RoleGrant(("Microsoft.Compute/virtualMachines",))], [START, READ]),
        ([RoleGrant(("[M]icrosoft.Compute/virtualMachines/read",))], [START, READ]),
        ([RoleGrant((), ("*",))], [START, READ]),
    ],
)
def test_an_action_is_given_by_a_pattern_that_the_same_role_does_not_exclude(
    grants: list[RoleGrant], missing: list[str]
) -> None:
    assert find_missing_actions([START, READ], grants) == missing


def test_what_is_asked_for_is_what_terraform_gives() -> None:
    asked = {*rights.MACHINE_ACTIONS, *rights.CLUSTER_ACTIONS, *rights.DISK_ACTIONS, *rights.SNAPSHOT_ACTIONS}
    given = set(hcl.local("modules/identity", "operator_actions"))
    # Without the last two nothing fails: the cost report lacks addresses, and this question its answer.
    others = {"Microsoft.Network/publicIPAddresses/read", "Microsoft.Authorization/permissions/read"}
    assert asked == given - others
    assert set(rights.CHECK_ACTIONS) == set(hcl.local("modules/identity", "check_actions"))


@pytest.fixture
def server() -> Iterator[AzureServer]:
    with AzureServer() as running:
        yield running


def test_rights_are_those_that_azure_tells_at_the_scope(server: AzureServer) -> None:
    machine = server.add_vm("node").id
    server.api.permissions = [{"actions": ["*/read"], "notActions": ["*/write"]}, {"dataActions": ["*"]}]
    adapter = azure_rights.connect(server.credential(), server.subscription, base_url=server.url)

    assert adapter.list_grants(machine) == [RoleGrant(("*/read",), ("*/write",)), RoleGrant(())]

    (asked,) = server.requests("permissions")
    assert asked.path == f"{machine}/providers/Microsoft.Authorization/permissions"


def test_who_may_not_even_ask_is_refused(server: AzureServer) -> None:
    machine = server.add_vm("node").id
    server.faults.forbid()
    adapter = azure_rights.connect(server.credential(), server.subscription, base_url=server.url)
    with pytest.raises(Refused):
        adapter.list_grants(machine)
