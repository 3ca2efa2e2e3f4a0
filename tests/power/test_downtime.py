"""What the newest tick says of planned downtime; what is old, failed or alarming says nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.notifications import MemoryNotifications
from shared.notifications.ports import Notice
from shared.power.downtime import FRESH, find_off, find_planned_downtimes, find_server_up_since
from shared.power.last_tick import SeenMachine, load_last_tick, run_recorded_tick
from shared.power.model import PowerStatus

NOW = datetime(2026, 3, 2, 20, tzinfo=UTC)
GRACE = timedelta(minutes=15)
OFF = SeenMachine(
    "rocketchat", PowerStatus.DEALLOCATED, False, NOW - timedelta(hours=1), None, ("outside of its windows",),
    False, "", NOW - timedelta(minutes=5),
)  # fmt: skip
UP = replace(OFF, state=PowerStatus.RUNNING, desired_up=True)


@pytest.mark.parametrize(
    ("change", "planned"),
    [
        pytest.param({}, True, id="off as it should be"),
        pytest.param({"state": PowerStatus.DEALLOCATING}, True, id="being stopped"),
        pytest.param({"state": PowerStatus.RUNNING}, False, id="runs although it should be off"),
        pytest.param({"state": PowerStatus.STOPPED}, False, id="stopped by its guest"),
        pytest.param({"state": PowerStatus.UNKNOWN}, False, id="unknown"),
        pytest.param({"state": PowerStatus.MISSING}, False, id="missing"),
        pytest.param({"alarm": True}, False, id="somebody should look"),
        pytest.param({"error": "refused"}, False, id="nothing could be done"),
        pytest.param({"seen": NOW - FRESH - timedelta(seconds=1)}, False, id="an old record"),
        pytest.param({"seen": NOW - FRESH}, True, id="just young enough"),
        pytest.param({"desired_up": True}, False, id="off although it should be up"),
        pytest.param({"desired_up": True, "desired_since": NOW - timedelta(minutes=14)}, True, id="starting"),
        pytest.param({"desired_up": True, "desired_since": NOW - GRACE}, False, id="should be up by now"),
        pytest.param({"desired_up": True, "desired_since": None}, False, id="since nobody knows when"),
        pytest.param({"desired_up": True, "desired_since": NOW + GRACE}, False, id="since a time ahead"),
    ],
)
def test_planned_downtime(change: dict[str, object], planned: bool) -> None:
    machine = replace(OFF, **change)  # type: ignore[arg-type]
    assert find_planned_downtimes([machine], NOW, GRACE) == ([machine] if planned else [])


def test_the_server_is_up_since_it_should_be() -> None:
    assert find_server_up_since([UP], NOW) == NOW - timedelta(hours=1)
    assert find_server_up_since([OFF], NOW) is None
    assert find_server_up_since([UP, replace(OFF, machine="other")], NOW) is None


@pytest.mark.parametrize(
    "machines",
    [
        pytest.param([], id="no machine"),
        pytest.param([replace(OFF, seen=NOW - timedelta(hours=1))], id="an old record"),
        pytest.param([replace(OFF, alarm=True)], id="an alarm"),
    ],
)
def test_where_nothing_is_known_the_server_should_be_up_long_since(machines: list[SeenMachine]) -> None:
    found = find_server_up_since(machines, NOW)
    assert found is not None
    assert found < NOW - timedelta(days=365)


@pytest.mark.parametrize(
    ("state", "off"),
    [(PowerStatus.DEALLOCATED, True), (PowerStatus.STOPPED, True), (PowerStatus.STOPPING, True),
     (PowerStatus.RUNNING, False), (PowerStatus.STARTING, False), (PowerStatus.UNKNOWN, False)],
)  # fmt: skip
def test_nothing_on_a_machine_that_is_off_answers(state: PowerStatus, off: bool) -> None:
    machine = replace(OFF, state=state, alarm=True)
    assert bool(find_off([machine], NOW)) is off
    assert not find_off([replace(machine, seen=NOW - timedelta(hours=1))], NOW)


class Watching(MemoryNotifications):
    """Notes what was on record of the machine when people were told."""

    def __init__(self, world) -> None:
        super().__init__(world.clock)
        self.state, self.seen = world.state, []

    def notify(self, notice: Notice) -> bool:
        (one,) = load_last_tick(self.state)
        self.seen.append((notice.title, one.state))
        return super().notify(notice)


def test_a_machine_that_came_up_is_on_record_before_people_are_told(world, at) -> None:
    world.add()
    world.notifications = Watching(world)
    world.clock.set(at("6:55"))
    while world.clock.now() < at("7:20"):
        run_recorded_tick(world.job())
        world.clock.advance(timedelta(minutes=5))
    assert world.notifications.seen == [("rocketchat is up after 5 min", PowerStatus.RUNNING)]


def test_a_record_of_the_last_tick_that_cannot_be_read_keeps_no_machine_from_being_seen_to(world, at) -> None:
    world.add()
    world.clock.set(at("7:00"))
    world.state.create("power/last.json", b"[")
    run_recorded_tick(world.job())
    assert world.machines.calls["begin_start"] == 1
    assert load_last_tick(world.state)[0].state is PowerStatus.DEALLOCATED
