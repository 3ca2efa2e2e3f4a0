"""`groundcrew doctor` on what power, snapshots and deploys need: whole, and each thing missing in turn."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from local.azure_and_chat import azure_settings
from local.azure_rm import AzureServer
from local.azure_rm.machines import Vm
from local.azurite import EmulatedAccount
from local.deploy_demo import NAMESPACE, Site
from shared.adapters.blobs import create_container
from shared.settings.storage_account import StorageAccount
from tests.support.commands import run_groundcrew

pytestmark = pytest.mark.timeout(300)
POLICY = """
power: {machines: [{name: rocketchat, windows: []}]}
snapshots: {disks: snapshot=yes, check: weekly}
deploy:
"""


@dataclass
class World:
    """Everything that is there, and the settings by which the app finds it."""

    azure: AzureServer
    vm: Vm
    site: Site
    settings: dict[str, str]
    folder: Path

    def diagnose(self, job: str) -> dict[str, dict[str, str]]:
        """The checks of a job by name."""
        environment = {"PATH": os.environ["PATH"], **self.settings}
        done = run_groundcrew("doctor", "--only", job, "--json", env=environment)
        report = json.loads(done.stdout)
        assert done.returncode == (1 if report["blocked"] else 0)
        return {row["name"]: row for row in report["checks"] if row["job"] == job}

    def change_policy(self, old: str, new: str) -> None:
        text = Path(self.settings["GROUNDCREW_POLICY"]).read_text()
        assert old in text
        path = self.folder / "changed.yaml"
        path.write_text(text.replace(old, new))
        self.settings["GROUNDCREW_POLICY"] = str(path)


@pytest.fixture(scope="module")
def shared_world(
    tmp_path_factory: pytest.TempPathFactory, take_account: Callable[[], EmulatedAccount]
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("doctor")
    account = take_account()
    create_container(StorageAccount.by_connection_string(account.connection_string), "groundcrew")
    with AzureServer() as azure, Site(folder / "site") as site:
        vm = azure.add_vm("rocketchat")
        azure.add_disk("data", tags={"snapshot": "yes"})
        settings = {
            **azure_settings(azure),
            **site.settings,
            "AzureWebJobsStorage": account.connection_string,
            "GROUNDCREW_POLICY": str(site.policy(POLICY)),
        }
        yield World(azure, vm, site, settings, folder)


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """As it was at first."""
    all_rights = shared_world.azure.api.permissions
    yield replace(shared_world, settings=dict(shared_world.settings))
    shared_world.azure.api.permissions = all_rights


@pytest.mark.parametrize("job", ["power", "snapshots", "deploys"])
def test_where_nothing_is_missing_every_check_of_the_job_passes(world: World, job: str) -> None:
    found = world.diagnose(job)
    needed = {
        "power": {"settings", "machines", "power.rights"},
        "snapshots": {"settings", "snapshots.rights", "disks"},
        "deploys": {
            "settings", "helm", "cluster", "github", "rights in the cluster",
            "environment production", "webhook",
        },
    }  # fmt: skip
    assert {name: row["status"] for name, row in found.items() if row["status"] != "ok"} in (
        {},
        {"webhook": "warning"},
    )
    assert needed[job] <= found.keys()


def no_start(world: World) -> None:
    world.azure.api.permissions = [{"actions": ["*"], "notActions": ["*/start/action"]}]


def no_snapshots(world: World) -> None:
    world.azure.api.permissions = [{"actions": ["*/read"]}]


def no_disk(world: World) -> None:
    world.change_policy("snapshot=yes", "snapshot=no")


def no_machine(world: World) -> None:
    world.change_policy("{name: rocketchat,", "{name: elsewhere,")


def no_environment(world: World) -> None:
    world.change_policy("  branch: main", "  branch: main\n  environments: [staging]")


def no_rights_in_the_cluster(world: World) -> None:
    token = world.site.cluster.token_for("nobody", NAMESPACE)
    world.settings["GROUNDCREW_KUBECONFIG"] = str(
        world.site.cluster.kubeconfig(world.folder / "nobody", token=token)
    )


@pytest.mark.parametrize(
    ("break_it", "job", "name", "told"),
    [
        (no_start, "power", "power.rights", "no right in Azure to virtualMachines/start: rocketchat"),
        (no_machine, "power", "power.rights", "none of the machines"),
        (no_snapshots, "snapshots", "snapshots.rights", "disks/beginGetAccess"),
        (no_disk, "snapshots", "disks", "no disk has the tag"),
        (no_environment, "deploys", "environment staging", "no such environment: staging"),
        (no_rights_in_the_cluster, "deploys", "rights in the cluster", "does not allow it"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_mends_it(
    world: World, break_it: Callable[[World], None], job: str, name: str, told: str
) -> None:
    break_it(world)
    row = world.diagnose(job)[name]
    assert row["status"] == "failed"
    assert told in row["message"]
    assert row["command"]


def test_what_runs_on_a_machine_that_is_off_on_purpose_is_not_asked(world: World) -> None:
    vm = world.vm
    world.azure.set_power(vm, "deallocated")
    # Nobody answers there, as nobody would.
    kubeconfig = Path(world.settings["GROUNDCREW_KUBECONFIG"]).read_text()
    world.settings["GROUNDCREW_KUBECONFIG"] = re.sub(
        r"https://127.0.0.1:\d+", "https://127.0.0.1:1", kubeconfig
    )
    try:
        found = world.diagnose("deploys")
        rights = world.diagnose("backup")["rights to read MongoDB"]
    finally:
        world.azure.set_power(vm, "running")
    for row in (found["cluster"], found["rights in the cluster"], rights):
        assert row["status"] == "ok"
        assert row["message"].startswith("not asked: rocketchat is off (")


def test_nothing_was_changed_by_all_this_looking(shared_world: World) -> None:
    assert {one.method for one in shared_world.azure.requests()} == {"GET"}
