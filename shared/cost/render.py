"""The cost report as people read it, in chat and on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal

from shared.cost.model import BreakEven, CostReport, MachineCost


def report_text(report: CostReport, zone: tzinfo = UTC) -> str:
    """The report in plain text of fixed width, ending with a line feed; its days are those of `zone`."""
    return "\n".join(line.rstrip() for line in _lines(report, zone)) + "\n"


def _lines(report: CostReport, zone: tzinfo) -> Iterator[str]:
    first, last = report.since.astimezone(zone), (report.until - timedelta.resolution).astimezone(zone)
    yield f"Cost of {first:%a %Y-%m-%d} to {last:%a %Y-%m-%d}, in {report.currency}"
    yield ""
    wide = max([7, *(len(machine.name) for machine in report.machines)])
    long = max([4, *(len(machine.size) for machine in report.machines)])
    yield f"{'machine':{wide}}  {'size':{long}}  hours  saved  extra       cost      saved"
    for machine in report.machines:
        yield _machine(machine, wide, long)
    yield ""
    yield from _standing(report)
    yield _forecast(report)
    yield from _offers(report)
    if report.savings:
        yield ""
        yield "Would save most, each by itself:"
    for number, saving in enumerate(report.savings, 1):
        yield f"{number}. {saving.change}: {_money(saving.monthly)} a month ({saving.because})"
    if report.missing:
        yield ""
        yield f"No price could be had for: {', '.join(report.missing)}. What needs it is left out."


def _machine(machine: MachineCost, wide: int, long: int) -> str:
    spans = f"{machine.hours:5.1f}  {machine.hours_saved:5.1f}  {machine.hours_beyond:5.1f}"
    money = f"{_money(machine.cost):>9}  {_money(machine.saved):>9}"
    return f"{machine.name:{wide}}  {machine.size:{long}}  {spans}  {money}"


def _standing(report: CostReport) -> Iterator[str]:
    if report.standing:
        kinds = ", ".join(f"{kind} {_money(amount)}" for kind, amount in sorted(report.standing.items()))
        known = [amount for amount in report.standing.values() if amount is not None]
        total = f"{'' if len(known) == len(report.standing) else 'more than '}{_money(sum(known, Decimal()))}"
        yield f"Paid for while stopped, a month: {kinds}; together {total}"


def _forecast(report: CostReport) -> str:
    if report.forecast is None:
        return "Forecast for the month: not possible without the missing prices"
    text = f"Forecast for the month: {_money(report.forecast)}"
    if report.budget is None:
        return text
    left = report.budget - report.forecast
    verdict = f"{_money(left)} below" if left >= 0 else f"{_money(-left)} ABOVE"
    return f"{text}, {verdict} the budget of {_money(report.budget)}"


def _offers(report: CostReport) -> Iterator[str]:
    if report.offers:
        yield ""
        yield "Commitments against the schedule:"
    for offer in report.offers:
        yield f"- {offer.machine}, {offer.commitment}: {_offer(offer)}"


def _offer(offer: BreakEven) -> str:
    difference = _money(abs(offer.monthly_difference))
    verdict = (
        f"would save {difference} a month" if offer.is_worth_it else f"would cost {difference} a month more"
    )
    return (
        f"pays above {offer.break_even:.1f} h a week, the schedule has {offer.hours_a_week:.1f} h; {verdict}"
    )


def _money(amount: Decimal | None) -> str:
    return "?" if amount is None else f"{amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
