"""One suite for `ActivityLog`: the fake, and the adapter over the stand-in of Azure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Protocol

import pytest

from local.azure_rm import AzureServer
from local.azure_rm.activity import APP
from local.fakes.activity import MemoryActivityLog
from local.fakes.clock import ManualClock
from local.fakes.disks import resource_id
from shared.adapters.azure_activity import AzureActivityLog, connect, parse_event
from shared.cloud.activity import ActivityEvent, ActivityLog
from shared.kernel.errors import Refused, Unavailable
from tests.local.azure_rm.published import describe_azure_faults

MINUTE = timedelta(minutes=1)
VM = resource_id("virtualmachines", "chat")
OTHER = resource_id("virtualmachines", "chat2")
DEALLOCATE = "microsoft.compute/virtualmachines/deallocate/action"


class Rig(Protocol):
    log: ActivityLog
    clock: ManualClock

    def add(self, about: str, event: ActivityEvent) -> None: ...
    def delay(self, by: timedelta) -> None: ...


class MemoryRig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fake = MemoryActivityLog(self.clock)
        self.log: ActivityLog = self.fake

    def add(self, about: str, event: ActivityEvent) -> None:
        self.fake.add(about, event)

    def delay(self, by: timedelta) -> None:
        self.fake.delay = by


class AzureRig:
    def __init__(self, server: AzureServer, clock: ManualClock, log: ActivityLog) -> None:
        self.server, self.clock, self.log = server, clock, log

    def add(self, about: str, event: ActivityEvent) -> None:
        shouted = about.replace("/resourcegroups/rocketchat/", "/resourceGroups/ROCKETCHAT/")
        entries = self.server.world.activity
        if event.unavailable:
            entries.add_health(shouted, event.at, event.cause, event.title)
        else:
            entries.add_operation(shouted, event.operation, event.caller, [(event.at, event.status)])

    def delay(self, by: timedelta) -> None:
        self.server.world.activity.delay = by


def azure_log(server: AzureServer) -> AzureActivityLog:
    """The adapter."""
    return connect(server.credential(), server.subscription, base_url=server.url)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[AzureServer]:
    """Two entries to a page."""
    with AzureServer(clock=clock, page_size=2) as running:
        yield running
        assert describe_azure_faults(running) == []


@pytest.fixture(params=["memory", "azure"])
def rig(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Rig]:
    if request.param == "memory":
        yield MemoryRig()
        return
    server = request.getfixturevalue("server")
    yield AzureRig(server, clock, azure_log(server))


def stop(at: datetime, caller: str = "ana@example.com", status: str = "Succeeded") -> ActivityEvent:
    return ActivityEvent(at, DEALLOCATE, status, "", caller)


def test_entries_of_one_machine_come_oldest_first_across_pages(rig: Rig) -> None:
    now = rig.clock.now()
    for minute in (4, 3, 2, 1, 0):
        rig.add(VM, stop(now - minute * MINUTE, f"p{minute}@example.com"))
    rig.add(OTHER, stop(now))

    found = rig.log.list_events(VM.upper(), now - timedelta(hours=1), now)

    assert [event.caller for event in found] == [f"p{minute}@example.com" for minute in (4, 3, 2, 1, 0)]
    assert {(event.operation, event.status) for event in found} == {(DEALLOCATE, "Succeeded")}


def test_entries_outside_of_the_time_asked_for_are_left_out(rig: Rig) -> None:
    now = rig.clock.now()
    for minute in (5, 3, 1):
        rig.add(VM, stop(now - minute * MINUTE))

    found = rig.log.list_events(VM, now - 4 * MINUTE, now - 2 * MINUTE)

    assert [event.at for event in found] == [now - 3 * MINUTE]


def test_an_entry_shows_up_late(rig: Rig) -> None:
    rig.delay(10 * MINUTE)
    at = rig.clock.now()
    rig.add(VM, stop(at))
    rig.clock.advance(9 * MINUTE)
    assert rig.log.list_events(VM, at - MINUTE, rig.clock.now()) == []
    rig.clock.advance(MINUTE)
    assert len(rig.log.list_events(VM, at - MINUTE, rig.clock.now())) == 1


def test_a_change_of_health_tells_its_cause_and_nobody_who_called(rig: Rig) -> None:
    now = rig.clock.now()
    rig.add(VM, ActivityEvent(now, "", cause="PlatformInitiated", title="An event", unavailable=True))

    (event,) = rig.log.list_events(VM, now - MINUTE, now)

    assert (event.cause, event.title, event.unavailable, event.caller) == (
        "PlatformInitiated",
        "An event",
        True,
        "",
    )


def test_our_own_stop_is_in_the_log_under_the_object_id_of_the_app(
    server: AzureServer, clock: ManualClock
) -> None:
    from local.azure_rm.sdk import real_client

    vm = server.add_vm("chat")
    real_client(server).virtual_machines.begin_deallocate("rocketchat", "chat", polling=False)
    clock.advance(MINUTE)
    found = azure_log(server).list_events(vm.id, clock.now() - 5 * MINUTE, clock.now())

    assert {(event.operation, event.caller) for event in found} == {(DEALLOCATE, APP)}
    assert [event.status for event in found][-1] == "Succeeded"
    assert len({event.operation_id for event in found}) == 1


def test_a_missing_right_is_a_refusal_and_an_outage_is_not(server: AzureServer, clock: ManualClock) -> None:
    log = azure_log(server)
    server.faults.forbid()
    with pytest.raises(Refused) as caught:
        log.list_events(VM, clock.now(), clock.now())
    assert caught.value.value == "AuthorizationFailed"
    server.faults.answer(500, "InternalServerError", times=10)
    with pytest.raises(Unavailable):
        log.list_events(VM, clock.now(), clock.now())


def test_what_is_no_event_and_what_is_about_another_resource_is_left_out(clock: ManualClock) -> None:
    at = clock.now().isoformat()

    class Client:
        """What a service would answer that does not keep to its filter."""

        def list_resources(self, *_arguments: Any, **_options: Any) -> list[Any]:
            return [
                {"resourceId": OTHER, "eventTimestamp": at},
                {"resourceId": VM, "eventTimestamp": "yesterday"},
                {"resourceId": VM.upper(), "eventTimestamp": at, "operationName": "Plain/Text"},
            ]

    log = AzureActivityLog(Client())  # type: ignore[arg-type]
    assert [e.operation for e in log.list_events(VM, clock.now(), clock.now())] == ["plain/text"]


def test_an_entry_is_cut_to_what_is_needed() -> None:
    entry = {
        "resourceId": VM,
        "eventTimestamp": "2026-03-02T10:00:00.1234567Z",
        "properties": {"title": "a\n b" + "x" * 500, "currentHealthStatus": "Available", "cause": None},
        "operationName": {"value": "Microsoft.Compute/virtualMachines/Start/action", "localizedValue": "x"},
        "correlationId": "c",
    }
    about, event = parse_event(entry)

    assert about == VM
    assert event is not None
    assert event.title.startswith("a bx")
    assert len(event.title) == 160
    assert (event.operation_id, event.cause, event.unavailable) == ("c", "", False)
