"""One suite for `Addresses`: the fake, and the adapter over the stand-in of Azure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from local.azure_rm import AzureServer
from local.fakes.disks import MemoryAddresses
from shared.adapters.azure_addresses import AzureAddresses, connect, parse_address
from shared.cloud.prices import Addresses
from shared.kernel.errors import Refused, Unavailable, UsageError
from tests.local.azure_rm.published import describe_azure_faults


class Rig(Protocol):
    addresses: Addresses

    def add(self, name: str, **more: Any) -> str: ...


class MemoryRig:
    def __init__(self) -> None:
        self.addresses: Addresses = MemoryAddresses()

    def add(self, name: str, **more: Any) -> str:
        assert isinstance(self.addresses, MemoryAddresses)
        return self.addresses.add(name, **more)


class AzureRig:
    def __init__(self, server: AzureServer, addresses: Addresses) -> None:
        self.server, self.addresses = server, addresses

    def add(self, name: str, *, version: int = 4, used: bool = False, **more: Any) -> str:
        holder = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/nic"
        made = self.server.add_address(
            name, version=f"IPv{version}", held_by=f"{holder}/ipConfigurations/a" if used else "", **more
        )
        return made.id.lower()


def azure_addresses(server: AzureServer, group: str = "") -> AzureAddresses:
    """The adapter."""
    return connect(server.credential(), server.subscription, group=group, base_url=server.url)


@pytest.fixture
def server() -> Iterator[AzureServer]:
    """Two addresses to a page."""
    with AzureServer(page_size=2) as running:
        yield running
        assert describe_azure_faults(running) == []


@pytest.fixture(params=["memory", "azure"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "memory":
        yield MemoryRig()
        return
    server = request.getfixturevalue("server")
    yield AzureRig(server, azure_addresses(server))


def test_addresses_are_listed_across_pages_in_the_order_of_their_ids(rig: Rig) -> None:
    ids = [rig.add(f"Ip-{number}") for number in (3, 1, 4, 0, 2)]

    assert [address.id for address in rig.addresses.list()] == sorted(ids)
    assert rig.addresses.list()[0].name == "Ip-0"


def test_an_address_tells_what_it_is_billed_by(rig: Rig) -> None:
    rig.add("a", used=True)
    rig.add("b", sku="Basic", static=False)
    rig.add("c", version=6)

    found = [(one.name, one.sku, one.static, one.version, one.used) for one in rig.addresses.list()]

    assert found == [
        ("a", "Standard", True, 4, True),
        ("b", "Basic", False, 4, False),
        ("c", "Standard", True, 6, False),
    ]


def test_no_address_is_an_empty_list(rig: Rig) -> None:
    assert rig.addresses.list() == []


def test_of_one_group_only_its_own_are_listed(server: AzureServer) -> None:
    server.add_address("chat")
    server.add_address("other", group="elsewhere")

    for group, names in (("ROCKETCHAT", ["chat"]), ("elsewhere", ["other"]), ("", ["other", "chat"])):
        assert [address.name for address in azure_addresses(server, group=group).list()] == names


def test_a_missing_role_is_a_refusal_and_an_outage_is_not(server: AzureServer) -> None:
    addresses = azure_addresses(server)
    server.faults.forbid()
    with pytest.raises(Refused) as caught:
        addresses.list()
    assert caught.value.value == "AuthorizationFailed"
    server.faults.answer(500, "InternalServerError", times=10)
    with pytest.raises(Unavailable):
        addresses.list()


def test_an_address_with_everything_left_out_is_one_that_nobody_has() -> None:
    identity = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/publicIPAddresses/Old"
    found = parse_address({"id": identity, "name": "Old", "location": "westeurope"})

    assert (found.id, found.sku, found.static, found.used) == (identity.lower(), "Basic", False, False)
    with pytest.raises(UsageError):
        parse_address({"id": identity.replace("publicIPAddresses", "networkInterfaces"), "name": "x"})
