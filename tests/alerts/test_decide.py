"""Each start and each end is told once; downtime explains what it is about, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.alerts.decide import MAX_KNOWN, AlertPlan, decide_again, decide_alerts, make_explain
from shared.alerts.model import Alert, KnownAlert, PlannedDowntime
from shared.notifications.model import Severity
from shared.notifications.silence import Silence
from shared.policy.alerts import AlertPolicy

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
REPEAT = timedelta(hours=4)
FIRING = Alert(
    "f1", True, "RocketChatDown", Severity.CRITICAL, "down", "", "", NOW - timedelta(minutes=5),
    "Alertmanager", {"availability": "true"}, ("https://chat.example.org",),
)  # fmt: skip
OVER = replace(FIRING, firing=False)


def nothing(_alert: Alert) -> str:
    return ""


def night(_alert: Alert) -> str:
    return "it is night"


def after(*alerts: Alert, explain=nothing, now: datetime = NOW) -> AlertPlan:
    plan = AlertPlan({}, (), {})
    for alert in alerts:
        plan = decide_alerts(plan.known, [alert], explain, now, REPEAT)
    return plan


def test_a_start_and_its_end_are_each_told_once() -> None:
    known: dict[str, KnownAlert] = {}
    told = []
    for alert in (FIRING, FIRING, OVER, OVER):
        plan = decide_alerts(known, [alert], nothing, NOW, REPEAT)
        known = dict(plan.known)
        told += plan.tell
    assert told == [FIRING, OVER]


def test_what_still_fires_is_told_again_after_the_time_that_policy_sets() -> None:
    known = after(FIRING).known
    assert not decide_alerts(known, [FIRING], nothing, NOW + REPEAT - timedelta(seconds=1), REPEAT).tell
    assert decide_alerts(known, [FIRING], nothing, NOW + REPEAT, REPEAT).tell == (FIRING,)


def test_the_same_alert_that_starts_anew_is_told_anew() -> None:
    again = replace(FIRING, starts_at=NOW)
    assert after(FIRING, OVER, again).tell == (again,)
    assert after(FIRING, again).tell == (again,)  # its end was lost on the way


@pytest.mark.parametrize(
    ("alerts", "reason"),
    [
        pytest.param((OVER,), "its start was never told", id="an end without a start"),
        pytest.param((OVER, FIRING), "it is over already", id="the start comes after the end"),
        pytest.param((FIRING, OVER, FIRING), "it is over already", id="the start comes again after the end"),
        pytest.param(
            (replace(FIRING, starts_at=NOW), OVER), "it is older than what is known", id="the end of another"
        ),
        pytest.param((FIRING, FIRING), "it was told", id="twice"),
        pytest.param((FIRING, OVER, OVER), "its end was told", id="two ends"),
    ],
)  # fmt: skip
def test_what_comes_late_or_twice_is_not_told(alerts: tuple[Alert, ...], reason: str) -> None:
    plan = after(*alerts)
    assert (plan.tell, dict(plan.left_out)) == ((), {"f1": reason})


def test_what_is_explained_is_not_told_nor_is_its_end() -> None:
    plan = after(FIRING, explain=night)
    assert dict(plan.left_out) == {"f1": "explained: it is night"}
    assert not decide_alerts(plan.known, [OVER], nothing, NOW, REPEAT).tell


def test_it_is_told_as_soon_as_nothing_explains_it_any_more() -> None:
    muted = after(FIRING, explain=night).known
    assert not decide_again(muted, night, NOW).tell
    plan = decide_again(muted, nothing, NOW)
    assert plan.tell == (FIRING,)
    assert not decide_again(plan.known, nothing, NOW).tell
    assert decide_alerts(plan.known, [OVER], nothing, NOW, REPEAT).tell == (OVER,)


def test_looking_again_changes_nothing_of_what_was_told_or_is_over() -> None:
    over = replace(OVER, fingerprint="f2")
    known = {**after(FIRING).known, **after(over).known}
    assert known["f2"].told_at is None
    plan = decide_again(known, nothing, NOW + timedelta(hours=9))
    assert (dict(plan.known), plan.tell, dict(plan.left_out)) == (known, (), {})


def test_downtime_that_begins_after_an_alert_was_told_does_not_silence_its_end() -> None:
    told = after(FIRING).known
    assert decide_alerts(told, [OVER], night, NOW, REPEAT).tell == (OVER,)


def test_what_was_told_stays_told_though_downtime_begins_while_it_fires() -> None:
    told = after(FIRING).known
    repeated = decide_alerts(told, [FIRING], night, NOW, REPEAT)
    assert dict(repeated.left_out) == {"f1": "it was told"}
    repeated = decide_alerts(told, [FIRING], night, NOW + REPEAT, REPEAT)
    assert dict(repeated.left_out) == {"f1": "explained: it is night"}
    assert not decide_again(repeated.known, nothing, NOW + REPEAT).tell
    assert decide_alerts(repeated.known, [FIRING], nothing, NOW + REPEAT, REPEAT).tell == (FIRING,)
    assert decide_alerts(repeated.known, [OVER], night, NOW, REPEAT).tell == (OVER,)


alerts = st.builds(
    lambda number, firing, start: replace(
        FIRING, fingerprint=f"f{number}", firing=firing, starts_at=NOW + timedelta(minutes=start)
    ),
    st.integers(0, 3), st.booleans(), st.integers(0, 3),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(alerts, max_size=30))
def test_whatever_the_order_no_end_is_told_without_its_start_and_nothing_twice(incoming: list[Alert]) -> None:
    told: list[Alert] = []
    known: dict[str, KnownAlert] = {}
    for alert in incoming:
        plan = decide_alerts(known, [alert], nothing, NOW, REPEAT)
        known, told = dict(plan.known), [*told, *plan.tell]
    events = [(one.fingerprint, one.starts_at, one.firing) for one in told]
    assert len(events) == len(set(events))
    for index, (name, start, firing) in enumerate(events):
        assert firing or (name, start, True) in events[:index]
    again = decide_alerts(known, incoming, nothing, NOW, REPEAT)
    assert not again.tell


@settings(max_examples=50, deadline=None)
@given(st.lists(alerts, max_size=30))
def test_a_payload_of_many_is_worked_off_as_if_they_had_come_one_by_one(incoming: list[Alert]) -> None:
    known: dict[str, KnownAlert] = {}
    told: list[Alert] = []
    for alert in incoming:
        plan = decide_alerts(known, [alert], nothing, NOW, REPEAT)
        known, told = dict(plan.known), [*told, *plan.tell]
    together = decide_alerts({}, incoming, nothing, NOW, REPEAT)
    assert (list(together.tell), dict(together.known)) == (told, known)


def test_what_is_over_for_a_day_is_forgotten_and_what_fires_is_not() -> None:
    known = after(FIRING, OVER, replace(FIRING, fingerprint="f2")).known
    later = decide_alerts(known, [], nothing, NOW + timedelta(days=1), REPEAT).known
    assert list(later) == ["f2"]


def test_what_fires_is_forgotten_after_thirty_days_without_a_word_of_it() -> None:
    known = after(FIRING).known
    thirty = timedelta(days=30)
    assert decide_alerts(known, [], nothing, NOW + thirty - timedelta(seconds=1), REPEAT).known
    assert not decide_alerts(known, [], nothing, NOW + thirty, REPEAT).known
    over = after(FIRING, OVER).known
    assert decide_alerts(over, [], nothing, NOW + timedelta(hours=23, minutes=59), REPEAT).known


def test_of_too_many_those_that_are_over_go_first_and_then_the_oldest() -> None:
    def entry(number: int, *, firing: bool, minutes: int) -> KnownAlert:
        alert = replace(FIRING, fingerprint=f"x{number}", firing=firing)
        return KnownAlert(alert, NOW - timedelta(minutes=minutes), NOW)

    known = {f"x{n}": entry(n, firing=n != 5, minutes=9 if n == 7 else 1) for n in range(MAX_KNOWN)}
    assert len(decide_alerts(known, [], nothing, NOW, REPEAT).known) == MAX_KNOWN
    more = replace(FIRING, fingerprint="new")
    assert set(known) - set(decide_alerts(known, [more], nothing, NOW, REPEAT).known) == {"x5"}
    others = [more, replace(FIRING, fingerprint="newer")]
    assert set(known) - set(decide_alerts(known, others, nothing, NOW, REPEAT).known) == {"x5", "x7"}


def test_a_start_that_lies_too_far_ahead_makes_nothing_else_old() -> None:
    skew = timedelta(minutes=10)
    for ahead, told in ((skew, ()), (skew + timedelta(seconds=1), (FIRING,))):
        known = after(replace(FIRING, starts_at=NOW + ahead)).known
        assert decide_alerts(known, [FIRING], nothing, NOW, REPEAT).tell == told


def test_a_flood_is_told_but_not_all_of_it_remembered() -> None:
    flood = [replace(FIRING, fingerprint=f"x{number}") for number in range(MAX_KNOWN + 500)]
    plan = decide_alerts({}, flood, nothing, NOW, REPEAT)
    assert len(plan.tell) == len(flood)
    assert len(plan.known) == MAX_KNOWN


OFF = (PlannedDowntime("rocketchat", ("rocketchat", "chat.example.org", "node-*"), "outside of its windows"),)


@pytest.mark.parametrize(
    ("change", "explained"),
    [
        pytest.param({}, True, id="the host of an address"),
        pytest.param({"targets": ("rocketchat",)}, True, id="the machine's name"),
        pytest.param({"targets": ("ROCKETCHAT:9100",)}, True, id="with a port"),
        pytest.param({"targets": ("node-7",)}, True, id="a pattern"),
        pytest.param({"targets": ("10.0.0.9:9100", "rocketchat")}, True, id="one of its targets"),
        pytest.param({"targets": ("other",)}, False, id="another machine"),
        pytest.param({"targets": ("chat.example.org.evil.test",)}, False, id="a longer name"),
        pytest.param({"targets": ("http://[broken",)}, False, id="no address"),
        pytest.param({"targets": ()}, False, id="no machine"),
        pytest.param({"targets": ("",)}, False, id="an empty one"),
        pytest.param({"targets": ("https://",)}, False, id="an address without a host"),
        pytest.param({"targets": ("rocketchat:http",)}, False, id="no port"),
        pytest.param({"targets": (":9100",)}, False, id="a port alone"),
        pytest.param({"labels": {}}, False, id="not about availability"),
        pytest.param({"labels": {"availability": "false"}}, False, id="another value"),
        pytest.param({"labels": {}, "name": "VMHeartbeatMissing"}, True, id="by its name"),
    ],
)
def test_downtime_explains_availability_of_the_machine_and_nothing_else(change, explained: bool) -> None:
    policy = AlertPolicy.model_validate({"availability": ("availability=true", "VMHeartbeat*")})
    reason = make_explain(OFF, policy)(replace(FIRING, **change))
    assert bool(reason) is explained
    assert make_explain((), policy)(replace(FIRING, **change)) == ""


def test_of_several_machines_the_one_that_it_is_about_is_named() -> None:
    more = (PlannedDowntime("builder", ("builder",), "on holiday"), *OFF)
    policy = AlertPolicy.model_validate({"availability": ("RocketChat*",)})
    explain = make_explain(more, policy)
    assert explain(FIRING) == "rocketchat is off by plan (outside of its windows)"
    assert explain(replace(FIRING, targets=("builder",))) == "builder is off by plan (on holiday)"


def test_a_silence_explains_an_alert_that_no_downtime_does() -> None:
    silence = Silence("alerts", True, NOW, NOW + REPEAT, "ana", "moving")
    explain = make_explain((), AlertPolicy(), [silence])
    assert explain(FIRING) == f"silenced: {silence}"
    assert not make_explain((), AlertPolicy(), [replace(silence, what="backup")])(FIRING)
