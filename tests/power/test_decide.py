"""Single decisions about a machine: faults, holds, backups, orders in people's words."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from shared.kernel.errors import UsageError
from shared.policy import MachinePolicy, PowerPolicy
from shared.policy.values import parse_window
from shared.power.attempts import Act, Attempt, append_attempt, reconcile_history, retry_verdict
from shared.power.decide import decide_power
from shared.power.model import BackupNeed, PowerDecision, PowerStatus, Situation, schedule_for
from shared.power.overrides import Override, parse_override
from shared.power.schedule import Schedule
from shared.power.unplanned import StopCause, UnplannedStop
from shared.records.hold import Hold

BERLIN = ZoneInfo("Europe/Berlin")
RULES = PowerPolicy()
CALENDAR = Schedule(BERLIN, (parse_window("Mon-Fri 07:00-19:00"),))
NIGHT, DAY = Situation(PowerStatus.DEALLOCATED, CALENDAR), Situation(PowerStatus.RUNNING, CALENDAR)


def at(clock: str, day: int = 2) -> datetime:
    """A time on Berlin's clock on a day of March 2026; the 2nd is a Monday."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 3, day, hour, minute, tzinfo=BERLIN).astimezone(UTC)


def attempt(act: Act, decision: str, when: datetime, outcome: str = "issued", error: str = "") -> Attempt:
    return Attempt(act, decision, when, outcome, error)  # type: ignore[arg-type]


STARTED = attempt(Act.START, "up@2026-03-02T06:00:00Z", at("7:00"), "done")
WARNED = attempt(Act.WARN, "off@2026-03-02T18:00:00Z", at("18:40"))


def test_at_the_start_of_a_window_it_is_started_with_the_reason() -> None:
    decision = decide_power(NIGHT, RULES, at("7:00"))
    assert decision.act is Act.START
    assert decision.id == "up@2026-03-02T06:00:00Z"
    assert decision.desired_up
    assert decision.next_change == at("19:00")
    assert str(decision) == "start: schedule: up since Mon 2026-03-02 07:00 until Mon 2026-03-02 19:00"


@pytest.mark.parametrize("state", sorted({*PowerStatus} - {PowerStatus.MISSING, PowerStatus.UNKNOWN}))
def test_what_is_wanted_follows_the_calendar_whatever_state_the_machine_is_in(state: PowerStatus) -> None:
    recently = attempt(Act.START, "up@2026-03-02T06:00:00Z", at("22:59"), "done")
    for history in ((), (recently,)):
        situation = Situation(state, CALENDAR, history=history)
        for clock, wanted in (("12:00", True), ("23:00", False)):
            decision = decide_power(situation, RULES, at(clock))
            assert decision.desired_up is wanted, (history, clock)
            assert decision.id.startswith("up@" if wanted else "off@")


@pytest.mark.parametrize(
    ("stop", "act", "reason"),
    [
        pytest.param(None, Act.START, "schedule: up since", id="it was never seen to run"),
        pytest.param(
            UnplannedStop(at("9:00"), StopCause.PLATFORM), Act.START, "schedule: up since", id="Azure's doing"
        ),
        pytest.param(
            UnplannedStop(at("9:00"), StopCause.PERSON, "grace", at("8:55")),
            Act.NONE,
            "stopped by grace at Mon 2026-03-02 08:55: left off until the next window or an order",
            id="a person's",
        ),
        pytest.param(UnplannedStop(at("9:00")), Act.NONE, "does not say who stopped it", id="nobody's"),
    ],
)
def test_a_machine_that_went_off_is_started_again_only_where_azure_stopped_it(
    stop: UnplannedStop | None, act: Act, reason: str
) -> None:
    decision = decide_power(replace(NIGHT, unplanned=stop), RULES, at("13:00"))
    assert (decision.act, decision.desired_up) == (act, True)
    assert reason in str(decision)
    assert decision.alarm is (stop is not None and stop.cause is StopCause.UNKNOWN)


def test_before_a_stop_that_would_cost_the_night_its_backup_the_backup_is_asked_for() -> None:
    situation = replace(DAY, history=(STARTED, WARNED), backup=BackupNeed(at("2:00", 3)))
    for when_vm_off, asked in (("before_stop", True), ("skip", False), ("wake", False)):
        decision = decide_power(replace(situation, when_vm_off=when_vm_off), RULES, at("19:00"))
        assert decision.backup_first is asked
        assert (decision.act is Act.WAIT) is asked
        assert not decision.desired_up


def test_a_missed_start_is_made_up_hours_later_and_a_start_on_record_is_not_repeated() -> None:
    assert decide_power(NIGHT, RULES, at("11:37")).act is Act.START
    again = decide_power(replace(NIGHT, history=(replace(STARTED, outcome="issued"),)), RULES, at("7:00"))
    assert again.act is Act.WAIT
    assert again.not_before == at("7:15")


def test_a_start_without_effect_is_tried_again_after_settling_and_a_pause() -> None:
    situation = replace(NIGHT, history=(replace(STARTED, outcome="issued"),))
    assert decide_power(situation, RULES, at("7:19")).act is Act.WAIT
    retried = decide_power(situation, RULES, at("7:20"))
    assert retried.act is Act.START
    assert retried.alarm
    assert "no effect within 0:15:00" in retried.reasons[-1]


def test_lack_of_capacity_is_told_with_alternatives_and_retried_with_growing_pauses() -> None:
    error, id_ = "AllocationFailed: no capacity for the size", STARTED.decision
    history: tuple[Attempt, ...] = ()
    now, starts = at("7:00"), []
    while now < at("14:00"):
        situation = replace(NIGHT, history=history, alternatives=("Standard_D4as_v5",))
        decision = decide_power(situation, RULES, now)
        if decision.act is Act.START:
            starts.append(now)
            history = append_attempt(history, attempt(Act.START, id_, now, "failed", error))
        else:
            assert decision.act is Act.WAIT
            assert decision.alarm
            assert decision.alternatives == ("Standard_D4as_v5",)
            assert error in decision.reasons[-1]
        now += timedelta(minutes=5)
    pauses = [(later - earlier) // timedelta(minutes=1) for earlier, later in pairwise(starts)]
    assert pauses == [5, 10, 20, 40, 60, 60, 60, 60, 60]


def test_other_failures_name_no_alternatives() -> None:
    failed = attempt(Act.START, STARTED.decision, at("7:00"), "failed", "Conflict")
    decision = decide_power(replace(NIGHT, history=(failed,), alternatives=("X",)), RULES, at("7:05"))
    assert (decision.act, decision.alternatives) == (Act.START, ())


def test_a_machine_that_others_stopped_is_left_alone_until_somebody_orders_it_up() -> None:
    stopped = replace(NIGHT, history=(STARTED,))
    decision = decide_power(stopped, RULES, at("12:00"))
    assert (decision.act, decision.alarm) == (Act.NONE, True)
    assert "undone by somebody else" in decision.reasons[-1]
    order = parse_override("up until 15:00", BERLIN, at("12:01"))
    ordered = decide_power(replace(stopped, orders=(order,)), RULES, at("12:05"))
    assert (ordered.act, ordered.id) == (Act.START, "up@2026-03-02T11:01:00Z")


def test_a_machine_that_others_started_at_night_is_stopped_once_at_most() -> None:
    stop = attempt(Act.STOP, "off@2026-03-02T18:00:00Z", at("19:00"), "done")
    decision = decide_power(replace(DAY, history=(STARTED, WARNED, stop)), RULES, at("23:00"))
    assert (decision.act, decision.alarm) == (Act.NONE, True)


@pytest.mark.parametrize(
    "state", [PowerStatus.RUNNING, PowerStatus.DEALLOCATED, PowerStatus.STARTING, PowerStatus.DEALLOCATING]
)
def test_a_view_that_lies_for_a_minute_starts_and_stops_nothing_twice(state: PowerStatus) -> None:
    morning = replace(NIGHT, state=state, history=(replace(STARTED, outcome="issued"),))
    assert decide_power(morning, RULES, at("7:01")).act in (Act.NONE, Act.WAIT)
    stop = attempt(Act.STOP, "off@2026-03-02T18:00:00Z", at("19:00"))
    evening = replace(NIGHT, state=state, history=(STARTED, WARNED, stop))
    assert decide_power(evening, RULES, at("19:01")).act in (Act.NONE, Act.WAIT)


@pytest.mark.parametrize(
    ("state", "clock", "act"),
    [
        (PowerStatus.UNKNOWN, "12:00", Act.WAIT),
        (PowerStatus.UNKNOWN, "23:00", Act.WAIT),
        (PowerStatus.STARTING, "7:05", Act.NONE),
        (PowerStatus.STOPPING, "7:05", Act.WAIT),
        (PowerStatus.DEALLOCATING, "7:05", Act.WAIT),
        (PowerStatus.STOPPED, "7:05", Act.START),
        (PowerStatus.STARTING, "23:00", Act.WAIT),
        (PowerStatus.DEALLOCATING, "23:00", Act.NONE),
        (PowerStatus.STOPPED, "23:00", Act.STOP),
        (PowerStatus.DEALLOCATED, "23:00", Act.NONE),
        (PowerStatus.RUNNING, "12:00", Act.NONE),
        (PowerStatus.RUNNING, "23:00", Act.WARN),
    ],
)
def test_each_state_has_its_answer(state: PowerStatus, clock: str, act: Act) -> None:
    assert decide_power(replace(NIGHT, state=state), RULES, at(clock)).act is act


def test_a_machine_without_a_state_is_wanted_up_by_the_calendar_or_by_work() -> None:
    unknown = replace(NIGHT, state=PowerStatus.UNKNOWN)
    working = replace(unknown, holds=(Hold("deploy", at("22:00"), at("23:30"), needs_up=True),))
    assert decide_power(working, RULES, at("23:00")).desired_up
    assert not decide_power(unknown, RULES, at("23:00")).desired_up


def test_a_calendar_without_an_end_or_without_a_window_is_followed_too() -> None:
    always = decide_power(
        replace(DAY, schedule=Schedule(BERLIN, (parse_window("daily 00:00-24:00"),))), RULES, at("12:00")
    )
    assert (always.act, always.desired_up) == (Act.NONE, True)
    never = decide_power(replace(DAY, schedule=Schedule(BERLIN, ())), RULES, at("12:00"))
    assert (never.act, never.stop_at) == (Act.WARN, at("12:15"))


def test_a_machine_that_is_gone_is_told_and_nothing_is_done() -> None:
    decision = decide_power(replace(DAY, state=PowerStatus.MISSING), RULES, at("19:00"))
    assert (decision.act, decision.alarm) == (Act.NONE, True)
    assert "deleted or renamed" in str(decision)


# Warnings and stops


def test_it_is_warned_a_tick_early_and_stopped_to_the_minute() -> None:
    early = decide_power(replace(DAY, history=(STARTED,)), RULES, at("18:39"))
    warning = decide_power(replace(DAY, history=(STARTED,)), RULES, at("18:40"))
    assert (early.act, warning.act) == (Act.NONE, Act.WARN)
    assert (warning.id, warning.stop_at) == (WARNED.decision, at("19:00"))
    warned = replace(DAY, history=(STARTED, WARNED))
    assert decide_power(warned, RULES, at("18:55")).act is Act.NONE
    assert decide_power(warned, RULES, at("19:00")).act is Act.STOP


def test_without_a_warning_it_is_not_stopped_but_warned_first() -> None:
    late = replace(DAY, history=(STARTED,))
    warning = decide_power(late, RULES, at("19:30"))
    assert (warning.act, warning.stop_at) == (Act.WARN, at("19:45"))
    warned = replace(DAY, history=(STARTED, replace(WARNED, at=at("19:30"))))
    waiting = decide_power(warned, RULES, at("19:40"))
    assert (waiting.act, waiting.not_before) == (Act.WAIT, at("19:45"))
    assert decide_power(warned, RULES, at("19:45")).act is Act.STOP


@pytest.mark.parametrize("announced", [None, at("19:00")])
def test_a_stop_is_announced_anew_if_it_comes_later_than_announced(announced: datetime | None) -> None:
    warned = replace(DAY, history=(STARTED, replace(WARNED, stop_at=announced)))
    assert decide_power(warned, RULES, at("19:15")).act is Act.STOP
    late = decide_power(warned, RULES, at("19:16"))
    assert (late.act, late.stop_at) == (Act.WARN, at("19:31"))


def test_a_stop_is_announced_anew_after_an_order_that_was_taken_back() -> None:
    warned = replace(DAY, history=(STARTED, replace(WARNED, stop_at=at("19:00"))))
    up = Override(True, at("18:45"), at("22:00"), at("18:45"))
    back = Override(None, at("18:50"), at("22:00"), at("18:50"))
    assert decide_power(replace(warned, orders=(up, back)), RULES, at("18:55")).act is Act.WARN
    before = replace(up, created=at("18:30")), replace(back, created=at("18:35"))
    assert decide_power(replace(warned, orders=before), RULES, at("18:55")).act is Act.NONE


def test_a_machine_that_was_woken_and_then_used_all_day_is_warned_before_an_order_stops_it() -> None:
    woken = attempt(Act.START, "wake@2026-03-02T01:00:00Z", at("2:00"), "done")
    off = Override(False, at("10:00"), at("18:00"), at("10:00"), "anna")
    day = replace(DAY, history=(woken,), orders=(off,))
    assert decide_power(day, RULES, at("10:01")).act is Act.WARN
    night = replace(DAY, history=(woken,))
    assert decide_power(night, RULES, at("3:00")).act is Act.STOP


def test_a_stop_that_was_refused_is_not_repeated_and_a_cancelled_one_never_happened() -> None:
    id_ = WARNED.decision
    warned = (STARTED, replace(WARNED, stop_at=at("19:00")))
    refused = attempt(Act.STOP, id_, at("19:00"), "refused", "ScopeLocked: Deallocate (locks/keep)")
    decision = decide_power(replace(DAY, history=(*warned, refused)), RULES, at("23:00"))
    assert (decision.act, decision.alarm) == (Act.NONE, True)
    assert "ScopeLocked" in decision.reasons[-1]
    cancelled = attempt(Act.STOP, id_, at("19:00"), "cancelled")
    decision = decide_power(replace(DAY, history=(*warned, cancelled)), RULES, at("19:05"))
    assert (decision.act, decision.alarm) == (Act.STOP, False)


def test_an_order_after_the_warning_keeps_it_up_and_is_warned_of_in_its_turn() -> None:
    order = parse_override("keep it up until 22:00", BERLIN, at("18:50"), by="maria")
    kept = replace(DAY, history=(STARTED, WARNED), orders=(order,))
    decision = decide_power(kept, RULES, at("19:00"))
    assert (decision.act, decision.next_change) == (Act.NONE, at("22:00"))
    assert decision.reasons == ("order of maria: up until Mon 2026-03-02 22:00",)
    assert decide_power(kept, RULES, at("21:40")).id == "off@2026-03-02T21:00:00Z"


def test_a_stop_that_failed_is_tried_again_and_told() -> None:
    failed = attempt(Act.STOP, "off@2026-03-02T18:00:00Z", at("19:00"), "failed", "TooManyRequests")
    situation = replace(DAY, history=(STARTED, WARNED, failed))
    assert decide_power(situation, RULES, at("19:04")).act is Act.WAIT
    again = decide_power(situation, RULES, at("19:05"))
    assert (again.act, again.alarm) == (Act.STOP, True)


def test_a_machine_just_started_runs_for_a_while() -> None:
    order = Override(True, at("20:00"), at("20:10"), at("20:00"))
    start = attempt(Act.START, "up@2026-03-02T19:00:00Z", at("20:00"), "done")
    situation = replace(DAY, orders=(order,), history=(start,))
    assert decide_power(situation, RULES, at("20:05")).act is Act.NONE  # not yet time to warn of 20:30
    waiting = decide_power(situation, RULES, at("20:10"))
    assert waiting.act is Act.WARN
    assert waiting.stop_at == at("20:30")


def test_a_machine_whose_window_policy_took_away_meanwhile_is_warned_like_any_other() -> None:
    started = attempt(Act.START, "up@2026-03-02T12:00:00Z", at("13:00"), "done")
    evenings = Schedule(BERLIN, (parse_window("Mon-Fri 20:00-23:00"),))
    warning = decide_power(replace(DAY, schedule=evenings, history=(started,)), RULES, at("14:00"))
    assert (warning.act, warning.stop_at) == (Act.WARN, at("14:15"))


def test_a_warning_of_another_stop_says_nothing_of_this_one() -> None:
    shorter = Schedule(BERLIN, (parse_window("Mon-Fri 07:00-18:50"),))
    warned = replace(DAY, history=(STARTED, replace(WARNED, stop_at=at("19:00"))))
    assert decide_power(warned, RULES, at("18:45")).act is Act.NONE
    warning = decide_power(replace(warned, schedule=shorter), RULES, at("18:45"))
    assert (warning.act, warning.id) == (Act.WARN, "off@2026-03-02T17:50:00Z")
    assert (warning.stop_at, warning.desired_up) == (at("19:00"), True)


def test_a_warning_that_was_cancelled_is_given_again_and_the_one_before_it_still_counts() -> None:
    cancelled = replace(WARNED, outcome="cancelled")
    for clock in ("18:45", "19:05"):
        assert decide_power(replace(DAY, history=(STARTED, cancelled)), RULES, at(clock)).act is Act.WARN
    twice = replace(DAY, history=(STARTED, WARNED, replace(cancelled, at=at("18:50"))))
    assert decide_power(twice, RULES, at("19:00")).act is Act.STOP


def test_a_stop_that_was_put_off_since_the_warning_is_warned_of_anew() -> None:
    restarted = replace(STARTED, at=at("18:45"))
    warned = replace(WARNED, decision="off@2026-03-02T18:00:00Z", stop_at=at("19:00"))
    decision = decide_power(
        replace(DAY, history=(restarted, warned)), RULES, at("19:00") - timedelta(minutes=1)
    )
    assert (decision.act, decision.stop_at) == (Act.WARN, at("19:15"))


def test_an_order_for_later_makes_a_warning_void_once_it_begins() -> None:
    back = Override(None, at("18:55"), at("22:00"), at("18:45"))
    warned = replace(DAY, history=(STARTED, WARNED), orders=(back,))
    assert decide_power(warned, RULES, at("18:54")).act is Act.NONE
    assert decide_power(warned, RULES, at("18:55")).act is Act.WARN


def test_it_is_left_off_until_azures_log_had_time_to_say_who_stopped_it() -> None:
    stop = UnplannedStop(at("9:00"))
    waiting = decide_power(replace(NIGHT, unplanned=stop), RULES, at("9:29"))
    assert (waiting.act, waiting.alarm, waiting.not_before) == (Act.WAIT, False, at("9:30"))
    assert "does not say yet who stopped it" in str(waiting)
    assert decide_power(replace(NIGHT, unplanned=stop), RULES, at("9:30")).act is Act.NONE


# Holds


def test_work_in_flight_is_not_interrupted_by_calendar_or_order() -> None:
    holds = (Hold("backup", at("18:30"), at("20:00")), Hold("deploy", at("18:30"), at("21:00")))
    off = parse_override("off for 3h", BERLIN, at("18:00"))
    for orders in ((), (off,)):
        held = replace(DAY, holds=holds, orders=orders, history=(STARTED, WARNED))
        decision = decide_power(held, RULES, at("19:00"))
        assert (decision.act, decision.not_before) == (Act.WAIT, at("21:00"))
        assert not decision.desired_up
        assert "deploy until Mon 2026-03-02 21:00" in str(decision)


def test_no_warning_is_given_while_a_hold_outlasts_the_window() -> None:
    held = replace(DAY, history=(STARTED,), holds=(Hold("drill", at("18:00"), at("19:01")),))
    assert decide_power(held, RULES, at("18:45")).act is Act.NONE
    ending = replace(held, holds=(Hold("drill", at("18:00"), at("19:00")),))
    assert decide_power(ending, RULES, at("18:45")).act is Act.WARN


def test_a_hold_whose_holder_died_ends_by_itself_and_at_the_latest_after_the_longest_hold() -> None:
    dead = replace(DAY, history=(STARTED,), holds=(Hold("backup", at("12:00"), at("12:00", 30)),))
    assert decide_power(dead, RULES, at("23:59")).act is Act.WAIT
    assert decide_power(dead, RULES, at("0:00", 3)).act is Act.WARN


def test_a_hold_that_has_not_begun_holds_nothing() -> None:
    later = replace(DAY, history=(STARTED, WARNED), holds=(Hold("drill", at("19:01"), at("20:00")),))
    assert decide_power(later, RULES, at("19:00")).act is Act.STOP


def test_a_hold_that_needs_the_machine_starts_it_and_afterwards_it_is_stopped_again() -> None:
    hold = Hold("deploy", at("22:00"), at("23:00"), needs_up=True)
    decision = decide_power(replace(NIGHT, holds=(hold,)), RULES, at("22:00"))
    assert (decision.act, decision.id) == (Act.START, "wake@2026-03-02T21:00:00Z")
    assert "needed by deploy" in str(decision)
    woken = attempt(Act.START, decision.id, at("22:00"), "done")
    running = replace(DAY, history=(woken,))
    assert decide_power(replace(running, holds=(hold,)), RULES, at("22:30")).act is Act.NONE
    after = decide_power(running, RULES, at("22:40"))
    assert after.act is Act.STOP
    assert "started for work that is done" in str(after)


# Backups while off


def run_night(situation: Situation, backup_minutes: int | None) -> list[tuple[str, Act]]:
    """Ticks from 18:00 to 8:00 with an obedient machine; a backup runs when it may and holds the machine."""
    now, done, running_since = at("18:00"), list[tuple[str, Act]](), None
    while now < at("8:00", 3):
        decision = decide_power(situation, RULES, now)
        if decision.act in (Act.START, Act.STOP, Act.WARN):
            done.append((f"{now.astimezone(BERLIN):%H:%M}", decision.act))
            history = append_attempt(
                situation.history,
                replace(attempt(decision.act, decision.id, now, "done"), stop_at=decision.stop_at),
            )
            state = {Act.START: PowerStatus.RUNNING, Act.STOP: PowerStatus.DEALLOCATED}.get(
                decision.act, situation.state
            )
            situation = replace(situation, history=history, state=state)
        situation, running_since = backup_step(situation, decision, running_since, backup_minutes, now)
        now += timedelta(minutes=5)
    return done


def backup_step(
    situation: Situation, decision: PowerDecision, since: datetime | None, minutes: int | None, now: datetime
) -> tuple[Situation, datetime | None]:
    need = situation.backup
    assert need is not None
    if since is not None and minutes is not None and now >= since + timedelta(minutes=minutes):
        return replace(situation, holds=(), backup=replace(need, due=need.due, last_good=now)), None
    due = need.last_good is None and now >= need.due
    if (
        since is None
        and minutes is not None
        and situation.state is PowerStatus.RUNNING
        and (due or decision.backup_first)
    ):
        return replace(situation, holds=(Hold("backup", now, now + timedelta(hours=4)),)), now
    return situation, since


def test_policy_wake_starts_it_for_the_backup_and_puts_it_back() -> None:
    situation = replace(DAY, history=(STARTED,), backup=BackupNeed(at("2:00", 3)), when_vm_off="wake")
    assert run_night(situation, 50) == [
        ("18:40", Act.WARN), ("19:00", Act.STOP),
        ("02:00", Act.START), ("02:55", Act.STOP),
        ("07:00", Act.START),
    ]  # fmt: skip


def test_a_backup_that_never_gets_done_keeps_it_up_for_six_hours_at_most() -> None:
    situation = replace(DAY, history=(STARTED,), backup=BackupNeed(at("20:00")), when_vm_off="wake")
    assert run_night(situation, None) == [
        ("18:40", Act.WARN), ("19:00", Act.STOP),
        ("20:00", Act.START), ("02:00", Act.STOP),
        ("07:00", Act.START),
    ]  # fmt: skip


def test_policy_before_stop_makes_the_backup_and_then_stops() -> None:
    situation = replace(DAY, history=(STARTED,), backup=BackupNeed(at("2:00", 3)), when_vm_off="before_stop")
    assert run_night(situation, 10) == [("18:40", Act.WARN), ("19:00", Act.STOP), ("07:00", Act.START)]
    assert run_night(situation, 50) == [
        ("18:40", Act.WARN),
        ("19:35", Act.WARN),  # later than announced
        ("19:50", Act.STOP),
        ("07:00", Act.START),
    ]


def test_before_the_stop_it_waits_for_the_backup_but_not_for_ever() -> None:
    situation = replace(DAY, history=(STARTED,), backup=BackupNeed(at("2:00", 3)), when_vm_off="before_stop")
    assert run_night(situation, None)[:3] == [("18:40", Act.WARN), ("01:00", Act.WARN), ("01:15", Act.STOP)]


def test_a_backup_that_is_due_by_day_does_not_delay_the_stop() -> None:
    tomorrow = BackupNeed(at("9:00", 3))
    situation = replace(DAY, history=(STARTED, WARNED), backup=tomorrow, when_vm_off="before_stop")
    assert decide_power(situation, RULES, at("19:00")).act is Act.STOP


def test_a_backup_of_the_last_two_hours_before_the_stop_counts_for_the_night() -> None:
    situation = replace(DAY, history=(STARTED, WARNED), when_vm_off="before_stop")
    for finished, counts in (("16:59", False), ("17:00", True)):
        need = BackupNeed(at("2:00", 3), at(finished))
        decision = decide_power(replace(situation, backup=need), RULES, at("19:00"))
        assert (decision.act, decision.backup_first) == (Act.STOP if counts else Act.WAIT, not counts)


def test_policy_skip_says_that_the_backup_is_skipped() -> None:
    situation = replace(NIGHT, backup=BackupNeed(at("2:00", 3), at("2:00")), when_vm_off="skip")
    assert "skipped" not in str(decide_power(situation, RULES, at("1:59", 3)))
    assert "skipped" in str(decide_power(situation, RULES, at("2:00", 3)))
    decision = decide_power(situation, RULES, at("3:00", 3))
    assert decision.act is Act.NONE
    assert "backup due at Tue 2026-03-03 02:00 skipped" in str(decision)
    done = replace(situation, backup=BackupNeed(at("2:00", 3), at("2:30", 3)))
    assert "skipped" not in str(decide_power(done, RULES, at("3:00", 3)))


# The record


@pytest.mark.parametrize("when_vm_off", ["wake", "before_stop"])
def test_another_policy_skips_no_backup(when_vm_off: str) -> None:
    situation = replace(NIGHT, backup=BackupNeed(at("2:00", 3), at("2:00")), when_vm_off=when_vm_off)
    assert "skipped" not in str(decide_power(situation, RULES, at("3:00", 3)))


def test_only_the_newest_start_or_stop_is_closed_by_what_the_view_shows() -> None:
    issued = replace(STARTED, outcome="issued")
    stop = attempt(Act.STOP, "off@x", at("19:00"))
    assert reconcile_history((issued, WARNED), running=True, deallocated=False)[0].outcome == "done"
    stale = reconcile_history((issued, WARNED, stop), running=True, deallocated=False)
    assert [one.outcome for one in stale] == ["issued", "issued", "issued"]
    assert reconcile_history((issued, stop), running=False, deallocated=True)[1].outcome == "done"


def test_attempts_for_other_decisions_do_not_count() -> None:
    assert retry_verdict((STARTED,), Act.START, "up@later", timedelta(minutes=15), at("7:01")).allowed
    assert retry_verdict((STARTED,), Act.STOP, STARTED.decision, timedelta(minutes=15), at("7:01")).allowed


def test_the_record_keeps_the_newest() -> None:
    history: tuple[Attempt, ...] = ()
    for minute in range(50):
        history = append_attempt(
            history, replace(STARTED, at=at("7:00") + timedelta(minutes=minute)), limit=3
        )
    assert [one.at.minute for one in history] == [47, 48, 49]


def test_a_machine_has_its_own_zone_and_may_ignore_days_off() -> None:
    windows = (parse_window("daily 09:00-17:00"),)
    plain = schedule_for(MachinePolicy(name="a", windows=windows), "Europe/Berlin", lambda _day: "holiday")
    eager = MachinePolicy(name="a", windows=windows, timezone="Asia/Tokyo", on_days_off=True)
    assert not plain.segment_at(at("12:00")).up
    tokyo = schedule_for(eager, "Europe/Berlin", lambda _day: "holiday").segment_at(at("1:00"))
    assert tokyo.up
    assert tokyo.since == at("1:00")


def test_the_pure_core_imports_no_library() -> None:
    names = "power.decide, shared.snapshots.decide, shared.cost.render, shared.cost.decide"
    libraries = "('pydantic', 'yaml', 'holidays', 'azure')"
    code = f"import sys; import shared.{names}; print([m for m in {libraries} if m in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# Orders in words


@pytest.mark.parametrize(
    ("text", "up", "until"),
    [
        ("up until 22:00", True, at("22:00")),
        ("ON until 22", True, at("22:00")),
        ("keep it up until 10pm", True, at("22:00")),
        ("up until 12:30", True, at("12:30", 3)),
        ("up until 12am", True, at("0:00", 3)),
        ("up until 24:00", True, at("0:00", 3)),
        ("up for 2h", True, at("15:00")),
        ("up for 90 minutes", True, at("14:30")),
        ("off for 1 day 2 hours", False, at("15:00", 3)),
        ("off until Monday 7:00", False, at("7:00", 9)),
        ("off until mon 14:00", False, at("14:00")),
        ("off until friday", False, at("0:00", 7)),
        ("off until tomorrow at 9", False, at("9:00", 3)),
        ("off until 2026-03-04", False, at("0:00", 5)),
        ("off until 4.3.2026", False, at("0:00", 5)),
        ("off until 04.03.2026 7:30", False, at("7:30", 4)),
        ("up until midnight", True, at("0:00", 3)),
        ("up until tomorrow noon", True, at("12:00", 3)),
        ("off until next monday 7:00", False, at("7:00", 9)),
        ("off until next friday", False, at("0:00", 7)),
        ("up for 1.5h", True, at("14:30")),
        ("off for 0.5 days", False, at("1:00", 3)),
        ("off until 2026-03-04T07:30", False, at("7:30", 4)),
        ("down till 2026-03-04 at 7:30 am", False, at("7:30", 4)),
        ("auto", None, at("13:00", 2) + timedelta(days=31)),
    ],
)  # fmt: skip
def test_orders_are_understood_as_people_write_them(text: str, up: bool | None, until: datetime) -> None:
    order = parse_override(text, BERLIN, at("13:00"), by="me")
    assert (order.up, order.start, order.until, order.by) == (up, at("13:00"), until, "me")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not an order"),
        ("up", "needs an end"),
        ("stop the world", "not an order"),
        ("up until", "needs an end"),
        ("up until 25:00", "not a time"),
        ("up until 13pm", "not a time"),
        ("up until monday evening", "not a time"),
        ("up until 2026-02-30", "not a time"),
        ("up until 30.2.2026", "not a time"),
        ("up until next 22:00", "not a time"),
        ("up until next tomorrow", "not a time"),
        ("up until next", "not a time"),
        ("up for 1.5s", "not a duration"),
        ("up for a while", "not a duration"),
        ("up for 99999999999d", "not a duration"),
        ("up for 32d", "at most 31 days"),
        ("off until 2026-03-01", "in the past"),
        ("off until today 12:00", "in the past"),
        ("auto until 22:00", "takes no end"),
    ],
)
def test_what_is_no_order_is_a_usage_error_with_examples(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        parse_override(text, BERLIN, at("13:00"))
    assert caught.value.hint


def test_an_order_until_a_skipped_or_repeated_time_ends_at_the_jump_or_the_second_pass() -> None:
    spring = datetime(2026, 3, 28, 20, tzinfo=UTC)
    assert parse_override("up until 2:30", BERLIN, spring).until == datetime(2026, 3, 29, 1, tzinfo=UTC)
    autumn = datetime(2026, 10, 24, 20, tzinfo=UTC)
    assert parse_override("up until 2:30", BERLIN, autumn).until == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_auto_gives_the_machine_back_to_the_calendar() -> None:
    off = parse_override("off until 18:00", BERLIN, at("9:00"))
    auto = parse_override("auto", BERLIN, at("10:00"))
    situation = replace(NIGHT, orders=(off, auto))
    assert decide_power(replace(situation, orders=(off,)), RULES, at("10:00")).act is Act.NONE
    assert decide_power(situation, RULES, at("10:00")).act is Act.START
