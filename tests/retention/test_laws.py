"""Laws of retention, and golden plans of a year."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.policy import Retention
from shared.retention.decide import (
    Item,
    Keep,
    Remove,
    choose_class,
    plan_retention,
    removed_items,
    retention_text,
)

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
DAY = timedelta(days=1)
GOLDEN = Path(__file__).parents[1] / "golden" / "retention"
BERLIN = ZoneInfo("Europe/Berlin")
GFS = Retention(weekly=timedelta(weeks=8), monthly=timedelta(days=400))

hours = st.integers(-48, 24 * 500)
items = st.builds(
    lambda number, age, made_as, good, proven, ours, until: Item(
        f"item-{number}",
        NOW - timedelta(hours=age),
        made_as,
        good,
        proven,
        ours,
        None if until is None else NOW + timedelta(hours=until),
    ),
    st.integers(0, 10**9),
    hours,
    st.sampled_from(["daily", "weekly", "monthly", "gone"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([True, True, True, False]),
    st.none() | st.integers(-100, 100),
)
many = st.lists(items, max_size=40, unique_by=lambda item: item.name)
rules = st.builds(
    lambda daily, weekly, monthly, minimum, more, failed: Retention(
        daily=timedelta(days=daily),
        weekly=weekly and timedelta(days=daily + weekly),
        monthly=monthly and timedelta(days=daily + (weekly or 0) + monthly),
        minimum=minimum,
        maximum=more and minimum + more,
        failed=timedelta(days=failed),
    ),
    st.integers(1, 30),
    st.none() | st.integers(1, 60),
    st.none() | st.integers(1, 400),
    st.integers(1, 5),
    st.none() | st.integers(1, 20),
    st.integers(1, 10),
)


def newest(found: list[Item], now: datetime, *, proven: bool = False) -> Item | None:
    """The newest good item of ours, found in another way than the plan finds it."""
    best = None
    for item in found:
        if not (item.complete and item.managed) or item.taken > now or (proven and not item.proven):
            continue
        if best is None or (item.taken, item.name) > (best.taken, best.name):
            best = item
    return best


@given(many, rules)
@settings(max_examples=200, deadline=None)
def test_each_item_gets_one_decision_with_a_reason_newest_first(found: list[Item], policy: Retention) -> None:
    decisions = plan_retention(found, policy, NOW)
    assert sorted(d.item.name for d in decisions) == sorted(item.name for item in found)
    assert all(decision.reasons and all(decision.reasons) for decision in decisions)
    taken = [decision.item.taken for decision in decisions]
    assert taken == sorted(taken, reverse=True)


@given(many, rules)
@settings(max_examples=300, deadline=None)
def test_what_is_protected_is_never_removed(found: list[Item], policy: Retention) -> None:
    gone = set(removed_items(plan_retention(found, policy, NOW)))
    good = sorted(
        (i for i in found if i.complete and i.managed and i.taken <= NOW), key=lambda i: (i.taken, i.name)
    )
    assert not gone.intersection(good[-policy.minimum :])
    assert newest(found, NOW) not in gone
    assert newest(found, NOW, proven=True) not in gone
    assert not [
        i for i in gone if not i.managed or i.taken > NOW or (i.retained_until and i.retained_until > NOW)
    ]


@given(many, rules)
@settings(max_examples=200, deadline=None)
def test_without_a_maximum_nothing_within_its_age_is_removed(found: list[Item], policy: Retention) -> None:
    plain = policy.model_copy(update={"maximum": None})
    for decision in plan_retention(found, plain, NOW):
        item = decision.item
        limit = policy.ages.get(item.klass, max(policy.ages.values())) if item.complete else policy.failed
        if isinstance(decision, Remove):
            assert NOW - item.taken >= limit


@given(many, rules)
@settings(max_examples=200, deadline=None)
def test_planning_again_after_the_removal_removes_nothing_more(found: list[Item], policy: Retention) -> None:
    decisions = plan_retention(found, policy, NOW)
    left = [decision.item for decision in decisions if isinstance(decision, Keep)]
    assert removed_items(plan_retention(left, policy, NOW)) == ()


@given(many, rules, st.integers(0, 24 * 700))
@settings(max_examples=200, deadline=None)
def test_what_age_removes_it_removes_at_any_later_time(
    found: list[Item], policy: Retention, later: int
) -> None:
    plain = policy.model_copy(update={"maximum": None})
    first = set(removed_items(plan_retention(found, plain, NOW)))
    assert first <= set(removed_items(plan_retention(found, plain, NOW + timedelta(hours=later))))


@given(many, many, rules)
@settings(max_examples=200, deadline=None)
def test_added_entries_cannot_push_out_what_age_or_proof_protects(
    found: list[Item], fakes: list[Item], policy: Retention
) -> None:
    plain = policy.model_copy(update={"maximum": None})
    fakes = [item._replace(name=f"fake-{item.name}", proven=False) for item in fakes]
    before = {d.item for d in plan_retention(found, plain, NOW) if isinstance(d, Keep)}
    lost = before.intersection(removed_items(plan_retention([*found, *fakes], plain, NOW)))
    # Only the protection by count can pass to newer entries; age and proof stay.
    for item in lost:
        assert NOW - item.taken >= plain.ages.get(item.klass, max(plain.ages.values()))
    assert newest(found, NOW, proven=True) not in lost


@given(many, rules)
@settings(max_examples=200, deadline=None)
def test_a_maximum_is_kept_unless_protection_forbids_it(found: list[Item], policy: Retention) -> None:
    if policy.maximum is None:
        return
    kept = [d for d in plan_retention(found, policy, NOW) if isinstance(d, Keep)]
    free = [d for d in kept if len(d.reasons) == 1 and " old, limit " in d.reasons[0]]
    assert len(kept) <= policy.maximum or not free


steps = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.lists(items, min_size=1, max_size=5)),
        st.tuples(st.just("wait"), st.integers(1, 24 * 60)),
        st.tuples(st.just("prune"), rules),
        st.tuples(st.just("half"), rules),
    ),
    max_size=25,
)


@given(steps)
@settings(max_examples=200, deadline=None)
def test_no_sequence_of_prunes_ever_removes_the_newest_good_one(sequence: list[tuple[str, object]]) -> None:
    now, there, serial = NOW, list[Item](), 0
    for action, argument in sequence:
        if action == "wait":
            assert isinstance(argument, int)
            now += timedelta(hours=argument)
        elif action == "arrive":
            assert isinstance(argument, list)
            for item in argument:
                serial += 1
                there.append(item._replace(name=f"item-{serial}", taken=now - (NOW - item.taken)))
        else:
            assert isinstance(argument, Retention)
            gone = list(removed_items(plan_retention(there, argument, now)))
            gone = gone[: len(gone) // 2] if action == "half" else gone  # the process dies half-way
            best, proven = newest(there, now), newest(there, now, proven=True)
            there = [item for item in there if item not in gone]
            assert best is None or best in there
            assert proven is None or proven in there


@given(st.lists(st.booleans(), min_size=60, max_size=120), st.sampled_from(["Europe/Berlin", "Pacific/Apia"]))
@settings(max_examples=30, deadline=None)
def test_each_month_and_week_with_a_good_item_has_one_of_its_class(fates: list[bool], zone: str) -> None:
    made: list[Item] = []
    for day, good in enumerate(fates):
        now = NOW + day * DAY
        made.append(Item(str(day), now, choose_class(made, GFS, ZoneInfo(zone), now), good))
    local = [(item, item.taken.astimezone(ZoneInfo(zone))) for item in made if item.complete]
    months = {(when.year, when.month) for _, when in local}
    assert [item.klass for item, _ in local].count("monthly") == len(months)
    weeks = {when.isocalendar()[:2] for _, when in local}
    assert weeks == {when.isocalendar()[:2] for item, when in local if item.klass != "daily"}


def test_of_too_many_the_failed_go_first_then_the_oldest_of_the_shortest_lived_class() -> None:
    ages = [
        ("daily", 1, True),
        ("daily", 2, True),
        ("monthly", 9, True),
        ("daily", 8, True),
        ("monthly", 1, False),
    ]
    found = [Item(f"{made_as}-{age}-{good}", NOW - age * DAY, made_as, good) for made_as, age, good in ages]
    gone = [
        {item.name for item in removed_items(plan_retention(found, GFS.model_copy(update=limits), NOW))}
        for limits in (
            {"maximum": 4, "minimum": 1},
            {"maximum": 3, "minimum": 1},
            {"maximum": 2, "minimum": 1},
        )
    ]
    assert gone[0] == {"monthly-1-False"}
    assert gone[1] - gone[0] == {"daily-8-True"}
    assert gone[2] - gone[1] == {"daily-2-True"}


def test_a_class_that_policy_has_anew_is_due_at_once() -> None:
    week_old = [Item("w", NOW - DAY, "weekly")]
    assert choose_class(week_old, GFS, BERLIN, NOW) == "monthly"
    assert (
        choose_class(week_old, Retention(weekly=timedelta(weeks=8)), BERLIN, NOW - timedelta(hours=3))
        == "daily"
    )
    assert choose_class([], Retention(), BERLIN, NOW) == "daily"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, "daily", id="a good monthly one stands for its month and its week"),
        pytest.param({"klass": "weekly"}, "monthly", id="a weekly one does not stand for a month"),
        pytest.param({"complete": False}, "monthly", id="a failed one counts for nothing"),
        pytest.param({"managed": False}, "monthly", id="one that is not ours counts for nothing"),
        pytest.param({"taken": NOW + timedelta(hours=1)}, "monthly", id="one from the future, too"),
        pytest.param({"taken": NOW}, "daily", id="one of this very moment counts"),
        pytest.param({"taken": NOW - 3 * DAY}, "monthly", id="one of last month, though of this week"),
        pytest.param({"taken": NOW - 365 * DAY}, "monthly", id="one of the same month a year ago"),
    ],
)
def test_what_counts_for_the_class_of_the_next_item(change: dict[str, Any], expected: str) -> None:
    made = Item("made", NOW - timedelta(hours=1), "monthly")._replace(**change)
    assert choose_class([made], GFS, BERLIN, NOW) == expected


def year_of_items() -> list[Item]:
    made: list[Item] = []
    for day in range(366):
        taken = datetime(2025, 3, 1, 1, 30, tzinfo=UTC) + day * DAY
        made_as = choose_class(made, GFS, BERLIN, taken)
        good, proven = day % 17 != 5, day % 30 == 10
        made.append(Item(f"{taken:%Y%m%d}", taken, made_as, good, good and proven))
    made[3] = made[3]._replace(retained_until=datetime(2026, 12, 31, tzinfo=UTC))
    made[7] = made[7]._replace(managed=False)
    made[9] = made[9]._replace(taken=datetime(2031, 1, 1, tzinfo=UTC), name="from-the-future")
    return made


@pytest.mark.parametrize(
    ("name", "policy"),
    [("gfs", GFS), ("daily", Retention()), ("maximum", 20)],
    ids=["grandfather-father-son", "fourteen days", "at most twenty"],
)
def test_the_plan_of_a_year_of_daily_items_is_the_golden_one(name: str, policy: Retention | int) -> None:
    rules = GFS.model_copy(update={"maximum": policy}) if isinstance(policy, int) else policy
    text = retention_text(plan_retention(year_of_items(), rules, NOW)) + "\n"
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_a_hundred_thousand_items_are_planned_in_well_under_a_second_of_cpu() -> None:
    found = [Item(f"s{i}", NOW - timedelta(minutes=i), ("daily", "weekly")[i % 2]) for i in range(100_000)]
    began = time.process_time()
    decisions = plan_retention(found, GFS.model_copy(update={"maximum": 5000}), NOW)
    assert (
        time.process_time() - began < 2
    )  # about 0.4 s on an idle machine; the limit allows for a loaded one
    assert sum(isinstance(decision, Keep) for decision in decisions) == 5000


def test_an_item_taken_now_protects_itself_and_is_not_of_the_future() -> None:
    (decision,) = plan_retention([Item("now", NOW)], Retention(daily=DAY), NOW)
    assert decision.reasons[0] == "newest complete"
    (later,) = plan_retention([Item("later", NOW + timedelta(seconds=1))], Retention(daily=DAY), NOW)
    assert later.reasons[0] == "dated in the future"


def test_what_nobody_proved_is_not_kept_as_the_newest_proven() -> None:
    old = [Item(str(age), NOW - age * DAY) for age in (20, 30, 40)]
    decisions = plan_retention(old, Retention(daily=DAY, minimum=1), NOW)
    assert [item.name for item in removed_items(decisions)] == ["30", "40"]
