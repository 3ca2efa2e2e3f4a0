"""The real Azure, asked read-only and only on request: the adapters must understand what it answers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from azure.core.credentials import TokenCredential

from shared.adapters import aks, azure_disks, azure_prices, azure_vms
from shared.azure.sdk import identity
from shared.cloud.machines import PowerState
from shared.cloud.prices import PriceKind

SUBSCRIPTION = os.environ.get("AZURE_SUBSCRIPTION_ID", "")
pytestmark = pytest.mark.skipif(
    not (SUBSCRIPTION and os.environ.get("GROUNDCREW_TEST_AZURE")),
    reason="the real Azure is asked only if AZURE_SUBSCRIPTION_ID and GROUNDCREW_TEST_AZURE are set",
)


@pytest.fixture
def credential() -> Iterator[TokenCredential]:
    """Whoever is signed in."""
    yield identity()


def test_it_tells_the_states_of_all_machines_it_lists(credential: TokenCredential) -> None:
    machines = azure_vms.connect(credential, SUBSCRIPTION)

    states = machines.list_states()

    assert set(states) == {machine.id for machine in machines.list()}
    for machine in list(states)[:3]:
        assert machines.get_state(machine).power is not PowerState.UNKNOWN


def test_it_tells_the_states_of_all_clusters_it_lists(credential: TokenCredential) -> None:
    clusters = aks.connect(credential, SUBSCRIPTION)

    assert set(clusters.list_states()) == {cluster.id for cluster in clusters.list()}


def test_it_lists_disks_and_snapshots_with_what_pruning_needs(credential: TokenCredential) -> None:
    disks = azure_disks.connect(credential, SUBSCRIPTION)

    assert all(disk.size_gb > 0 and disk.sku for disk in disks.list())
    assert all(snapshot.created.year < 9000 for snapshot in disks.list_snapshots())


def test_it_sells_the_machine_by_the_hour_and_cheaper_for_three_years() -> None:
    sold = azure_prices.connect("EUR").list_machine_prices("Standard_D4ads_v5", "westeurope")

    plain = [price for price in sold if price.kind is PriceKind.PAY_AS_YOU_GO and not price.windows]
    reserved = [price for price in sold if price.kind is PriceKind.RESERVATION and price.term_years == 3]
    assert len(plain) == len(reserved) == 1
    assert reserved[0].amount < plain[0].amount
