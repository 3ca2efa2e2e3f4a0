"""A week in the life of a machine: warned, stopped, started, held, woken, told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from local.fakes.faults import Fault, FaultPlan
from shared.cloud.machines import CommandResult, PowerState
from shared.kernel.errors import Conflict, NotFound, Refused, Unavailable, UsageError
from shared.policy import parse_policy
from shared.power import job as power
from shared.power.attempts import Act
from shared.power.availability import offline_reason
from shared.power.guest import START_MARK, STOP_MARK
from shared.power.model import PowerStatus
from shared.power.overrides import parse_override
from shared.power.records import PowerRecords
from shared.power.usage_ledger import UsageLedger
from tests.support.power_world import POLICY

DAY = timedelta(days=1)


def test_a_working_day_from_off_to_healthy_to_warned_to_off(world, at) -> None:
    world.add()
    world.run(at("7:10"))
    assert world.power is PowerState.RUNNING
    assert world.notifications.titles == ["rocketchat is up after 5 min"]
    world.run(at("18:45"))
    warning = world.notifications.told[-1]
    assert "stops at Mon 2026-03-02 19:00" in warning.title
    assert "!ops power up rocketchat for 2h" in warning.hint
    world.run(at("19:10"))
    assert world.scripts == ["stop"]
    assert world.power is PowerState.DEALLOCATED
    calls = world.machines.calls
    assert (calls["begin_start"], calls["begin_deallocate"], calls["state"]) == (1, 1, 0)


def test_a_stop_in_the_hour_that_comes_twice_says_which_of_both(make_world) -> None:
    """On 25 October 2026 Berlin has 2 to 3 o'clock twice: a time alone would name two stops."""
    world = make_world("timezone: Europe/Berlin\npower: {machines: [{name: rocketchat, windows: []}]}")
    world.clock.set(datetime(2026, 10, 24, 23, 0, tzinfo=UTC))
    world.add(PowerState.RUNNING)
    power.place_order(world.job(), "", "up for 2h", by="ana")  # until 02:00 CET, an hour after 02:00 CEST
    world.run(datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    (title,) = [one for one in world.notifications.titles if "stops at" in one]
    assert title == "rocketchat stops at Sun 2026-10-25 02:00 CET"


def test_a_tick_for_an_idle_fleet_costs_one_listing_and_writes_nothing(world, at) -> None:
    world.add()
    world.run(at("7:10"))
    for clock in ("12:00", "23:00"):
        if clock == "23:00":
            world.run(at("19:10"))
        # The ledger notes once an hour that somebody looked.
        world.clock.set(at(clock))
        world.tick()
        world.clock.advance(timedelta(minutes=5))
        before = {blob.name: blob.etag for blob in world.state.list()}
        calls = world.machines.calls.total()
        plan = FaultPlan()
        world.tick(plan)
        assert world.machines.calls.total() == calls + 1
        assert {blob.name: blob.etag for blob in world.state.list()} == before
        assert not any(word in step for step in plan.steps for word in ("lease", "replace", "create"))


def test_machines_by_tag_cost_a_second_listing_once_an_hour(make_world, at) -> None:
    world = make_world(
        "timezone: Europe/Berlin\npower: {machines: [{tag: groundcrew=chat, windows: [daily 07:00-19:00]}]}"
    )
    world.add()
    world.run(at("7:45"))
    assert world.power is PowerState.RUNNING
    assert world.machines.calls["list"] == 1
    world.run(at("8:00"))
    assert world.machines.calls["list"] == 2


def test_keep_it_up_moves_the_stop_and_the_order_is_on_the_audit_trail(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:45"))
    world.run(at("18:50"))
    power.place_order(world.job(), "rocketchat", "up until 22:00", by="ana")
    world.run(at("21:35"))
    assert world.power is PowerState.RUNNING
    assert len(world.notifications.told) == 1
    world.run(at("22:10"))
    assert world.power is PowerState.DEALLOCATED
    assert [n.title for n in world.notifications.told] == [
        "rocketchat stops at Mon 2026-03-02 19:00",
        "rocketchat stops at Mon 2026-03-02 22:00",
    ]
    assert any(b'"ana"' in world.state.read(blob.name)[0] for blob in world.state.list("audit/"))


def test_orders_that_are_none_are_refused_and_so_are_unknown_machines(world) -> None:
    world.add()
    with pytest.raises(UsageError):
        power.place_order(world.job(), "", "up for ever", by="ana")
    with pytest.raises(NotFound, match="no such machine"):
        power.place_order(world.job(), "rocketcat", "up for 2h", by="ana")
    assert not list(world.state.list("overrides/"))


def test_a_hold_keeps_it_up_and_its_end_lets_it_go(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    world.job().inventory.holds.add_hold("deploy/1", "deploy 1", timedelta(hours=1))
    world.run(at("19:35"))
    assert world.power is PowerState.RUNNING
    world.run(at("20:10"))
    assert world.power is PowerState.DEALLOCATED


def test_a_machine_stopped_from_inside_is_deallocated_without_a_script(world, at) -> None:
    world.add(PowerState.STOPPED)
    world.clock.set(at("20:00"))
    world.run(at("20:05"))
    assert world.power is PowerState.DEALLOCATED
    assert world.scripts == []


def test_the_oplog_is_captured_once_while_mongodb_still_runs_before_the_services_stop(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    outcomes = world.run(at("19:10"))
    assert world.power is PowerState.DEALLOCATED
    assert world.captured_after == [[]]
    assert any("oplog: captured 3 entries; services were stopped" in outcome.done for outcome in outcomes)


def test_the_oplog_is_captured_once_after_a_start_as_soon_as_the_server_is_well(world, at) -> None:
    world.add(PowerState.DEALLOCATED)
    world.clock.set(at("06:40"))
    outcomes = world.run(at("07:40"))
    assert world.power is PowerState.RUNNING
    assert len(world.captured_after) == 1
    assert any("oplog: captured 3 entries; healthy after" in outcome.done for outcome in outcomes)


def test_people_are_told_once_that_the_collector_is_not_reached_and_when_it_is(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.start_says = f"{world.start_says}groundcrew:collector=failed: ENOTFOUND\n"
    world.clock.set(at("18:40"))
    world.run(at("19:10"))
    world.clock.set(at("06:40") + timedelta(days=1))
    world.run(at("07:40") + timedelta(days=1))
    (told,) = [one for one in world.notifications.told if "collector" in one.title]
    assert (told.severity, told.resolved) == ("warning", False)
    assert "ENOTFOUND" in told.text
    world.start_says = world.start_says.replace("failed: ENOTFOUND", "reached")
    world.clock.set(at("18:40") + timedelta(days=1))
    world.run(at("07:40") + timedelta(days=2))
    told, over = [one for one in world.notifications.told if "collector" in one.title]
    assert over.resolved


def test_the_chat_is_probed_once_after_a_start_and_not_before_the_server_is_well(world, at) -> None:
    world.add(PowerState.DEALLOCATED)
    world.clock.set(at("06:40"))
    world.health.well = lambda: False
    world.run(at("07:10"))
    assert (world.power, world.probed) == (PowerState.RUNNING, 0)
    world.health.well = world.serves
    outcomes = world.run(at("07:50"))
    assert world.probed == 1
    assert any(outcome.done.endswith("; 6 probes ok") for outcome in outcomes)


def test_a_guest_that_hangs_is_stopped_all_the_same(world, at) -> None:
    def hangs(_id: str, _script: str) -> None:
        raise TimeoutError

    world.machines.on_command = hangs
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    outcomes = world.run(at("19:05"))
    assert any("not stopped cleanly: no answer from the guest" in outcome.done for outcome in outcomes)
    assert world.power is PowerState.DEALLOCATED


def during_the_graceful_stop(world, act) -> None:
    """Something happens while the services are being stopped, four minutes long."""
    answer = world.machines.on_command

    def slow(machine: str, script: str):
        if script.startswith(STOP_MARK):
            world.clock.advance(timedelta(minutes=1))
            act()
            world.clock.advance(timedelta(minutes=3))
        return answer(machine, script)

    world.machines.on_command = slow


@pytest.mark.parametrize("what", ["hold", "order", "tag"])
def test_what_arrives_during_the_graceful_stop_cancels_it_and_the_services_run_again(
    make_world, at, what: str
) -> None:
    text = POLICY.replace("WHEN", "skip")
    world = make_world(
        text.replace("- name: rocketchat", "- tag: groundcrew=chat") if what == "tag" else text
    )
    world.seal(at("2:00"))
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    world.run(at("18:55"))

    def act() -> None:
        if what == "hold":
            world.job().inventory.holds.add_hold("deploy/1", "deploy 1", timedelta(hours=2))
        elif what == "order":
            power.place_order(world.job(), "rocketchat", "up until 22:00", by="ana")
        else:
            world.machines.set_tags(world.id, {})

    calm = world.machines.on_command
    during_the_graceful_stop(world, act)
    world.clock.advance(timedelta(minutes=5))
    outcome = world.tick()
    assert outcome.done.startswith(
        "oplog: captured 3 entries; services were stopped; services were started again; stop cancelled: "
    )
    assert world.scripts == ["stop", "start"]
    assert (world.power, world.serves()) == (PowerState.RUNNING, True)
    assert world.machines.calls["begin_deallocate"] == 0
    world.machines.on_command = calm
    while world.clock.now() < at("21:30"):
        world.clock.advance(timedelta(minutes=5))
        power.run_tick(world.job())
    assert world.power is (PowerState.DEALLOCATED if what == "hold" else PowerState.RUNNING)
    warnings = [title for title in world.notifications.titles if "stops at" in title]
    assert len(warnings) == (2 if what == "hold" else 1)


def test_a_tag_that_is_removed_between_two_listings_of_tags_keeps_the_machine_running(make_world, at) -> None:
    text = POLICY.replace("WHEN", "skip").replace("- name: rocketchat", "- tag: Groundcrew=chat")
    world = make_world(text)
    world.seal(at("2:00"))
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:20"))
    for _ in range(20):
        if world.clock.now() == at("18:40"):
            world.machines.set_tags(world.id, {})
        power.run_tick(world.job())
        world.clock.advance(timedelta(minutes=5))
    assert (world.power, world.scripts) == (PowerState.RUNNING, [])


def test_a_machine_that_cannot_be_looked_at_after_its_services_stopped_is_not_deallocated(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    world.run(at("18:55"))
    world.clock.advance(timedelta(minutes=5))
    # The third listing of this tick is the one after the graceful stop.
    blind = FaultPlan(Fault(Unavailable("no"), operation="machines.list_states", step=2))
    assert "no" in world.tick(blind).error
    assert (world.power, world.scripts) == (PowerState.RUNNING, ["stop"])
    world.run(at("19:10"))
    assert world.power is PowerState.DEALLOCATED


def test_a_refused_deallocation_starts_the_chat_again_and_is_told_once_with_the_lock(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    locked = Refused(
        "Deallocate virtual machine rocketchat", value="ScopeLocked", hint="locked: …/locks/keep-running"
    )
    plan = FaultPlan(Fault(locked, operation="machines.begin_deallocate", times=99))
    while world.clock.now() <= at("23:00"):
        world.tick(plan)
        world.clock.advance(timedelta(minutes=5))
    assert plan.steps.count("machines.begin_deallocate") == 1
    assert world.scripts == ["stop", "start"]
    assert world.serves()
    told = [n for n in world.notifications.told if "needs attention" in n.title]
    assert [notice.title for notice in told] == ["rocketchat needs attention: stop failed"]
    assert "ScopeLocked" in told[0].text
    assert "locks/keep-running" in told[0].text


def test_a_stop_that_is_throttled_again_and_again_gives_the_chat_back_between_the_attempts(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    throttled = Unavailable("Deallocate: throttled", value="TooManyRequests")
    plan = FaultPlan(Fault(throttled, operation="machines.begin_deallocate", times=2))
    scripts = {}
    while world.clock.now() <= at("20:30"):
        world.tick(plan)
        scripts[world.clock.now()] = list(world.scripts)
        world.clock.advance(timedelta(minutes=5))
    assert scripts[at("19:00")] == ["stop"]  # the next attempt is near
    assert scripts[at("19:05")] == ["stop", "stop", "start"]
    assert world.power is PowerState.DEALLOCATED
    assert len([title for title in world.notifications.titles if "stops at" in title]) == 2


def test_after_the_next_start_the_replicas_are_put_back_before_the_health_is_looked_at(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    world.run(at("19:10"))
    assert world.record.node == {"kernel": "6.8.0"}
    world.clock.set(at("7:00", 3))
    answer, failures = world.machines.on_command, ["MicroK8s is not ready"]

    def not_ready_once(machine: str, script: str):
        if script.startswith(START_MARK) and failures:
            return CommandResult(f"groundcrew:problem={failures.pop()}\n", "", 1)
        return answer(machine, script)

    world.machines.on_command = not_ready_once
    outcomes = world.run(at("7:15", 3))
    assert "services are not started yet: MicroK8s is not ready" in outcomes[1].done
    assert world.scripts == ["stop", "start"]
    assert world.record.scaled is None
    assert world.serves()


def test_a_machine_that_is_not_stopped_cleanly_is_deallocated_and_told(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    left = "groundcrew:problem=pods still running: rocketchat-0\n"
    left += "groundcrew:stop_exit=0\ngroundcrew:containers=3\n"
    world.machines.on_command = lambda _id, _script: CommandResult(left, "", 0)
    world.run(at("19:10"))
    assert world.power is PowerState.DEALLOCATED
    (notice,) = (n for n in world.notifications.told if "cleanly" in n.title)
    assert notice.text == "pods still running: rocketchat-0; containers left: 3."


def test_a_graceful_stop_longer_than_settle_is_not_taken_for_a_stop_without_effect(make_world, at) -> None:
    world = make_world(POLICY.replace("WHEN", "skip") + "  graceful_stop: 40m\n")
    world.seal(at("2:00"))
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    world.run(at("18:55"))
    during_the_graceful_stop(world, lambda: world.clock.advance(timedelta(minutes=30)))
    world.machines.lag = timedelta(minutes=6)
    world.clock.advance(timedelta(minutes=5))
    outcomes = world.run(at("20:30"))
    assert not any(outcome.decision.alarm for outcome in outcomes)
    assert (world.scripts, world.machines.calls["begin_deallocate"]) == (["stop"], 1)


def test_no_capacity_is_told_with_alternatives_and_retried_with_back_off_until_it_starts(world, at) -> None:
    world.add()
    world.machines.fail_start("AllocationFailed", times=3)
    world.run(at("8:30"))
    assert world.power is PowerState.RUNNING
    assert world.machines.calls["begin_start"] == 4
    alarm = world.notifications.told[0]
    assert "AllocationFailed" in alarm.text
    assert "Standard_D4as_v5" in alarm.hint
    assert [notice.title for notice in world.notifications.told] == [
        "rocketchat needs attention: start failed",
        "rocketchat is up after 40 min",
    ]


def test_a_server_that_does_not_become_well_is_told_once_and_its_recovery_too(world, at) -> None:
    world.health.well = lambda: False
    world.add()
    outcomes = world.run(at("7:40"))
    assert "not healthy yet: no answer" in outcomes[-1].done
    assert [n.severity.value for n in world.notifications.told] == ["critical"]
    world.health.well = world.serves
    world.run(at("7:50"))
    assert world.notifications.titles[1:] == ["rocketchat is up after 40 min"]
    looks = world.health.looks
    world.run(at("8:30"))
    assert world.health.looks == looks


def test_a_machine_that_is_gone_is_told_and_the_tick_goes_on(make_world, at) -> None:
    text = """
timezone: Europe/Berlin
power:
  machines:
    - {name: lost, windows: [daily 07:00-19:00]}
    - {name: rocketchat, windows: [daily 07:00-19:00]}
"""
    world = make_world(text)
    world.add()
    world.clock.set(at("7:00"))
    outcomes = power.run_tick(world.job())
    assert [(o.machine, o.state) for o in outcomes] == [
        ("lost", PowerStatus.MISSING),
        ("rocketchat", PowerStatus.DEALLOCATED),
    ]
    assert outcomes[1].done == "start begun"
    assert "not found" in world.notifications.told[0].text


def test_of_two_machines_of_one_name_neither_is_touched(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.machines.add("RocketChat", group="another", power=PowerState.RUNNING)
    world.clock.set(at("23:00"))
    world.run(at("23:59"))
    assert world.machines.calls["begin_deallocate"] == 0
    assert "several machines" in world.notifications.told[0].text


def test_a_machine_whose_start_is_refused_does_not_keep_the_others_waiting(make_world, at) -> None:
    world = make_world(
        "timezone: Europe/Berlin\npower: {machines: [{tag: groundcrew=chat, windows: [daily 07:00-19:00]}]}"
    )
    for name in ("a", "b", "c"):
        world.add(name=name)
    world.clock.set(at("7:00"))
    plan = FaultPlan(Fault(Conflict("busy", value="Conflict"), operation="machines.begin_start", step=1))
    outcomes = power.run_tick(world.job(plan))
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False]
    world.clock.advance(timedelta(minutes=5))
    power.run_tick(world.job())
    assert world.power is PowerState.RUNNING or world.machines.calls["begin_start"] == 3


@pytest.mark.parametrize("ticks_lost", [1, 12, 288])
def test_lost_ticks_are_made_up_by_the_first_that_comes(world, at, ticks_lost: int) -> None:
    world.add()
    world.tick()
    world.clock.set(at("7:00") + ticks_lost * timedelta(minutes=5))
    world.run(world.clock.now() + timedelta(minutes=10))
    assert world.power is PowerState.RUNNING


def test_two_ticks_at_once_start_once_and_warn_once(world, at) -> None:
    world.add()
    world.clock.set(at("7:00"))
    with world.state.lease("locks/power/rocketchat", duration=timedelta(seconds=60)):
        assert world.tick().done == "skipped: another tick is in progress"
    for _ in range(2):
        world.tick()
    assert world.machines.calls["begin_start"] == 1
    world.run(at("7:10"))
    world.clock.set(at("18:40"))
    for _ in range(3):
        world.tick()
    assert sum("stops at" in title for title in world.notifications.titles) == 1


def test_a_tick_that_looked_before_another_acted_does_not_act_again(world, at) -> None:
    """Both list the machine as off; the slower one decides anew under the lease."""
    world.add()
    world.clock.set(at("7:00"))
    world.machines.start_takes = timedelta(minutes=4)
    world.machines.lag = timedelta(minutes=3)  # so that the slower one's view is from before the start
    assert world.tick().done == "start begun"
    world.clock.advance(timedelta(minutes=1))
    assert world.tick().decision.act is Act.WAIT
    assert world.machines.calls["begin_start"] == 1


def test_an_api_that_lies_for_a_minute_makes_nothing_flap(world, at) -> None:
    world.machines.lag = timedelta(minutes=1)
    world.add()
    for day in range(2, 7):
        world.clock.set(at("6:50", day))
        world.run(at("7:20", day))
        assert world.power is PowerState.RUNNING
        world.clock.set(at("18:40", day))
        world.run(at("19:20", day))
        assert world.power is PowerState.DEALLOCATED
    assert (world.machines.calls["begin_start"], world.machines.calls["begin_deallocate"]) == (5, 5)


def test_a_storm_of_429_delays_and_changes_nothing_else(world, at) -> None:
    world.add()
    world.clock.set(at("7:00"))
    storm = Unavailable("List the states: throttled", value="TooManyRequests", hint="Wait 60 seconds")
    for _ in range(6):
        with pytest.raises(Unavailable, match="throttled"):
            world.tick(FaultPlan(Fault(storm, operation="machines.list_states")))
        world.clock.advance(timedelta(minutes=5))
    throttled = Unavailable("Start: throttled", value="TooManyRequests")
    world.tick(FaultPlan(Fault(throttled, operation="machines.begin_start")))
    world.run(world.clock.now() + timedelta(minutes=15))
    assert world.power is PowerState.RUNNING
    assert world.machines.calls["begin_start"] == 1


def test_a_start_whose_answer_was_lost_is_not_begun_again(world, at) -> None:
    world.add()
    world.clock.set(at("7:00"))
    lost = Fault(Unavailable("connection lost"), operation="machines.begin_start", when="after")
    assert "connection lost" in world.tick(FaultPlan(lost)).error
    world.run(at("8:00"))
    assert world.machines.calls["begin_start"] == 1
    assert world.record.history[0].outcome == "done"


def test_nobody_to_be_told_does_not_keep_it_running_all_night(world, at) -> None:
    world.notifications.down = True
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:40"))
    world.run(at("19:10"))
    assert world.power is PowerState.DEALLOCATED


def test_a_damaged_record_is_told_and_only_its_machine_is_left_alone(make_world, at) -> None:
    world = make_world(
        "timezone: Europe/Berlin\n"
        "power: {machines: [{name: other, windows: []}, {name: rocketchat, windows: []}]}"
    )
    world.add(PowerState.RUNNING, name="other")
    world.add(PowerState.RUNNING)
    world.state.create("power/machines/other.json", b"[]")
    world.clock.set(at("20:00"))
    for _ in range(6):
        power.run_tick(world.job())
        world.clock.advance(timedelta(minutes=5))
    assert "power/machines/other.json" in world.notifications.told[0].text
    assert world.power is PowerState.DEALLOCATED
    assert world.machines.calls["begin_deallocate"] == 1


def test_backups_that_cannot_be_listed_do_not_keep_machines_from_their_calendar(world, at) -> None:
    world.add()
    world.clock.set(at("7:00"))
    plan = FaultPlan(Fault(Unavailable("no"), operation="backups.list", times=9))
    assert world.tick(plan).done == "start begun"


def test_an_order_by_hand_is_followed_within_the_tick_that_comes_with_it(world, at) -> None:
    world.add()
    world.clock.set(at("23:00"))
    power.place_order(world.job(), "", "up for 2h", by="wake page")
    assert world.tick().done == "start begun"


def test_a_dry_run_of_an_order_shows_the_decision_with_the_order_and_changes_nothing(world, at) -> None:
    world.add(PowerState.RUNNING)
    world.clock.set(at("10:00"))
    before = {blob.name: blob.etag for blob in world.state.list()}
    order = parse_override("off until 18:00", ZoneInfo("Europe/Berlin"), world.clock.now())
    (outcome,) = power.preview_tick(world.job(), machine="rocketchat", order=order)
    assert (outcome.decision.act, outcome.decision.desired_up) == (Act.WARN, False)
    assert outcome.decision.next_change == at("18:00")
    assert {blob.name: blob.etag for blob in world.state.list()} == before


def test_survey_changes_nothing(world, at) -> None:
    world.add()
    world.clock.set(at("7:00"))
    before = {blob.name: blob.etag for blob in world.state.list()}
    (outcome,) = power.preview_tick(world.job())
    assert outcome.decision.act is Act.START
    assert {blob.name: blob.etag for blob in world.state.list()} == before
    assert world.machines.calls["begin_start"] == 0


# Backups while it is off


def night(make_world, at, when: str):
    world = make_world(
        f"timezone: Europe/Berlin\nbackup: {{when_vm_off: {when}}}\n"
        "power: {machines: [{name: rocketchat, windows: ['Mon-Fri 07:00-19:00']}]}"
    )
    world.seal(at("2:00"))
    world.add(PowerState.RUNNING)
    world.clock.set(at("18:30"))
    return world


def test_wake_starts_it_for_the_backup_and_puts_it_back(make_world, at) -> None:
    world = night(make_world, at, "wake")
    world.run(at("1:55", 3))
    assert world.power is PowerState.DEALLOCATED
    world.seals_at_once = False
    told = len(world.notifications.told)
    world.run(at("2:10", 3))
    assert world.power is PowerState.RUNNING
    assert world.asked_for_backup >= 1
    world.job().inventory.holds.add_hold("backup/x", "backup x", timedelta(hours=6))
    asked = world.asked_for_backup
    world.run(at("3:00", 3))
    assert (world.power, world.asked_for_backup) == (PowerState.RUNNING, asked)
    world.seal(at("2:10", 3))
    world.job().inventory.holds.release_hold("backup/x")
    world.run(at("3:10", 3))
    assert world.power is PowerState.DEALLOCATED
    assert len(world.notifications.told) == told
    world.run(at("6:55", 3))
    assert (world.machines.calls["begin_start"], world.machines.calls["begin_deallocate"]) == (1, 2)


def test_before_stop_makes_the_backup_first(make_world, at) -> None:
    world = night(make_world, at, "before_stop")
    world.run(at("6:50", 3))
    assert world.asked_for_backup == 1
    assert world.machines.calls["begin_start"] == 0
    assert world.power is PowerState.DEALLOCATED
    assert "A backup is made before" in world.notifications.told[0].text


def test_skip_leaves_it_off_and_notes_that_once(make_world, at) -> None:
    world = night(make_world, at, "skip")
    world.run(at("6:50", 3))
    assert (world.asked_for_backup, world.machines.calls["begin_start"]) == (0, 0)
    assert world.notifications.titles.count("A backup was skipped") == 1


def test_a_backup_that_cannot_be_begun_does_not_keep_it_up_for_ever(make_world, at) -> None:
    world = night(make_world, at, "wake")
    world.seals_at_once = False
    world.run(at("10:00", 3) - timedelta(hours=3, minutes=10))
    world.clock.set(at("2:00", 7))  # Saturday
    outcomes = world.run(at("8:30", 7))
    assert world.asked_for_backup > 1
    assert world.power is PowerState.DEALLOCATED
    assert outcomes[-1].decision.act is Act.NONE


def test_without_any_backup_yet_it_is_woken_at_the_usual_time_and_not_at_every_tick(make_world, at) -> None:
    world = make_world(
        "timezone: Europe/Berlin\nbackup: {when_vm_off: wake}\n"
        "power: {machines: [{name: rocketchat, windows: []}]}"
    )
    world.add()
    world.seals_at_once = False
    world.clock.set(at("1:30"))
    world.run(at("9:00"))
    assert world.machines.calls["begin_start"] == 1
    assert world.power is PowerState.DEALLOCATED


# The ledger


def test_the_ledger_knows_the_hours_to_the_tick(world, at) -> None:
    world.add()
    world.clock.set(at("0:00"))
    world.run(at("23:55"))
    ledger = UsageLedger(world.state)
    on, unknown = ledger.sum_hours("rocketchat", at("0:00"), at("0:00", 3))
    assert unknown == timedelta()
    assert timedelta(hours=12) <= on <= timedelta(hours=12, minutes=10)


def test_policy_for_aks_goes_through_its_own_switch_without_scripts(make_world, at) -> None:
    machine = "{name: cluster, kind: aks, windows: ['daily 07:00-19:00']}"
    text = f"timezone: Europe/Berlin\npower: {{machines: [{machine}]}}"
    world = make_world()
    world.policy = parse_policy(text)
    world.id = world.machines.add("cluster", power=PowerState.RUNNING)
    world.clock.set(at("18:40"))

    def job():
        made = world.job()
        made.inventory.__dict__["switches"] = {"aks": world.machines}
        return made

    while world.clock.now() < at("19:10"):
        (outcome,) = power.run_tick(job())
        world.clock.advance(timedelta(minutes=5))
    assert outcome.machine == "cluster.aks"
    assert world.power is PowerState.DEALLOCATED
    assert world.scripts == []
    assert PowerRecords(world.state).load("cluster.aks").history
    for name in ("cluster", "Cluster.AKS"):
        power.place_order(job(), name, "up for 2h", by="ana")
    (outcome,) = power.run_tick(job(), only="Cluster")
    assert outcome.done == "start begun"
    assert power.run_tick(job(), only="another") == []
    assert len(list(world.state.list("overrides/cluster.aks/"))) == 2


# Two machines


def beside(make_world, at, extra: str = ""):
    """The server, and a build box beside it that has nothing to do with MongoDB."""
    text = (
        POLICY.replace("WHEN", "wake") + f"    - {{name: buildbox, windows: [Mon-Fri 07:00-19:00]{extra}}}\n"
    )
    world = make_world(text)
    world.seals_at_once = False
    box = world.machines.add("buildbox", power=PowerState.DEALLOCATED)
    world.add()
    return world, box


def run_both(world, until) -> list[str]:
    done = []
    while world.clock.now() <= until:
        done += [f"{o.machine}: {o.done}" for o in power.run_tick(world.job()) if o.done]
        world.clock.advance(timedelta(minutes=5))
    return done


def test_a_machine_beside_the_server_is_not_woken_for_its_backup_nor_held_nor_told_as_the_chat(
    make_world, at
) -> None:
    world, box = beside(make_world, at)
    world.clock.set(at("1:50"))
    run_both(world, at("2:30"))
    assert world.power is PowerState.RUNNING
    assert world.machines.get_state(box).power is PowerState.DEALLOCATED
    world.seal(at("2:00"))
    world.clock.set(at("6:50"))
    run_both(world, at("7:10"))
    assert "buildbox is up after 5 min" in world.notifications.titles
    told = next(n for n in world.notifications.told if n.title.startswith("buildbox"))
    assert "Rocket.Chat" not in told.text
    world.clock.set(at("18:40"))
    world.job().inventory.holds.add_hold("deploy/1", "deploy 1", timedelta(hours=2))
    run_both(world, at("19:10"))
    assert world.power is PowerState.RUNNING
    assert world.machines.get_state(box).power is PowerState.DEALLOCATED


def test_policy_says_which_machine_carries_what(make_world, at) -> None:
    world, box = beside(make_world, at, ", carries: [mongodb]")
    world.clock.set(at("1:50"))
    run_both(world, at("2:30"))
    assert world.power is PowerState.DEALLOCATED
    assert world.machines.get_state(box).power is PowerState.RUNNING


def test_the_server_is_offline_although_a_machine_beside_it_runs(make_world, at) -> None:
    world, box = beside(make_world, at)
    world.clock.set(at("23:00"))
    world.seal(at("2:00"))
    world.machines.set_power(box, PowerState.RUNNING)
    assert offline_reason(world.job().inventory).startswith("rocketchat is off (")


def test_lack_of_capacity_in_a_zone_is_capacity_too(world, at) -> None:
    world.add()
    world.clock.set(at("6:55"))
    world.machines.fail_start("OverconstrainedZonalAllocationRequest", times=3)
    world.run(at("7:30"))
    (notice,) = (n for n in world.notifications.told if "needs attention" in n.title)
    assert "Standard_D4as_v5" in notice.hint
