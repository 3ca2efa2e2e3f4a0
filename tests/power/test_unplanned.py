"""A machine that goes off while it should run: who did it is asked, a person is respected, Azure is not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.cloud.activity import ActivityEvent
from shared.cloud.machines import PowerState
from shared.kernel.errors import Refused
from shared.power import job as power
from shared.power.attempts import Act, Attempt
from shared.power.availability import offline_reason
from shared.power.unplanned import (
    StopCause,
    UnplannedStop,
    attribute_stop,
    mark_undone,
    without_own_stops,
)

MINUTE = timedelta(minutes=1)
COMPUTE = "microsoft.compute/virtualmachines"
DEALLOCATE = f"{COMPUTE}/deallocate/action"
EVICT = f"{COMPUTE}/evictspotvm/action"
START = f"{COMPUTE}/start/action"


@pytest.fixture
def running(world, at):
    """The machine at 10:00 of a working day, up since 7:00."""
    world.add()
    world.run(at("10:00"))
    world.notifications.told.clear()
    return world


def go_off(world, state: PowerState, *events: ActivityEvent) -> None:
    world.clock.advance(MINUTE)
    world.machines.set_power(world.id, state)
    for event in events:
        world.activity.add(world.id, event)
    world.clock.advance(MINUTE)


def stopped_by(world, caller: str, operation: str = DEALLOCATE) -> ActivityEvent:
    return ActivityEvent(world.clock.now() + MINUTE, operation, "Succeeded", "op", caller)


def health(world, cause: str, title: str = "It stopped") -> ActivityEvent:
    return ActivityEvent(world.clock.now() + MINUTE, "", "Active", "h", "", cause, title, unavailable=True)


def test_what_a_person_stopped_stays_off_until_the_next_window(running, at) -> None:
    go_off(running, PowerState.DEALLOCATED, stopped_by(running, "ana@example.com"))
    outcome = running.tick()
    assert outcome.decision.act is Act.NONE
    assert "stopped by ana@example.com at Mon 2026-03-02 10:01" in outcome.decision.reasons[-1]
    running.run(at("18:55"))
    assert running.power is PowerState.DEALLOCATED
    assert running.notifications.titles == ["rocketchat was stopped by ana@example.com"]
    running.clock.set(at("6:50", 3))
    running.run(at("7:10", 3))
    assert running.power is PowerState.RUNNING
    assert running.record.unplanned is None


def test_an_order_starts_what_a_person_stopped(running, at) -> None:
    go_off(running, PowerState.DEALLOCATED, stopped_by(running, "ana@example.com"))
    running.tick()
    power.place_order(running.job(), "rocketchat", "up until 22:00", by="ben")
    running.run(at("10:20"))
    assert running.power is PowerState.RUNNING


def test_a_persons_stop_is_respected_also_where_this_program_never_started_the_machine(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("9:00"))
    world.tick()
    power.place_order(world.job(), "rocketchat", "up until 22:00", by="ben")
    world.run(at("10:00"))
    go_off(world, PowerState.DEALLOCATED, stopped_by(world, "ana@example.com"))
    world.run(at("12:00"))
    assert world.power is PowerState.DEALLOCATED
    assert world.machines.calls["begin_start"] == 0


def test_another_program_is_somebodys_will_too(running, at) -> None:
    go_off(running, PowerState.DEALLOCATED, stopped_by(running, "8c1f0c3e-0000-4000-8000-00000000aaaa"))
    running.run(at("12:00"))
    assert running.power is PowerState.DEALLOCATED
    assert running.notifications.titles == [
        "rocketchat was stopped by a program (object id 8c1f0c3e-0000-4000-8000-00000000aaaa)"
    ]


def test_an_eviction_is_undone_and_told(running, at) -> None:
    event = ActivityEvent(running.clock.now() + MINUTE, EVICT, "Succeeded", "e")
    go_off(running, PowerState.DEALLOCATED, event)
    running.run(at("10:20"))
    assert running.power is PowerState.RUNNING
    assert running.notifications.titles[0] == "rocketchat was stopped by Azure (Spot eviction)"
    assert running.notifications.titles[-1].startswith("rocketchat is up after")


def test_a_lost_host_is_undone(running, at) -> None:
    go_off(running, PowerState.DEALLOCATED, health(running, "PlatformInitiated", "An unexpected event"))
    running.run(at("10:20"))
    assert running.power is PowerState.RUNNING
    assert running.notifications.titles[0] == "rocketchat was stopped by Azure (An unexpected event)"


def test_evicted_again_and_again_it_is_started_with_growing_pauses(running, at) -> None:
    starts = running.machines.calls["begin_start"]
    while running.clock.now() < at("16:00"):
        if running.power is PowerState.RUNNING:
            event = ActivityEvent(running.clock.now() + MINUTE, EVICT, "Succeeded", "e")
            go_off(running, PowerState.DEALLOCATED, event)
        running.tick()
        running.clock.advance(5 * MINUTE)
    # Six hours would have place for thirty starts; the pauses end at an hour.
    assert 7 <= running.machines.calls["begin_start"] - starts <= 12


def test_poweroff_in_the_guest_is_left_off_and_told_to_be_billed(running, at) -> None:
    go_off(running, PowerState.STOPPED, health(running, "UserInitiated"))
    running.run(at("12:00"))
    assert running.power is PowerState.STOPPED
    (notice,) = running.notifications.told
    assert "shut down from inside" in notice.text
    assert "billed until it is deallocated" in notice.text
    running.run(at("19:20"))
    assert running.power is PowerState.DEALLOCATED


def test_entries_that_come_late_are_waited_for(running, at) -> None:
    running.activity.delay = timedelta(minutes=20)
    go_off(running, PowerState.DEALLOCATED, ActivityEvent(running.clock.now() + MINUTE, EVICT, "Succeeded"))
    outcome = running.tick()
    assert outcome.decision.act is Act.WAIT
    assert "does not say yet" in outcome.decision.reasons[-1]
    assert not running.notifications.told
    running.run(at("10:40"))
    assert running.power is PowerState.RUNNING


@pytest.mark.parametrize("readable", [True, False])
def test_what_nobody_is_named_for_is_left_off_and_told_after_a_while(running, at, readable) -> None:
    running.activity.failure = None if readable else Refused("Read the activity log: not authorised")
    go_off(running, PowerState.DEALLOCATED)
    running.run(at("10:27"))
    assert not running.notifications.told
    running.run(at("18:50"))
    assert running.power is PowerState.DEALLOCATED
    assert {n.title for n in running.notifications.told} == {"rocketchat went off while it should run"}
    assert "does not say who stopped it" in running.notifications.told[0].text


def test_without_a_log_to_ask_it_is_left_off_and_told(running, at) -> None:
    go_off(running, PowerState.DEALLOCATED)
    job = running.job()
    inventory = type(job.inventory)(**{**job.inventory.__dict__, "activity": None})
    (seen,) = inventory.observe(inventory.targets("vm"))
    assert seen.decision.act is Act.WAIT
    assert seen.record.unplanned is not None
    assert seen.record.unplanned.cause is StopCause.UNKNOWN


def test_a_job_that_needs_the_server_is_told_that_a_person_has_it_off(running) -> None:
    go_off(running, PowerState.DEALLOCATED, stopped_by(running, "ana@example.com"))
    running.tick()
    assert offline_reason(running.job().inventory).startswith("rocketchat is off (")
    running.activity.failure = Refused("no")


def test_one_that_was_started_by_hand_again_is_asked_about_anew(running, at) -> None:
    go_off(running, PowerState.DEALLOCATED, stopped_by(running, "ana@example.com"))
    running.tick()
    running.activity.add(running.id, ActivityEvent(running.clock.now(), START, "Succeeded", "s", "ana"))
    running.machines.set_power(running.id, PowerState.RUNNING)
    running.clock.advance(5 * MINUTE)
    running.tick()
    assert running.record.unplanned is None
    go_off(running, PowerState.DEALLOCATED, health(running, "PlatformInitiated"))
    running.run(at("10:40"))
    assert running.power is PowerState.RUNNING


def test_a_view_that_lags_behind_our_own_stop_is_no_unplanned_stop(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    world.run(at("19:00"))
    while world.power is not PowerState.DEALLOCATED:
        world.tick()
        world.clock.advance(MINUTE)
    world.machines.lag = timedelta(minutes=5)
    power.place_order(world.job(), "rocketchat", "up until 22:00", by="ben")
    world.run(world.clock.now() + timedelta(minutes=20))
    assert world.record.unplanned is None
    assert world.power is PowerState.RUNNING


def test_killed_before_the_record_it_is_told_all_the_same_and_once(running, at) -> None:
    go_off(running, PowerState.DEALLOCATED, stopped_by(running, "ana@example.com"))
    power.preview_tick(running.job())
    assert not running.notifications.told  # looking tells nobody and changes nothing
    running.tick()
    running.tick()
    assert len(running.notifications.told) == 1


# The verdict alone


@pytest.fixture
def verdict(at):
    def judge(*events: tuple[int, str, str, str, str]) -> UnplannedStop:
        """Events as minute, operation, status, operation id, caller; `cause` of health for the operation."""
        made = [
            ActivityEvent(
                at("10:00") + minute * MINUTE,
                "" if operation.endswith("Initiated") or operation == "Unknown" else operation,
                status,
                identity,
                caller,
                operation if operation.endswith("Initiated") or operation == "Unknown" else "",
                "",
                unavailable=operation.endswith("Initiated") or operation == "Unknown",
            )
            for minute, operation, status, identity, caller in events
        ]
        return attribute_stop(UnplannedStop(at("10:30")), made)

    return judge


ANA = "ana@example.com"


@pytest.mark.parametrize(
    ("events", "cause"),
    [
        pytest.param([], StopCause.UNKNOWN, id="nothing"),
        pytest.param([(0, DEALLOCATE, "Succeeded", "a", ANA)], StopCause.PERSON, id="a person"),
        pytest.param(
            [(0, f"{COMPUTE}/poweroff/action", "Accepted", "a", ANA)], StopCause.PERSON, id="not ended yet"
        ),
        pytest.param(
            [(0, DEALLOCATE, "Started", "a", ANA), (1, DEALLOCATE, "Failed", "a", ANA)],
            StopCause.UNKNOWN,
            id="a stop that failed stopped nothing",
        ),
        pytest.param(
            [(0, DEALLOCATE, "Failed", "a", ANA), (1, DEALLOCATE, "Succeeded", "b", ANA)],
            StopCause.PERSON,
            id="the second try",
        ),
        pytest.param([(0, EVICT, "Succeeded", "e", "")], StopCause.PLATFORM, id="evicted"),
        pytest.param(
            [(0, EVICT, "Succeeded", "e", ""), (3, DEALLOCATE, "Succeeded", "d", "f00d")],
            StopCause.PLATFORM,
            id="an eviction ends in a deallocation",
        ),
        pytest.param(
            [(0, EVICT, "Succeeded", "e", ""), (15, DEALLOCATE, "Succeeded", "d", ANA)],
            StopCause.PLATFORM,
            id="an eviction that takes its time",
        ),
        pytest.param(
            [(0, EVICT, "Succeeded", "e", ""), (16, DEALLOCATE, "Succeeded", "d", ANA)],
            StopCause.PERSON,
            id="stopped by a person right after an eviction",
        ),
        pytest.param(
            [(0, EVICT, "Failed", "e", ""), (0, "UserInitiated", "Active", "h", "")],
            StopCause.GUEST,
            id="an eviction that failed took nothing",
        ),
        pytest.param(
            [(5, "PlatformInitiated", "Active", "h", ""), (5, DEALLOCATE, "Succeeded", "a", ANA)],
            StopCause.PERSON,
            id="lost at the moment of the call",
        ),
        pytest.param(
            [(0, DEALLOCATE, "Succeeded", "a", ""), (9, "UserInitiated", "Active", "h", "")],
            StopCause.GUEST,
            id="a call of nobody, and health",
        ),
        pytest.param(
            [(5, START, "Succeeded", "s", ANA), (5, DEALLOCATE, "Succeeded", "a", ANA)],
            StopCause.UNKNOWN,
            id="a stop at the moment of a start",
        ),
        pytest.param(
            [(0, "PlatformInitiated", "Active", "h", ""), (4, "UserInitiated", "Active", "h", "")],
            StopCause.GUEST,
            id="the newest health",
        ),
        pytest.param(
            [(0, EVICT, "Succeeded", "e", ""), (20, DEALLOCATE, "Succeeded", "d", ANA)],
            StopCause.PERSON,
            id="stopped by a person long after an eviction",
        ),
        pytest.param([(0, "PlatformInitiated", "Active", "h", "")], StopCause.PLATFORM, id="a lost host"),
        pytest.param([(0, "UserInitiated", "Active", "h", "")], StopCause.GUEST, id="from inside"),
        pytest.param([(0, "Unknown", "Active", "h", "")], StopCause.UNKNOWN, id="health of no cause"),
        pytest.param(
            [(0, DEALLOCATE, "Succeeded", "a", ANA), (1, "UserInitiated", "Active", "h", "")],
            StopCause.PERSON,
            id="health follows the call",
        ),
        pytest.param(
            [(0, DEALLOCATE, "Succeeded", "a", ANA), (9, "PlatformInitiated", "Active", "h", "")],
            StopCause.PLATFORM,
            id="lost after it had been stopped and started by hand",
        ),
        pytest.param(
            [(0, DEALLOCATE, "Succeeded", "a", ANA), (5, START, "Succeeded", "s", ANA)],
            StopCause.UNKNOWN,
            id="a stop before the last start",
        ),
        pytest.param(
            [(0, DEALLOCATE, "Succeeded", "a", ANA), (5, START, "Failed", "s", ANA)],
            StopCause.PERSON,
            id="a start that failed started nothing",
        ),
        pytest.param([(0, DEALLOCATE, "Succeeded", "a", "")], StopCause.UNKNOWN, id="a call of nobody"),
        pytest.param([(0, START, "Succeeded", "a", ANA)], StopCause.UNKNOWN, id="only a start"),
        pytest.param(
            [(0, "microsoft.containerservice/managedclusters/stop/action", "Succeeded", "a", ANA)],
            StopCause.PERSON,
            id="a cluster",
        ),
    ],
)  # fmt: skip
def test_the_log_tells_who_stopped_it(verdict, events, cause) -> None:
    assert verdict(*events).cause is cause


def test_a_stop_is_told_with_who_did_it_and_when(verdict, at) -> None:
    stop = verdict((0, DEALLOCATE, "Succeeded", "a", ANA), (2, DEALLOCATE, "Succeeded", "b", "f00d"))
    assert (stop.by, stop.at) == ("a program (object id f00d)", at("10:02"))
    assert len(verdict((0, DEALLOCATE, "Succeeded", "a", f"{'x' * 200}@example.org")).by) == 120
    health = verdict((3, "UserInitiated", "Active", "h", ""))
    assert (health.by, health.at) == ("somebody without a name in the log", at("10:03"))
    assert verdict((3, "PlatformInitiated", "Active", "h", "")).by == "Azure"
    assert verdict((3, "Unknown", "Active", "h", "")).by == ""


def test_a_change_of_health_says_who_only_where_the_machine_went_away(at) -> None:
    seen = UnplannedStop(at("10:30"))
    back = ActivityEvent(at("10:00"), "", "Resolved", "h", "", "PlatformInitiated", "x", unavailable=False)
    nameless = ActivityEvent(at("10:00"), "", "Active", "h", "", "", "It stopped", unavailable=True)
    assert attribute_stop(seen, [back, nameless]) == seen


def test_a_stop_is_open_half_an_hour_and_only_where_nothing_is_known(at) -> None:
    stop = UnplannedStop(at("10:00"))
    assert stop.is_open(at("10:29"))
    assert not stop.is_open(at("10:30"))
    assert not UnplannedStop(at("10:00"), StopCause.GUEST).is_open(at("10:01"))
    respected = [UnplannedStop(at("10:00"), cause).respected for cause in StopCause]
    assert respected == [True, True, False, False]


@pytest.mark.parametrize(
    ("offset", "kept"), [(-61, True), (-60, False), (0, False), (900, False), (901, True)]
)
def test_an_event_near_our_own_stop_is_ours(at, offset: int, kept: bool) -> None:
    own = Attempt(Act.STOP, "off@x", at("10:00"))
    stopped = ActivityEvent(at("10:00") + timedelta(seconds=offset), DEALLOCATE, "Succeeded", "a", ANA)
    settle = timedelta(minutes=15)
    earlier = Attempt(Act.STOP, "off@w", at("7:00"))
    assert without_own_stops([stopped], (earlier, own), settle) == ([stopped] if kept else [])
    assert without_own_stops([stopped], (Attempt(Act.START, "up@x", at("10:00")),), settle) == [stopped]
    evicted = ActivityEvent(at("10:00"), EVICT, "Succeeded", "e")
    assert without_own_stops([evicted], (own,), settle) == [evicted]


def test_the_newest_start_of_a_wish_is_the_one_that_azure_took_back(at) -> None:
    def started(minute: int, decision: str = "up@x", outcome: str = "done", act: Act = Act.START) -> Attempt:
        return Attempt(act, decision, at("10:00") + minute * MINUTE, outcome)  # type: ignore[arg-type]

    history = (
        started(0),
        started(1),
        started(2, "up@y"),
        started(3, outcome="failed"),
        started(4, act=Act.STOP),
    )
    changed = mark_undone(history, "up@x", "e" * 400)
    assert [one.outcome for one in changed] == ["done", "undone", "done", "failed", "done"]
    assert changed[1].error == "e" * 300
    assert mark_undone(history, "up@z", "e") == history
