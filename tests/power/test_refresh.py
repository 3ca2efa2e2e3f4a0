"""MicroK8s' snap: held, and refreshed in a window of policy after a good snapshot of the same day."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.cloud.disks import Disk, Snapshot
from shared.cloud.machines import CommandResult, PowerState
from shared.kernel.errors import Unavailable, UsageError
from shared.notifications.ports import Severity
from shared.policy import parse_policy
from shared.power.guest import REFRESH_MARK, WATCH_MARK, watch_script
from shared.power.job import place_order
from shared.power.refresh import (
    HOLD_INTERVAL,
    REFRESH_LIMIT,
    RefreshProgress,
    RefreshState,
    find_unsnapped,
    judge_progress,
    needs_hold,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICY = """
timezone: Europe/Berlin
backup: {when_vm_off: skip}
power:
  machines: [{name: rocketchat, windows: [Mon-Fri 07:00-19:00]}]
  refresh_windows: ["Mon 10:00-11:00"]
snapshots: {disks: groundcrew=snapshot}
"""


DONE = "groundcrew:change_status=Done\ngroundcrew:ready=yes\ngroundcrew:snap=7002\n"
NOT_READY = "MicroK8s is not ready after its refresh"


def in_the_window(make_world, at):
    """Monday at 10:00, where snapd says of a second request what it says: in progress, then nothing newer."""
    world = morning_of(make_world, at)
    world.refreshed = 0
    guest = world.machines.on_command

    def snapd(machine: str, script: str) -> CommandResult:
        if not script.startswith(REFRESH_MARK):
            return guest(machine, script)
        world.refreshed += not world.refreshed
        # The first answer may be lost; of the change in progress snapd tells no number.
        answer = world.snap_says[REFRESH_MARK]
        world.snap_says[REFRESH_MARK] = "groundcrew:refresh=none\ngroundcrew:snap=7002\n"
        return CommandResult(answer, "", 0)

    world.machines.on_command = snapd
    world.clock.set(at("10:00"))
    return world


@pytest.fixture
def morning(make_world, at):
    """See `morning_of`."""
    return morning_of(make_world, at)


def morning_of(make_world, at):
    """Monday at 9:50; the machine runs since 7, and both of its disks have a snapshot of 3 o'clock."""
    world = make_world(POLICY)
    world.add()
    world.run(at("7:10"))
    for name in ("system", "data"):
        disk = world.disks.add_disk(name, attached_to=world.id)
        world.disks.add_snapshot(f"{name}-1", disk, created=at("3:00"))
    world.clock.set(at("9:50"))
    world.notifications.told.clear()
    return world


def titles(world) -> list[str]:
    return [title.removeprefix("rocketchat: ") for title in world.notifications.titles if "MicroK8s" in title]


def test_it_is_refreshed_once_in_its_window_watched_and_told(morning, at) -> None:
    morning.run(at("9:55"))
    assert "refresh" not in morning.snap_scripts
    morning.run(at("12:00"))
    assert morning.snap_scripts.count("refresh") == 1
    assert titles(morning) == ["MicroK8s is being refreshed", "MicroK8s was refreshed"]
    assert "Revision 7002 instead of 7001" in morning.notifications.told[-1].text
    assert morning.record.node["snap"] == "7002"
    assert not morning.job().inventory.holds.list_in_force()
    # A week later it is tried again.
    for name in ("system", "data"):
        disk = next(one.id for one in morning.disks.list() if one.name == name)
        morning.disks.add_snapshot(f"{name}-2", disk, created=at("3:00", 9))
    morning.clock.set(at("9:59", 9))
    morning.run(at("10:20", 9))
    assert morning.snap_scripts.count("refresh") == 2


@pytest.mark.parametrize("lacking", ["none at all", "of yesterday", "one disk without"])
def test_without_a_good_snapshot_of_today_nothing_is_refreshed_and_that_is_told_once(
    make_world, at, lacking: str
) -> None:
    world = make_world(POLICY)
    world.add()
    world.run(at("7:10"))
    disk = world.disks.add_disk("data", attached_to=world.id)
    if lacking == "of yesterday":
        world.disks.add_snapshot("old", disk, created=at("23:59", 1))
    if lacking == "one disk without":
        world.disks.add_snapshot(
            "new", world.disks.add_disk("system", attached_to=world.id), created=at("3:00")
        )
    world.clock.set(at("9:55"))
    world.notifications.told.clear()
    world.run(at("12:00"))
    assert "refresh" not in world.snap_scripts
    assert titles(world) == ["MicroK8s was not refreshed in its window"]
    assert "no good snapshot of today: data" in world.notifications.told[-1].text


def test_a_snapshot_that_comes_during_the_window_counts(morning, at) -> None:
    late = morning.disks.add_disk("late", attached_to=morning.id)
    morning.run(at("10:20"))
    assert "refresh" not in morning.snap_scripts
    morning.disks.add_snapshot("late-1", late, created=at("10:21"))
    morning.clock.set(at("10:25"))
    morning.tick()
    assert "refresh" in morning.snap_scripts


def test_work_in_flight_puts_it_off(morning, at) -> None:
    morning.job().inventory.holds.add_hold("backup/x", "backup", timedelta(minutes=30))
    morning.run(at("10:15"))
    assert "refresh" not in morning.snap_scripts
    morning.run(at("10:30"))
    assert "refresh" in morning.snap_scripts


def test_a_machine_that_is_off_or_about_to_stop_is_not_refreshed(morning, at) -> None:
    place_order(morning.job(), "", "off from 10:40 until 18:00", by="ana")
    morning.clock.set(at("10:00"))
    outcome = morning.tick()
    assert "MicroK8s is not refreshed yet: the machine stops at" in outcome.done
    morning.run(at("11:05"))
    assert morning.snap_scripts.count("refresh") == 0
    assert titles(morning) == ["MicroK8s was not refreshed in its window"]


def test_a_refresh_holds_the_machine_up_and_is_watched_to_its_end(morning, at) -> None:
    morning.snap_says[WATCH_MARK] = "groundcrew:change_status=Doing\n"
    morning.run(at("10:05"))
    place_order(morning.job(), "", "off for 5h", by="ana")
    outcome = morning.run(at("10:30"))[-1]
    assert morning.power is PowerState.RUNNING
    assert "held by refresh of MicroK8s" in str(outcome.decision)
    morning.snap_says[WATCH_MARK] = (
        "groundcrew:change_status=Done\ngroundcrew:ready=yes\ngroundcrew:snap=7002\n"
    )
    morning.run(at("11:30"))
    assert morning.power is PowerState.DEALLOCATED
    assert "MicroK8s was refreshed" in titles(morning)


@pytest.mark.parametrize(
    ("answer", "healthy", "title", "severity"),
    [
        ("change_status=Error", True, "the refresh of MicroK8s failed", Severity.WARNING),
        ("change_status=Doing", True, NOT_READY, Severity.CRITICAL),
        ("change_status=Done", True, NOT_READY, Severity.CRITICAL),
        ("change_status=Done\ngroundcrew:ready=yes", False, NOT_READY, Severity.CRITICAL),
        ("", True, NOT_READY, Severity.CRITICAL),
    ],
    ids=["failed", "for ever", "never ready", "chat unwell", "no answer"],
)  # fmt: skip
def test_a_refresh_that_does_not_end_well_is_told_as_that(
    morning, at, answer: str, healthy: bool, title: str, severity: Severity
) -> None:
    morning.snap_says[WATCH_MARK] = f"groundcrew:{answer}\n"
    morning.run(at("10:00"))
    morning.services = healthy
    morning.stopped_at = at("23:00")
    morning.run(at("11:30"))
    assert titles(morning) == ["MicroK8s is being refreshed", title]
    assert morning.notifications.told[-1].severity is severity
    assert morning.snap_scripts.count("refresh") == 1


def test_nothing_newer_is_told_to_nobody(morning, at) -> None:
    morning.snap_says[REFRESH_MARK] = "groundcrew:refresh=none\ngroundcrew:snap=7001\n"
    morning.run(at("11:30"))
    assert morning.snap_scripts.count("refresh") == 1
    assert titles(morning) == []


def test_snapd_that_refuses_is_told(morning, at) -> None:
    morning.snap_says[REFRESH_MARK] = "groundcrew:problem=snap refresh: error: cannot reach the store\n"
    morning.run(at("11:30"))
    assert titles(morning) == ["the refresh of MicroK8s failed"]
    assert "cannot reach the store" in morning.notifications.told[-1].text


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_it_is_refreshed_once_and_told(make_world, at, when) -> None:
    plan, step = FaultPlan(), 0
    while step == 0 or plan.is_dead:
        world = in_the_window(make_world, at)
        plan = FaultPlan(Fault(Killed(), step=step, when=when))
        with suppress(Killed):
            world.tick(plan)
        if plan.is_dead:
            world.die()
        world.run(at("11:30"))
        told = f"killed {when} step {step}: {plan.steps[-1]}"
        assert world.refreshed == 1, told
        assert titles(world)[-1] == "MicroK8s was refreshed", told
        assert not world.job().inventory.holds.list_in_force(), told
        step += 1
    assert step > 10


def test_snapshots_that_cannot_be_listed_are_no_snapshots(morning, at) -> None:
    morning.clock.set(at("10:00"))
    outcome = morning.tick(FaultPlan(Fault(Unavailable("no answer"), operation="disks.list_snapshots")))
    assert "snapshots cannot be seen: no answer" in outcome.done
    assert "refresh" not in morning.snap_scripts


def test_refreshes_are_held_without_any_window_and_looked_at_once_a_month(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("9:00"))
    world.tick()
    world.clock.set(at("9:05"))
    world.tick()
    assert world.snap_scripts == ["hold"]
    world.clock.set(at("9:00") + HOLD_INTERVAL)
    world.tick()
    assert world.snap_scripts == ["hold", "hold"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (POLICY.replace("snapshots: {disks: groundcrew=snapshot}", ""), "needs snapshots"),
        (POLICY.replace("Mon 10:00-11:00", "Sun 10:00-11:00"), "no machine with MicroK8s is up"),
        (POLICY.replace("19:00]}", "19:00], carries: []}"), "no machine with MicroK8s"),
    ],
    ids=["no snapshots", "off then", "carries nothing"],
)  # fmt: skip
def test_a_window_in_which_nothing_can_be_refreshed_is_a_mistake(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_policy(text)


def snapshot(disk: str, created: datetime, **more) -> Snapshot:
    return Snapshot(f"{disk}-s", "s", "g", "westeurope", disk, created, 128, **more)


@pytest.mark.parametrize(
    ("created", "more", "missing"),
    [
        (NOW - timedelta(hours=1), {}, []),
        (NOW, {}, []),
        (NOW + timedelta(minutes=1), {}, ["data"]),
        (datetime(2026, 3, 1, 23, 0, tzinfo=UTC), {}, []),  # midnight in Berlin
        (datetime(2026, 3, 1, 22, 59, tzinfo=UTC), {}, ["data"]),
        (NOW, {"provisioned": False}, ["data"]),
        (NOW, {"complete_percent": 99.9}, ["data"]),
    ],
)
def test_which_snapshot_secures_a_disk(
    created: datetime, more: dict[str, object], missing: list[str]
) -> None:
    disk = Disk("/Disks/data", "data", "g", "westeurope", "Premium_LRS", 128, attached_to="/VMs/Chat")
    other = Disk("/Disks/x", "x", "g", "westeurope", "Premium_LRS", 128, attached_to="/VMs/other")
    taken = [snapshot("/disks/DATA", created, **more)]
    assert find_unsnapped([disk, other], taken, "/vms/chat", BERLIN, NOW) == missing
    assert find_unsnapped([other], taken, "/vms/chat", BERLIN, NOW) == ["(none is seen)"]


@pytest.mark.parametrize(
    ("status", "ready", "healthy", "after", "expected"),
    [
        ("Done", True, True, REFRESH_LIMIT, RefreshProgress.DONE),
        ("Done", False, True, timedelta(minutes=5), RefreshProgress.RUNNING),
        ("Done", True, False, timedelta(minutes=5), RefreshProgress.RUNNING),
        ("Doing", True, True, timedelta(minutes=44), RefreshProgress.RUNNING),
        ("Doing", True, True, REFRESH_LIMIT, RefreshProgress.STUCK),
        ("unknown", True, True, REFRESH_LIMIT, RefreshProgress.STUCK),
        ("Undone", True, True, timedelta(), RefreshProgress.FAILED),
    ],
)
def test_how_far_a_refresh_is(
    status: str, ready: bool, healthy: bool, after: timedelta, expected: RefreshProgress
) -> None:
    state = RefreshState(begun=NOW - after)
    assert judge_progress(state, status, NOW, ready=ready, healthy=healthy) is expected


def test_a_hold_is_looked_at_when_it_was_never_seen_or_is_old() -> None:
    assert needs_hold(RefreshState(), NOW)
    assert not needs_hold(RefreshState(held=NOW - HOLD_INTERVAL + timedelta(minutes=1)), NOW)
    assert needs_hold(RefreshState(held=NOW - HOLD_INTERVAL), NOW)


@pytest.mark.parametrize("change", ["42; rm -rf /", "-1", "", "4²"])
def test_only_a_number_goes_into_the_script(change: str) -> None:
    with pytest.raises(ValueError, match="no number of a change"):
        watch_script(change)
