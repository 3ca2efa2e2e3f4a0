"""One suite for `Disks`: the fake, and the adapter over the stand-in of Azure, polled in both styles."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Protocol

import pytest

from local.azure_rm import AzureServer
from local.azure_rm.storage import StoredDisk as SimulatedDisk
from local.azure_rm.storage import StoredSnapshot as SimulatedSnapshot
from local.fakes.clock import ManualClock
from local.fakes.disks import MemoryDisks
from shared.adapters.azure_disks import AzureDisks
from shared.azure.arm_client import connect_arm
from shared.cloud.disks import Disks
from shared.kernel.errors import AlreadyExists, Conflict, NotFound, Refused
from tests.local.azure_rm.published import describe_azure_faults

LIMIT = 3
OURS = {"owner": "groundcrew", "class": "daily"}
SOON = timedelta(seconds=5)


class Rig(Protocol):
    """A cloud under test, and what is set up in it behind the port's back."""

    disks: Disks
    clock: ManualClock

    def add_disk(self, name: str, *, attached: bool = False, **tags: str) -> str: ...
    def copying_takes(self, time: timedelta) -> None: ...
    def remove_disk(self, disk_id: str) -> None: ...
    def settle(self) -> None: ...


class MemoryRig:
    """Over the fake."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fake = MemoryDisks(self.clock, limit=LIMIT)
        self.disks: Disks = self.fake

    def add_disk(self, name: str, *, attached: bool = False, **tags: str) -> str:
        return self.fake.add_disk(name, tags=tags, attached_to="/a/machine" if attached else "")

    def copying_takes(self, time: timedelta) -> None:
        self.fake.copy_takes = time

    def remove_disk(self, disk_id: str) -> None:
        self.fake.delete_disk(disk_id)

    def settle(self) -> None:
        self.clock.advance(timedelta())


class AzureRig:
    """Over the stand-in, over HTTP, with two resources to a page."""

    def __init__(self, server: AzureServer, clock: ManualClock, style: str) -> None:
        self.server, self.clock = server, clock
        server.api.polling = style
        self.client = connect_arm(server.credential(), server.subscription, base_url=server.url)
        self.disks: Disks = AzureDisks(self.client, poll_every=timedelta(milliseconds=5))

    def add_disk(self, name: str, *, attached: bool = False, **tags: str) -> str:
        if attached:
            vm = self.server.add_vm(name.removesuffix("-os"), data_disks=0)
            return vm.disks[0].id.lower()
        return self.server.add_disk(name, tags=tags).id.lower()

    def copying_takes(self, time: timedelta) -> None:
        self.server.world.delays["snapshots/copy"] = time

    def remove_disk(self, disk_id: str) -> None:
        self.server.world.remove(self.server.world.by_id(SimulatedDisk, disk_id))

    def settle(self) -> None:
        self.server.advance(timedelta(seconds=1))


@pytest.fixture(params=["memory", "azure-async-operation", "location"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Each implementation in turn."""
    if request.param == "memory":
        yield MemoryRig()
        return
    verbs = ("disks/write", "disks/delete", "snapshots/write", "snapshots/delete")
    delays = dict.fromkeys(verbs, timedelta())
    clock = ManualClock()
    with AzureServer(clock=clock, delays=delays, page_size=2, incremental_limit=LIMIT) as server:
        azure = AzureRig(server, clock, request.param)
        with azure.client:
            yield azure
        assert describe_azure_faults(server) == []


def test_disks_are_chosen_by_tag_across_pages(rig: Rig) -> None:
    ids = [rig.add_disk(f"disk-{number}", snapshots="yes" if number % 2 else "no") for number in range(7)]

    chosen = rig.disks.list(("snapshots", "yes"))

    assert [disk.id for disk in chosen] == [ids[1], ids[3], ids[5]]
    assert len(rig.disks.list()) == 7
    assert (chosen[0].sku, chosen[0].size_gb, chosen[0].tier) == ("Premium_LRS", 128, "P10")


def test_a_snapshot_carries_its_time_its_source_and_its_tags(rig: Rig) -> None:
    disk = rig.add_disk("data")
    now = rig.clock.now()

    taken = rig.disks.create_snapshot(disk, "data-1", OURS, timeout=SOON)

    assert (taken.name, taken.disk, taken.created, taken.tags) == ("data-1", disk, now, OURS)
    assert taken.incremental
    assert taken.provisioned
    assert taken.complete_percent == 100
    assert list(rig.disks.list_snapshots()) == [taken]
    assert rig.disks.get_snapshot(taken.id) == taken


def test_snapshots_are_listed_across_pages(rig: Rig) -> None:
    disks = [rig.add_disk(f"disk-{number}") for number in range(2)]
    taken = {
        rig.disks.create_snapshot(disk, f"{disk[-6:]}-{number}", OURS, timeout=SOON).id
        for disk in disks
        for number in range(LIMIT)
    }

    assert {snapshot.id for snapshot in rig.disks.list_snapshots()} == taken


def test_a_name_that_is_taken_is_not_written_over(rig: Rig) -> None:
    disk = rig.add_disk("data")
    first = rig.disks.create_snapshot(disk, "data-1", OURS, timeout=SOON)

    with pytest.raises(AlreadyExists):
        rig.disks.create_snapshot(disk, "data-1", {"owner": "somebody else"}, timeout=SOON)

    assert rig.disks.get_snapshot(first.id) == first


def test_the_limit_of_snapshots_per_disk_is_told_as_a_refusal(rig: Rig) -> None:
    disk, other = rig.add_disk("data"), rig.add_disk("journal")
    for number in range(LIMIT):
        rig.disks.create_snapshot(disk, f"data-{number}", OURS, timeout=SOON)

    with pytest.raises(Refused) as caught:
        rig.disks.create_snapshot(disk, "data-more", OURS, timeout=SOON)

    assert caught.value.value == "OperationNotAllowed"
    rig.disks.create_snapshot(other, "journal-0", OURS, timeout=SOON)


def test_a_snapshot_of_a_disk_that_is_gone_is_not_found(rig: Rig) -> None:
    disk = rig.add_disk("data")
    rig.remove_disk(disk)

    with pytest.raises(NotFound):
        rig.disks.create_snapshot(disk, "data-1", OURS, timeout=SOON)


def test_a_snapshot_outlives_its_disk(rig: Rig) -> None:
    disk = rig.add_disk("data")
    taken = rig.disks.create_snapshot(disk, "data-1", OURS, timeout=SOON)

    rig.disks.delete_disk(disk)
    rig.settle()

    assert rig.disks.list() == []
    assert rig.disks.get_snapshot(taken.id).disk == disk


def test_a_deleted_snapshot_is_gone_and_deleting_it_again_is_fine(rig: Rig) -> None:
    disk = rig.add_disk("data")
    taken = rig.disks.create_snapshot(disk, "data-1", OURS, timeout=SOON)

    rig.disks.delete_snapshot(taken.id)
    rig.settle()
    rig.disks.delete_snapshot(taken.id)

    assert list(rig.disks.list_snapshots()) == []
    with pytest.raises(NotFound):
        rig.disks.get_snapshot(taken.id)


def test_tags_are_replaced_as_a_whole(rig: Rig) -> None:
    disk = rig.add_disk("data", one="1", two="2")
    taken = rig.disks.create_snapshot(disk, "data-1", OURS, timeout=SOON)

    rig.disks.set_tags(disk, {"two": "2b"})
    rig.disks.set_tags(taken.id, {"keep-until": "2026-12-31"})

    assert rig.disks.list()[0].tags == {"two": "2b"}
    assert rig.disks.get_snapshot(taken.id).tags == {"keep-until": "2026-12-31"}


def test_the_tags_of_what_is_gone_cannot_be_set(rig: Rig) -> None:
    disk = rig.add_disk("data")
    rig.remove_disk(disk)

    with pytest.raises(NotFound):
        rig.disks.set_tags(disk, {"a": "b"})


def test_a_disk_is_made_of_a_snapshot_and_deleted_again(rig: Rig) -> None:
    taken = rig.disks.create_snapshot(rig.add_disk("data"), "data-1", OURS, timeout=SOON)

    made = rig.disks.create_disk(taken.id, "drill", "StandardSSD_LRS", {"owner": "drill"}, timeout=SOON)

    assert (made.name, made.sku, made.size_gb) == ("drill", "StandardSSD_LRS", 128)
    assert made.tags == {"owner": "drill"}
    assert made.attached_to == ""
    assert (made.source, made.provisioned) == (taken.id, True)
    rig.disks.delete_disk(made.id)
    rig.settle()
    rig.disks.delete_disk(made.id)
    assert [disk.name for disk in rig.disks.list()] == ["data"]


def test_a_snapshot_that_is_still_being_copied_makes_no_disk_yet(rig: Rig) -> None:
    rig.copying_takes(timedelta(minutes=10))
    taken = rig.disks.create_snapshot(rig.add_disk("data"), "data-1", OURS, timeout=SOON)
    rig.clock.advance(timedelta(minutes=4))

    assert rig.disks.get_snapshot(taken.id).complete_percent == 40
    with pytest.raises(Conflict):
        rig.disks.create_disk(taken.id, "drill", "StandardSSD_LRS", {}, timeout=SOON)
    rig.clock.advance(timedelta(minutes=6))
    assert rig.disks.create_disk(taken.id, "drill", "StandardSSD_LRS", {}, timeout=SOON).name == "drill"


def test_an_attached_disk_is_not_deleted(rig: Rig) -> None:
    disk = rig.add_disk("node-os", attached=True)

    with pytest.raises(Refused):
        rig.disks.delete_disk(disk)

    assert [one.id for one in rig.disks.list()] == [disk]
    assert rig.disks.list()[0].attached_to


@pytest.mark.parametrize(
    ("power", "reserved"), [("running", False), ("stopped", False), ("deallocated", True)]
)
def test_a_disk_tells_that_its_machine_is_deallocated(power: str, reserved: bool) -> None:
    with AzureServer(clock=ManualClock()) as server:
        server.add_vm("chat", power=power, data_disks=1)
        client = connect_arm(server.credential(), server.subscription, base_url=server.url)
        assert [disk.reserved for disk in AzureDisks(client).list()] == [reserved, reserved]


def test_a_snapshot_cannot_be_exported_over_the_network() -> None:
    with AzureServer() as server:
        disk = server.add_disk("data")
        client = connect_arm(server.credential(), server.subscription, base_url=server.url)
        disks = AzureDisks(client, poll_every=timedelta(milliseconds=5))
        taken = disks.create_snapshot(disk.id, "s", OURS, timeout=timedelta(seconds=60))
        (asked,) = server.requests("PUT .*/snapshots/s$")
        (made,) = server.world.listing(SimulatedSnapshot)
    assert made.network == ("DenyAll", "Disabled")
    assert asked.body["properties"]["networkAccessPolicy"] == "DenyAll"
    assert taken.sku == "Standard_LRS"
