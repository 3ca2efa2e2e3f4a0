"""The section of the status page about hours and money: the newest week, and a year of weeks as charts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from shared.status.charts import Bar, draw_bars, draw_stacks
from shared.status.model import CostFacts, CostWeek
from shared.status.sections_html import render_table
from shared.status.uptime_html import render_uptime


def render_cost(cost: CostFacts) -> str:
    """The section; what is not known is grey in a chart and "unknown" in a table, never zero."""
    rows = [
        (
            one.machine,
            one.hours,
            one.saved_hours,
            one.unknown_hours,
            one.cost or "unknown",
            one.saved or "unknown",
        )
        for one in cost.machines
    ]
    head = ("Machine", "Ran", "Saved", "Unknown", f"Cost ({cost.currency})", f"Saved ({cost.currency})")
    notes = "".join(f"<p>{escape(note)}</p>" for note in cost.notes)
    forecast, budget = escape(cost.forecast or "unknown"), escape(cost.budget or "none")
    month = f"<p>Forecast of the month: {forecast}, budget {budget}.</p>"
    title = f"Uptime and cost, {cost.since:%Y-%m-%d} to {cost.until:%Y-%m-%d}"
    table = render_table(title, head, rows)
    weeks = f"<section><h2>{escape(title)}</h2>{table}{month}{notes}{_render_weeks(cost)}</section>"
    return weeks + render_uptime(cost.uptime)


def _render_weeks(cost: CostFacts) -> str:
    if not cost.weeks:
        return ""
    hours = draw_stacks(
        "Hours of all machines by week: run, saved by the schedule, and unknown in grey",
        [
            (one.since.date(), ((one.hours, "mark"), (one.saved_hours, "good"), (one.unknown_hours, "none")))
            for one in cost.weeks
        ],
    )
    over = None if cost.budget is None else float(cost.budget)
    charts = [
        _titled("Hours by week: run, saved, unknown", hours),
        _chart(f"Cost of machines by week ({cost.currency})", cost.weeks, [one.cost for one in cost.weeks]),
        _chart(
            f"Saved by the schedule by week ({cost.currency})", cost.weeks, [one.saved for one in cost.weeks]
        ),
        _chart(
            f"Forecast of the month at each week's end ({cost.currency})",
            cost.weeks,
            [one.forecast for one in cost.weeks],
            over,
        ),
    ]
    head = ("Week from", "Ran (h)", "Saved (h)", "Unknown (h)", "Cost", "Saved", "Forecast")
    rows = [
        (
            f"{one.since:%Y-%m-%d}", f"{one.hours:.1f}", f"{one.saved_hours:.1f}", f"{one.unknown_hours:.1f}",
            _money(one.cost), _money(one.saved), _money(one.forecast),
        )
        for one in reversed(cost.weeks)
    ]  # fmt: skip
    table = render_table("Weeks", head, rows)
    return f"{''.join(charts)}<details><summary>As a table</summary>{table}</details>"


def _chart(
    title: str, weeks: Sequence[CostWeek], values: Sequence[float | None], over: float | None = None
) -> str:
    """Bars of the weeks, in red above `over`."""
    bars = [
        Bar(week.since.date(), value, "bad" if over is not None and (value or 0) > over else "good")
        for week, value in zip(weeks, values, strict=True)
    ]
    return _titled(title, draw_bars(f"{title}; grey where it is unknown", bars))


def _titled(title: str, chart: str) -> str:
    return f"<h3>{escape(title)}</h3>{chart}"


def _money(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"
