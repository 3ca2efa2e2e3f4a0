"""The app's roles allow what its code asks of Azure, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from tests.infra import hcl
from tests.infra.arm_recorder import Recorder, parse_action, recorder
from tests.infra.code import aks, azure_activity, azure_addresses, azure_disks, azure_rights, azure_vms

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
GROUP = "rg-rocketchat"
BASE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
VM, DISK, SNAPSHOT, CLUSTER = (
    f"{BASE}/Microsoft.Compute/virtualMachines/node",
    f"{BASE}/Microsoft.Compute/disks/data",
    f"{BASE}/Microsoft.Compute/snapshots/old",
    f"{BASE}/Microsoft.ContainerService/managedClusters/cluster",
)
MINUTE = timedelta(minutes=1)

# Not asked for by a request of their own: Azure looks at these when a disk is copied.
# https://learn.microsoft.com/azure/role-based-access-control/permissions/compute
LINKED = {"microsoft.compute/disks/begingetaccess/action"}
LINKED_CHECK = {"microsoft.compute/snapshots/begingetaccess/action"}

MACHINES: dict[str, Callable[[Any], Any]] = {
    "list": lambda a: a.list(),
    "list_states": lambda a: a.list_states(),
    "get_state": lambda a: a.get_state(VM),
    "begin_start": lambda a: a.begin_start(VM),
    "begin_deallocate": lambda a: a.begin_deallocate(VM),
    "run_command": lambda a: a.run_command(VM, "true", timeout=MINUTE),
}
DISKS: dict[str, Callable[[Any], Any]] = {
    "list": lambda a: a.list(),
    "list_snapshots": lambda a: list(a.list_snapshots()),
    "get_snapshot": lambda a: a.get_snapshot(SNAPSHOT),
    "create_snapshot": lambda a: a.create_snapshot(DISK, "absent-snapshot", {}, timeout=MINUTE),
    "delete_snapshot": lambda a: a.delete_snapshot(SNAPSHOT),
    "set_tags": lambda a: a.set_tags(SNAPSHOT, {}),
}
# What `snapshots.check` in policy.yaml needs besides.
CHECKS: dict[str, Callable[[Any], Any]] = {
    "create_disk": lambda a: a.create_disk(SNAPSHOT, "absent-disk", "Standard_LRS", {}, timeout=MINUTE),
    "delete_disk": lambda a: a.delete_disk(DISK),
}
CLUSTERS: dict[str, Callable[[Any], Any]] = {
    "list": lambda a: a.list(),
    "list_states": lambda a: a.list_states(),
    "get_state": lambda a: a.get_state(CLUSTER),
    "begin_start": lambda a: a.begin_start(CLUSTER),
    "begin_deallocate": lambda a: a.begin_deallocate(CLUSTER),
}
ADDRESSES: dict[str, Callable[[Any], Any]] = {"list": lambda a: a.list()}
RIGHTS: dict[str, Callable[[Any], Any]] = {"list_grants": lambda a: a.list_grants(VM)}
NOW = datetime(2026, 3, 2, tzinfo=UTC)
ACTIVITY: dict[str, Callable[[Any], Any]] = {"list_events": lambda a: a.list_events(VM, NOW, NOW)}


class Somebody:
    """A credential whose token nobody checks."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken("token", int(time.time()) + 3600)


@pytest.fixture
def server() -> Iterator[Recorder]:
    with recorder() as running:
        yield running


def drive(adapter: Any, *calls: dict[str, Callable[[Any], Any]]) -> None:
    """Call every method; one that is not listed here fails the test, so that a new one is thought of."""
    public = {name for name in dir(type(adapter)) if not name.startswith("_")}
    assert public == {name for some in calls for name in some}
    for some in calls:
        for call in some.values():
            call(adapter)


def drive_all(server: Recorder) -> None:
    options: dict[str, Any] = {"base_url": server.url}
    someone: Any = Somebody()
    drive(azure_vms.connect(someone, SUBSCRIPTION, group=GROUP, **options), MACHINES)
    drive(azure_disks.connect(someone, SUBSCRIPTION, group=GROUP, **options), DISKS, CHECKS)
    drive(aks.connect(someone, SUBSCRIPTION, **options), CLUSTERS)
    drive(azure_activity.connect(someone, SUBSCRIPTION, **options), ACTIVITY)
    drive(azure_rights.connect(someone, SUBSCRIPTION, group=GROUP, **options), RIGHTS)
    drive(azure_addresses.connect(someone, SUBSCRIPTION, group=GROUP, **options), ADDRESSES)


def allowed(name: str) -> set[str]:
    """In lower case, since Azure tells no difference."""
    return {action.lower() for action in hcl.local("modules/identity", name)}


def test_the_roles_allow_what_the_adapters_ask_for_and_no_more(server: Recorder) -> None:
    drive_all(server)

    assert allowed("reader_actions") == server.actions(whole_subscription=True)
    needed = server.actions(whole_subscription=False) | LINKED | LINKED_CHECK
    # Where the cluster is listed over the subscription, it is still looked at one by one.
    assert allowed("operator_actions") | allowed("check_actions") == needed


def test_disks_are_made_and_removed_only_where_policy_checks_snapshots(server: Recorder) -> None:
    someone: Any = Somebody()
    disks = azure_disks.connect(someone, SUBSCRIPTION, group=GROUP, base_url=server.url)
    for call in CHECKS.values():
        call(disks)

    assert allowed("check_actions") - LINKED_CHECK == server.actions(whole_subscription=False) & allowed(
        "check_actions"
    )
    assert not allowed("check_actions") & allowed("operator_actions")


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        pytest.param("GET", VM, "Microsoft.Compute/virtualMachines/read", id="one"),
        pytest.param("GET", f"{VM}/view", "Microsoft.Compute/virtualMachines/view/read", id="a part"),
        pytest.param("GET", VM.rsplit("/", 1)[0], "Microsoft.Compute/virtualMachines/read", id="all"),
        pytest.param("POST", f"{VM}/go", "Microsoft.Compute/virtualMachines/go/action", id="an action"),
        pytest.param("PUT", SNAPSHOT, "Microsoft.Compute/snapshots/write", id="a creation"),
        pytest.param("GET", f"{VM}/providers/N/type", "n/type/read", id="what hangs on one"),
        pytest.param("PATCH", SNAPSHOT, "Microsoft.Compute/snapshots/write", id="a change"),
        pytest.param("DELETE", SNAPSHOT, "Microsoft.Compute/snapshots/delete", id="a removal"),
    ],
)  # fmt: skip
def test_a_request_needs_the_action_of_its_type(method: str, path: str, action: str) -> None:
    assert parse_action(method, path) == action.lower()


def test_no_role_of_ours_has_a_wildcard() -> None:
    granted = [
        action
        for _, type_name, _, body in hcl.resources()
        if type_name == "azurerm_role_definition"
        for permissions in body["permissions"]
        for action in hcl.texts(permissions)
    ]
    granted += [a for block in hcl.load_all()["modules/identity"]["locals"] for a in hcl.texts(block)]
    assert granted
    assert not [action for action in granted if "*" in action]


def test_the_app_cannot_delete_a_backup_and_retention_can_do_nothing_else() -> None:
    blobs = "microsoft.storage/storageaccounts/blobservices/containers/blobs"
    assert allowed("writer_data_actions") == {f"{blobs}/read", f"{blobs}/write", f"{blobs}/add/action"}
    assert allowed("retention_data_actions") == {
        f"{blobs}/read",
        f"{blobs}/delete",
        f"{blobs}/deleteblobversion/action",
    }


def test_only_retentions_own_identity_has_its_role_and_only_on_the_backups() -> None:
    folder = "modules/identity"
    given = hcl.resource(folder, "azurerm_role_assignment", "retention")
    assert given["principal_id"] == "${azurerm_user_assigned_identity.retention.principal_id}"
    assert given["scope"] == "${var.backups_container_id}"
    assert "retention" not in str(hcl.local(folder, "app_roles"))
    assert hcl.local(folder, "app_roles")["backup_writer"]["scope"] == "${var.backups_container_id}"


def test_roles_that_microsoft_made_are_given_on_what_the_host_owns_only() -> None:
    assert hcl.local("modules/identity", "host_roles") == {
        "Storage Blob Data Owner": "${var.host_account_id}",
        "Storage Queue Data Contributor": "${var.host_account_id}",
        "Monitoring Metrics Publisher": "${var.insights_id}",
    }
