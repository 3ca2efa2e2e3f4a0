"""The cost report as people read it, in chat and on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal

from shared.cost.model import BreakEven, CostReport, MachineCost


def render_report(report: CostReport, zone: tzinfo = UTC) -> str:
    """The report in plain text of fixed width, ending with a line feed; its days are those of `zone`."""
    return "\n".join(line.rstrip() for line in _render_lines(report, zone)) + "\n"


def _render_lines(report: CostReport, zone: tzinfo) -> Iterator[str]:
    # The end is the first moment after it: a week ends on its Sunday, not on the Monday of the next.
    first, last = report.since.astimezone(zone), (report.until - timedelta.resolution).astimezone(zone)
    yield f"Cost of {first:%a %Y-%m-%d} to {last:%a %Y-%m-%d}, in {report.currency}"
    yield ""
    wide = max([7, *(len(machine.name) for machine in report.machines)])
    long = max([4, *(len(machine.size) for machine in report.machines)])
    yield f"{'machine':{wide}}  {'size':{long}}  hours  saved  unknown  extra       cost      saved"
    for machine in report.machines:
        yield _render_machine(machine, wide, long)
    yield ""
    yield from _render_fixed_costs(report)
    yield _render_forecast(report)
    yield from _render_offers(report)
    if report.savings:
        yield ""
        yield "Largest savings, each on its own:"
    for number, saving in enumerate(report.savings, 1):
        yield f"{number}. {saving.change}: {_format_money(saving.monthly)} a month ({saving.reason})"
    if report.uncounted:
        yield ""
        yield f"In no sum, since it is not known how much: {'; '.join(report.uncounted)}."
    if report.missing:
        yield ""
        yield f"No price found for: {', '.join(report.missing)}. Amounts that need it are left out."


def _render_machine(machine: MachineCost, wide: int, long: int) -> str:
    spans = f"{machine.hours:5.1f}  {machine.hours_saved:5.1f}  {machine.hours_unknown:7.1f}"
    spans += f"  {machine.hours_unscheduled:5.1f}"
    money = f"{_format_money(machine.cost):>9}  {_format_money(machine.saved):>9}"
    return f"{machine.name:{wide}}  {machine.size:{long}}  {spans}  {money}"


def _render_fixed_costs(report: CostReport) -> Iterator[str]:
    if report.fixed_costs:
        kinds = ", ".join(
            f"{kind} {_format_money(amount)}" for kind, amount in sorted(report.fixed_costs.items())
        )
        known = [amount for amount in report.fixed_costs.values() if amount is not None]
        complete = len(known) == len(report.fixed_costs) and not report.uncounted
        at_least = "" if complete else "more than "
        total = f"{at_least}{_format_money(sum(known, Decimal()))}"
        yield f"Fixed costs per month: {kinds}; total {total}"


def _render_forecast(report: CostReport) -> str:
    if report.forecast is None:
        return "Forecast for the month: unknown, since prices or hours are missing"
    more = "more than " if report.uncounted else ""
    text = f"Forecast for the month: {more}{_format_money(report.forecast)}"
    if report.budget is None:
        return text
    remaining = report.budget - report.forecast
    if report.uncounted and remaining >= 0:
        return f"{text}; whether that is below the budget of {_format_money(report.budget)} is not known"
    verdict = f"{_format_money(remaining)} below" if remaining >= 0 else f"{_format_money(-remaining)} ABOVE"
    return f"{text}, {verdict} the budget of {_format_money(report.budget)}"


def _render_offers(report: CostReport) -> Iterator[str]:
    if report.offers:
        yield ""
        yield "Commitments against the schedule:"
    for offer in report.offers:
        yield f"- {offer.machine}, {offer.commitment}: {_render_offer(offer)}"


def _render_offer(offer: BreakEven) -> str:
    difference = _format_money(abs(offer.monthly_difference))
    verdict = (
        f"would save {difference} a month" if offer.is_worth_it else f"would cost {difference} a month more"
    )
    return (
        f"pays above {offer.break_even:.1f} h a week, the schedule has {offer.hours_a_week:.1f} h; {verdict}"
    )


def _format_money(amount: Decimal | None) -> str:
    return "?" if amount is None else f"{amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
