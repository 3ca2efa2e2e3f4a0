"""The hours that each machine ran on each day of the reported week, beside what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from shared.status.charts import Bar, draw_bars
from shared.status.sections_html import render_table
from shared.status.uptime_days import UptimeDay

_SLACK_HOURS = 0.5  # what a start and a stop take, with the ticks between
_DEVIATIONS = {"good": "as planned", "warn": "ran longer", "bad": "ran shorter", "none": "not all was seen"}


def render_uptime(days: Sequence[UptimeDay]) -> str:
    """The section: a chart and a table for each machine; empty where nothing is on record."""
    machines = dict.fromkeys(one.machine for one in days)
    parts = [_render_machine(name, [one for one in days if one.machine == name]) for name in machines]
    return f"<section><h2>Uptime by day</h2>{''.join(parts)}</section>" if parts else ""


def _render_machine(machine: str, days: Sequence[UptimeDay]) -> str:
    """The hours that a machine ran on each day; the colour says whether that is what was planned."""
    kinds = [_judge_uptime(one) for one in days]
    # Unknown is drawn as unknown: a low bar would look as if the machine had been down.
    bars = [
        Bar(one.day, None if kind == "none" else one.ran, kind) for one, kind in zip(days, kinds, strict=True)
    ]
    chart = draw_bars(f"Hours that {machine} ran on each day; the table says what was planned", bars)
    rows = [
        (one.day.isoformat(), f"{one.planned:g}", f"{one.ran:g}", f"{one.unknown:g}", _DEVIATIONS[kind])
        for one, kind in zip(days, kinds, strict=True)
    ]
    title = f"Uptime of {machine} against its schedule"
    head = ("Day", "Hours planned", "Hours run", "Unknown", "Compared")
    table = f"<details><summary>As a table</summary>{render_table(title, head, rows)}</details>"
    return f"<h3>{escape(title)}</h3>{chart}{table}"


def _judge_uptime(one: UptimeDay) -> str:
    """`bad` for fewer hours than planned, `warn` for more, `good` within what starts and stops take; `none`
    where hours that nobody saw decide it."""
    if one.ran + one.unknown < one.planned - _SLACK_HOURS:
        return "bad"
    if one.ran > one.planned + _SLACK_HOURS:
        return "warn"
    return "none" if one.unknown > _SLACK_HOURS else "good"
