"""The cost report: hours and money checked by hand, break-even net of the schedule, and a golden week."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.cloud.billing import to_hours
from shared.cost.decide import compute_report
from shared.cost.model import (
    Commitment,
    CostReport,
    FixedCost,
    MachineUse,
    PriceBook,
    UnitPrice,
    UsageSpan,
    sum_hours_run,
)
from shared.cost.render import render_report
from shared.policy import CostPolicy
from shared.policy.values import parse_window
from shared.power.schedule import Schedule

GOLDEN = Path(__file__).parents[1] / "golden" / "cost"
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 3, 1, 23, tzinfo=UTC)  # midnight in Berlin
WEEK = timedelta(days=7)
MONTH_BEGAN, MONTH_ENDS = datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC)
CALENDAR = Schedule(BERLIN, (parse_window("Mon-Fri 07:00-19:00"),))
SIZE = "Standard_D4ads_v5"
PRICES = PriceBook(
    machines={SIZE: UnitPrice(Decimal("0.222")), "Standard_D4as_v5": UnitPrice(Decimal("0.198"))},
    commitments={
        SIZE: (
            Commitment("reservation", 1, Decimal("0.131")),
            Commitment("reservation", 3, Decimal("0.0702")),
            Commitment("savings plan", 1, Decimal("0.156")),
        )
    },
    fixed_costs={
        "Premium SSD P10": UnitPrice(Decimal("19.71"), "month"),
        "Standard IPv4": UnitPrice(Decimal("0.005")),
        "Snapshot LRS": UnitPrice(Decimal("0.05"), "month"),
    },
)
THINGS = (
    FixedCost("rocketchat-os", "disk", "Premium SSD P10"),
    FixedCost("rocketchat-data-old", "disk", "Premium SSD P10", used=False),
    FixedCost("rocketchat-ip", "address", "Standard IPv4"),
    FixedCost("14 snapshots", "snapshot", "Snapshot LRS", Decimal(90)),
)
POLICY = CostPolicy(currency="EUR", budget=150)


def office_runs() -> tuple[UsageSpan, ...]:
    """Monday to Friday 7 to 19 in Berlin, with an evening on Wednesday that nobody asked for."""
    days = [MONDAY + timedelta(days=day, hours=7) for day in range(5)]
    return tuple(
        UsageSpan(day, day + timedelta(hours=15 if index == 2 else 12)) for index, day in enumerate(days)
    )


def use(**changes: object) -> MachineUse:
    made = MachineUse(
        "rocketchat",
        SIZE,
        office_runs(),
        scheduled=CALENDAR.up_time(MONDAY, MONDAY + WEEK),
        planned=CALENDAR.up_time(MONDAY + WEEK, MONTH_ENDS),
        year_ahead=CALENDAR.up_time(MONDAY + WEEK, MONDAY + WEEK + timedelta(days=365)),
        alternatives=("Standard_D4as_v5",),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def week(*uses: MachineUse, prices: PriceBook = PRICES, policy: CostPolicy = POLICY) -> CostReport:
    return compute_report(uses or (use(),), THINGS, prices, policy, MONDAY, MONDAY + WEEK, MONTH_BEGAN)


def test_the_report_of_a_week_is_the_golden_one() -> None:
    assert render_report(week(), BERLIN) == (GOLDEN / "week.txt").read_text(encoding="utf-8")


def test_the_report_with_missing_prices_says_so_and_guesses_nothing() -> None:
    partial = PriceBook(machines={}, fixed_costs={"Standard IPv4": UnitPrice(Decimal("0.005"))})
    text = render_report(week(prices=partial), BERLIN)
    assert text == (GOLDEN / "missing.txt").read_text(encoding="utf-8")


def test_hours_and_money_of_the_week_add_up() -> None:
    (machine,) = week().machines
    assert (machine.hours, machine.hours_saved, machine.hours_unscheduled) == (63, 105, 3)
    assert machine.cost == Decimal("13.986")
    assert machine.saved == Decimal("23.31")
    # 63 h so far and seventeen days of twelve hours to come: March 9 to 31.
    assert machine.month_forecast == (63 + 17 * 12) * Decimal("0.222")


def test_the_forecast_adds_what_is_paid_for_while_stopped() -> None:
    made = week()
    fixed_costs = 2 * Decimal("19.71") + Decimal("0.005") * 730 + Decimal("0.05") * 90
    assert sum(filter(None, made.fixed_costs.values())) == fixed_costs
    assert made.forecast == made.machines[0].month_forecast + fixed_costs  # type: ignore[operator]


def test_one_missing_price_of_a_disk_takes_the_forecast_but_not_the_rest() -> None:
    fixed_costs = dict(PRICES.fixed_costs)
    del fixed_costs["Premium SSD P10"]
    made = week(prices=replace(PRICES, fixed_costs=fixed_costs))
    assert (made.forecast, made.missing) == (None, ("Premium SSD P10",))
    assert made.fixed_costs == {"disk": None, "address": Decimal("3.65"), "snapshot": Decimal("4.5")}
    assert made.machines[0].cost == Decimal("13.986")


def test_of_a_kind_with_one_unknown_price_the_sum_is_unknown_whichever_it_is() -> None:
    known, unknown = THINGS[0], FixedCost("odd", "disk", "Premium SSD P99")
    for things in ((known, unknown), (unknown, known), (known, unknown, known)):
        made = compute_report((use(),), things, PRICES, POLICY, MONDAY, MONDAY + WEEK, MONTH_BEGAN)
        assert (made.fixed_costs, made.forecast) == ({"disk": None}, None)


def test_a_missing_price_of_an_alternative_does_not_take_the_forecast() -> None:
    made = week(use(alternatives=("Standard_X",)))
    assert made.missing == ("Standard_X",)
    assert made.forecast is not None


@pytest.mark.parametrize("hourly", ["0.07", "0.0702", "0.0795", "0.131"])
@pytest.mark.parametrize("weekly", [20, 50, 60, 100, 168])
def test_a_commitment_is_worth_it_exactly_when_the_schedule_exceeds_its_break_even(
    hourly: str, weekly: int
) -> None:
    year = timedelta(hours=weekly * 8760 / 168)
    prices = replace(PRICES, commitments={SIZE: (Commitment("reservation", 1, Decimal(hourly)),)})
    (offer,) = week(use(year_ahead=year), prices=prices).offers
    as_you_go, committed = to_hours(year) * Decimal("0.222"), 8760 * Decimal(hourly)
    assert offer.is_worth_it == (as_you_go > committed)
    assert offer.is_worth_it == (offer.hours_a_week > offer.break_even)
    assert abs(offer.monthly_difference * 12 - (as_you_go - committed)) < Decimal("0.001")


def test_a_machine_that_always_runs_is_told_to_reserve_or_to_get_a_schedule() -> None:
    always = use(runs=(UsageSpan(MONTH_BEGAN),), scheduled=WEEK, year_ahead=timedelta(days=365))
    changes = [saving.change for saving in week(always).savings]
    assert changes == [
        "Take the reservation of 3 years for rocketchat",
        "Give rocketchat a schedule, as Mon-Fri 07:00-19:00",
        "Delete the disk rocketchat-data-old",
    ]


def test_hours_that_the_ledger_does_not_know_are_neither_run_nor_saved_and_make_no_forecast() -> None:
    known = use(runs=office_runs()[:1], unknown=timedelta(days=5), unknown_in_month=timedelta(days=5))
    made = week(known)
    (machine,) = made.machines
    assert (machine.hours, machine.hours_unknown, machine.hours_saved) == (12, 120, 168 - 12 - 120)
    assert machine.saved == 36 * Decimal("0.222")
    assert (machine.month_forecast, made.forecast) == (None, None)
    before = week(replace(known, unknown=timedelta()))
    assert (before.machines[0].hours_saved, before.forecast) == (156, None)


def test_of_several_smaller_sizes_the_cheapest_is_advised() -> None:
    sizes = {"Standard_A": UnitPrice(Decimal("0.15")), "Standard_B": UnitPrice(Decimal("0.1"))}
    prices = replace(PRICES, machines={**PRICES.machines, **sizes}, commitments={})
    changes = [s.change for s in week(use(alternatives=("Standard_A", "Standard_B")), prices=prices).savings]
    assert "Move rocketchat to Standard_B" in changes
    assert "Move rocketchat to Standard_A" not in changes


def test_nothing_is_advised_that_saves_nothing() -> None:
    thrifty = use(runs=office_runs()[:2], alternatives=("Standard_D4ads_v5",))
    made = compute_report(
        (thrifty,), THINGS[:1], replace(PRICES, commitments={}), POLICY, MONDAY, MONDAY + WEEK, MONTH_BEGAN
    )
    assert made.savings == ()


def test_above_and_below_the_budget_are_told_apart() -> None:
    assert "ABOVE the budget of 50.00" in render_report(week(policy=CostPolicy(budget=50)))
    assert "budget" not in render_report(week(policy=CostPolicy()))


spans = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300) | st.none()), max_size=8)


@given(spans, st.integers(0, 200), st.integers(0, 200))
@settings(max_examples=200, deadline=None)
def test_hours_run_count_every_hour_once(
    drawn: list[tuple[int, int | None]], begin: int, length: int
) -> None:
    moment = [MONDAY + timedelta(hours=hour) for hour in range(700)]
    runs = [UsageSpan(moment[a], None if n is None else moment[a + n]) for a, n in drawn]
    expected = sum(
        any(a <= hour and (n is None or hour < a + n) for a, n in drawn)
        for hour in range(begin, begin + length)
    )
    assert sum_hours_run(runs, moment[begin], moment[begin + length]) == expected
