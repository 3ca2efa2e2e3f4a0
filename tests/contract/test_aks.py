"""The adapter for AKS clusters over the stand-in of Azure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from local.azure_rm import AzureServer
from local.fakes.clock import ManualClock
from shared.adapters import aks
from shared.cloud.machines import NodePool, PowerState, PowerSwitch
from shared.kernel.errors import Conflict, NotFound, Refused, Unavailable
from tests.local.azure_rm.published import describe_azure_faults

MINUTE = timedelta(minutes=1)


@pytest.fixture
def server() -> Iterator[AzureServer]:
    """Starts and stops take a minute; two clusters to a page."""
    delays = {"managedClusters/start": MINUTE, "managedClusters/stop": MINUTE}
    with AzureServer(clock=ManualClock(), delays=delays, page_size=2) as running:
        yield running
        assert describe_azure_faults(running) == []


@pytest.fixture
def clusters(server: AzureServer) -> PowerSwitch:
    """The adapter."""
    return aks.connect(server.credential(), server.subscription, base_url=server.url)


def test_a_cluster_is_stopped_and_started_again(server: AzureServer, clusters: PowerSwitch) -> None:
    cluster = server.add_cluster("Production").id.lower()
    steps: list[tuple[PowerState, bool]] = []

    for begin in (clusters.begin_deallocate, clusters.begin_start):
        begin(cluster)
        steps.append((clusters.get_state(cluster).power, clusters.get_state(cluster).busy))
        server.advance(MINUTE)
        steps.append((clusters.get_state(cluster).power, clusters.get_state(cluster).busy))

    assert steps == [
        (PowerState.DEALLOCATING, True),
        (PowerState.DEALLOCATED, False),
        (PowerState.STARTING, True),
        (PowerState.RUNNING, False),
    ]


def test_all_clusters_are_listed_with_their_states(server: AzureServer, clusters: PowerSwitch) -> None:
    ids = [server.add_cluster(f"c{number}", power="Stopped").id.lower() for number in range(5)]

    assert [machine.id for machine in clusters.list()] == ids
    assert clusters.list()[0].size == "Standard_D4ads_v5"
    assert {state.power for state in clusters.list_states().values()} == {PowerState.DEALLOCATED}
    assert set(clusters.list_states()) == set(ids)


def test_a_cluster_that_is_busy_conflicts(server: AzureServer, clusters: PowerSwitch) -> None:
    cluster = server.add_cluster("production").id
    clusters.begin_deallocate(cluster)

    with pytest.raises(Conflict) as caught:
        clusters.begin_start(cluster)

    assert caught.value.value == "OperationNotAllowed"


def test_a_start_that_failed_shows(server: AzureServer, clusters: PowerSwitch) -> None:
    cluster = server.add_cluster("production", power="Stopped").id
    server.faults.fail_operation("managedClusters/start")

    clusters.begin_start(cluster)
    server.advance(MINUTE)

    assert clusters.get_state(cluster).failure == "Failed"
    assert clusters.get_state(cluster).power is PowerState.DEALLOCATED


def test_a_cluster_that_is_gone_is_not_found(server: AzureServer, clusters: PowerSwitch) -> None:
    cluster = server.add_cluster("production")
    server.world.remove(cluster)

    with pytest.raises(NotFound):
        clusters.begin_start(cluster.id)


def test_a_missing_role_is_a_refusal_and_an_outage_is_not(server: AzureServer, clusters: PowerSwitch) -> None:
    server.faults.forbid()
    with pytest.raises(Refused) as caught:
        clusters.list_states()
    assert caught.value.value == "AuthorizationFailed"

    server.faults.answer(500, "InternalServerError", times=10)
    with pytest.raises(Unavailable) as failed:
        clusters.list_states()
    assert failed.value.value == "InternalServerError"


def test_only_the_clusters_of_the_resource_group_are_seen_where_one_is_set() -> None:
    with AzureServer() as server:
        ours = server.add_cluster("chat", group="rocketchat").id.lower()
        server.add_cluster("chat", group="other")
        clusters = aks.connect(
            server.credential(), server.subscription, group="RocketChat", base_url=server.url
        )
        assert (list(clusters.list_states()), [one.id for one in clusters.list()]) == ([ours], [ours])


def test_a_cluster_tells_its_pools() -> None:
    identity = "/subscriptions/S/resourceGroups/G/providers/Microsoft.ContainerService/managedClusters/C"
    pools = [
        {"name": "system", "vmSize": "Standard_D4ads_v5", "count": 3, "osType": "Linux"},
        {"name": "burst", "vmSize": "Standard_D2ads_v5", "count": 1, "enableAutoScaling": True},
        {"name": "win", "vmSize": "Standard_D2ads_v5", "count": 1, "osType": "Windows"},
        {"name": "user"},
    ]
    cluster = {
        "id": identity, "name": "C", "location": "westeurope", "properties": {"agentPoolProfiles": pools}
    }  # fmt: skip
    assert aks.parse_cluster(cluster).pools == (
        NodePool("system", "Standard_D4ads_v5", 3),
        NodePool("burst", "Standard_D2ads_v5", 1, scales=True),
        NodePool("win", "Standard_D2ads_v5", 1, windows=True),
        NodePool("user", "", 0),
    )
    assert aks.parse_cluster({**cluster, "properties": {}}).pools == ()
