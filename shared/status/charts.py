"""Small charts as inline SVG: bars over days, spans over time, a calendar of squares.

A plotting library would cost a cold start several times what the page itself takes (ADR 17), so these few
shapes are drawn here. Colours come from the page's stylesheet by class, since its Content-Security-Policy
allows no style of its own to any element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from html import escape

_WIDTH, _HEIGHT = 720, 120
_SQUARE, _GAP = 11, 2


@dataclass(frozen=True, slots=True)
class Bar:
    """A day's value; None where nothing is known. `kind` is a class of the stylesheet: good, warn, bad."""

    day: date
    value: float | None
    kind: str = "good"


@dataclass(frozen=True, slots=True)
class Span:
    """A named time from one moment to another, with a moment in it that matters."""

    name: str
    since: datetime
    until: datetime
    mark: datetime | None = None
    kind: str = "good"


def draw_bars(label: str, bars: Sequence[Bar]) -> str:
    """Bars over days, the oldest on the left. A day of which nothing is known has a grey ground line."""
    if not bars:
        return ""
    # The drawing's own units: the viewBox scales them to any screen.
    step = _WIDTH / len(bars)
    highest = max((bar.value or 0.0 for bar in bars), default=0.0) or 1.0
    shapes = []
    for index, bar in enumerate(bars):
        left, width = f"{index * step:.1f}", f"{max(step - 1, 1):.1f}"
        if bar.value is None:
            shapes.append(f'<rect class="none" x="{left}" y="{_HEIGHT - 3}" width="{width}" height="3"/>')
            continue
        # At least two units high, so that a small backup does not look like none.
        height = max(bar.value / highest * (_HEIGHT - 4), 2 if bar.value else 0)
        shapes.append(
            f'<rect class="{bar.kind}" x="{left}" y="{_HEIGHT - height:.1f}" width="{width}" '
            f'height="{height:.1f}"/>'
        )
    return _wrap(label, _HEIGHT, "".join(shapes)) + _draw_axis(bars[0].day, bars[-1].day)


def draw_stacks(label: str, stacks: Sequence[tuple[date, Sequence[tuple[float, str]]]]) -> str:
    """Bars of several parts on top of each other, each with its kind; all bars on one scale."""
    if not stacks:
        return ""
    step = _WIDTH / len(stacks)
    highest = max((sum(value for value, _ in parts) for _, parts in stacks), default=0.0) or 1.0
    shapes = []
    for index, (_, parts) in enumerate(stacks):
        top = float(_HEIGHT)
        for value, kind in parts:
            height = value / highest * (_HEIGHT - 4)
            top -= height
            place = f'x="{index * step:.1f}" y="{top:.1f}" width="{max(step - 1, 1):.1f}"'
            shapes.append(f'<rect class="{kind}" {place} height="{height:.1f}"/>')
    return _wrap(label, _HEIGHT, "".join(shapes)) + _draw_axis(stacks[0][0], stacks[-1][0])


def draw_spans(label: str, spans: Sequence[Span], now: datetime) -> str:
    """Spans one below the other, with the present as a line and the moment of each as a mark."""
    if not spans:
        return ""
    # Bounded on both sides: one CA of ten years would press all others into a line.
    start = min(now - timedelta(days=7), max(min(span.since for span in spans), now - timedelta(days=90)))
    end = min(max(max(span.until for span in spans), now + timedelta(days=7)), now + timedelta(days=400))
    scale = _WIDTH / (end - start).total_seconds()

    def place(at: datetime) -> float:
        return min(max((at - start).total_seconds() * scale, 0.0), float(_WIDTH))

    rows = []
    for span in spans:
        left, right = place(span.since), place(span.until)
        width = max(right - left, 2.0)
        shapes = f'<rect class="{span.kind}" x="{left:.1f}" y="4" width="{width:.1f}" height="10"/>'
        if span.mark is not None:
            shapes += f'<rect class="mark" x="{place(span.mark):.1f}" y="0" width="4" height="18"/>'
        shapes += f'<rect class="now" x="{place(now):.1f}" y="0" width="2" height="18"/>'
        # The names are text of the page, since text in a picture shrinks with it on a phone.
        rows.append(f"<p>{escape(span.name)}</p>{_wrap(f'{label}: {span.name}', 18, shapes)}")
    return "".join(rows) + _draw_axis(start.date(), end.date())


def draw_calendar(label: str, bars: Sequence[Bar]) -> str:
    """A square for each day, a column for each week from Monday on."""
    if not bars:
        return ""
    # From a Monday on, so that a column is a week, and a Sunday lies at the bottom of each.
    first = bars[0].day - timedelta(days=bars[0].day.weekday())
    squares: dict[str, list[str]] = {}
    for bar in bars:
        week, weekday = divmod((bar.day - first).days, 7)
        kind = "none" if bar.value is None else bar.kind
        corner = f"M{week * (_SQUARE + _GAP)} {weekday * (_SQUARE + _GAP)}"
        squares.setdefault(kind, []).append(f"{corner}h{_SQUARE}v{_SQUARE}h-{_SQUARE}z")
    # One path for all days of a kind: a year of squares of their own would weigh five times as much.
    shapes = "".join(f'<path class="{kind}" d="{"".join(drawn)}"/>' for kind, drawn in squares.items())
    width = ((bars[-1].day - first).days // 7 + 1) * (_SQUARE + _GAP)
    picture = _wrap(label, 7 * (_SQUARE + _GAP), shapes, width=width)
    return picture + _draw_axis(bars[0].day, bars[-1].day)


def _draw_axis(first: date, last: date) -> str:
    return f'<p class="axis"><span>{first.isoformat()}</span><span>{last.isoformat()}</span></p>'


def _wrap(label: str, height: int, shapes: str, *, width: int = _WIDTH) -> str:
    return f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}">{shapes}</svg>'
