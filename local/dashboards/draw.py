"""A dashboard as one SVG: Grafana's grid, panels of lines, figures and tables.

Pure: the answers of Prometheus in, text out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

COLUMN, ROW, GAP = 50, 30, 8
"""A cell of Grafana's grid of 24 columns, and the gap between panels, in units of the drawing."""

_COLOURS: Final = ("#3274d9", "#e0752d", "#37872d", "#a352cc", "#c4162a", "#0aa5a5", "#8a6d00", "#6b6b6b")
_STEPS: Final = {"red": "#c4162a", "yellow": "#b07d00", "green": "#37872d"}
_TEXT, _FAINT, _EDGE = "#24292e", "#6a737d", "#d8dce0"
_STYLE: Final = "font-family:sans-serif;font-size:11px"
_SCALES: Final = {
    "s": (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 0.0)),
    "bytes": (("GiB", float(1 << 30)), ("MiB", float(1 << 20)), ("KiB", 1024.0), ("B", 0.0)),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A series of one of the panel's queries: its legend, and (seconds, value) in order of time."""

    legend: str
    points: Sequence[tuple[float, float]] = field(default_factory=tuple)


def read_lines(legend_format: str, result: Sequence[Mapping[str, Any]]) -> list[Line]:
    """The lines of a query's matrix or vector; values that are no numbers (NaN, Inf) are gaps."""
    lines = []
    for series in result:
        values = series.get("values") or [series["value"]]
        points = [(float(at), float(value)) for at, value in values]
        finite = [(at, value) for at, value in points if math.isfinite(value)]
        lines.append(Line(format_legend(legend_format, series["metric"]), finite))
    return sorted((line for line in lines if line.points), key=lambda line: line.legend)


def format_legend(template: str, labels: Mapping[str, str]) -> str:
    """`{{label}}` filled in, as Grafana does; all labels where there is no template."""
    if template:
        return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), template).strip()
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "__name__")


def format_value(value: float, unit: str, mapped: Mapping[str, str] | None = None) -> str:
    """A value in its panel's unit: `1.5 h`, `250 ms`, `3.2 GiB`, `99.9 %`, or the word that stands for it."""
    word = (mapped or {}).get(f"{value:g}")
    if word is not None:
        return word
    if unit == "s" and 0 < abs(value) < 1:
        return f"{_figure(value * 1000)} ms"
    if unit == "percentunit":
        return f"{_figure(value * 100)} %"
    if unit == "ops":
        return f"{_figure(value)}/s"
    for name, size in _SCALES.get(unit, (("", 0.0),)):
        if abs(value) >= size:
            return f"{_figure(value / (size or 1))} {name}".strip()
    raise AssertionError("every scale ends at zero")


def _figure(value: float) -> str:
    """Three digits, and thousands in full."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def draw_dashboard(page: Mapping[str, Any], answers: Mapping[int, Sequence[Line]], caption: str) -> str:
    """The whole page; `answers` by the panel's id. A panel without any line says "no data"."""
    panels = page["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * ROW
    width = 24 * COLUMN
    shapes = [_text(GAP, 18, page["title"], size=16, bold=True), _text(GAP, 34, caption, colour=_FAINT)]
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] * COLUMN, place["y"] * ROW + 40
        if panel["type"] == "row":
            shapes.append(_text(left + GAP, top + 20, panel["title"], size=13, bold=True))
            continue
        box = (left + GAP / 2, top + GAP / 2, place["w"] * COLUMN - GAP, place["h"] * ROW - GAP)
        shapes.append(_draw_panel(panel, answers.get(panel["id"], ()), box))
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 44}" style="{_STYLE}" '
        f'role="img" aria-label="{escape(page["title"])}">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{body}\n</svg>\n"
    )


def _draw_panel(
    panel: Mapping[str, Any], lines: Sequence[Line], box: tuple[float, float, float, float]
) -> str:
    left, top, width, height = box
    frame = (
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" fill="none" stroke="{_EDGE}"/>'
    )
    head = f"<title>{escape(panel['description'])}</title>" + _text(
        left + 8, top + 16, panel["title"], bold=True
    )
    if not lines:
        content = _text(left + width / 2, top + height / 2 + 6, "no data", colour=_FAINT, middle=True)
    elif panel["type"] == "timeseries":
        content = _draw_lines(lines, _unit(panel), (left + 62, top + 26, width - 74, height - 62))
    elif panel["type"] == "stat":
        content = _draw_figures(panel, lines, box)
    else:
        rows = (f"{line.legend}: {format_value(line.points[-1][1], _unit(panel))}" for line in lines)
        content = "".join(_text(left + 8, top + 40 + 16 * index, row) for index, row in enumerate(rows))
    return f"<g>{frame}{head}{content}</g>"


def _draw_lines(lines: Sequence[Line], unit: str, area: tuple[float, float, float, float]) -> str:
    """All lines on one scale from zero (or the lowest value below it), four grid lines, the legend below."""
    left, top, width, height = area
    values = [value for line in lines for _, value in line.points]
    times = [at for line in lines for at, _ in line.points]
    low, high = min(0.0, *values), max(values)
    high = high if high > low else low + 1
    first, span = min(times), max(max(times) - min(times), 1.0)
    shapes = []
    for part in range(5):
        y, value = top + height * (1 - part / 4), low + (high - low) * part / 4
        shapes.append(f'<line x1="{left:g}" x2="{left + width:g}" y1="{y:g}" y2="{y:g}" stroke="{_EDGE}"/>')
        shapes.append(_text(left - 6, y + 4, format_value(value, unit), colour=_FAINT, end=True))
    for index, line in enumerate(lines):
        points = " ".join(
            f"{left + width * (at - first) / span:.1f},{top + height * (high - value) / (high - low):.1f}"
            for at, value in line.points
        )
        colour = _COLOURS[index % len(_COLOURS)]
        shapes.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
    return "".join(shapes) + _draw_legend(
        [line.legend for line in lines], left - 54, top + height + 20, width + 54
    )


def _draw_legend(names: Sequence[str], left: float, top: float, width: float) -> str:
    """Names in their lines' colours, as many as fit; how many more there are is said."""
    shapes, x = [], left
    for index, name in enumerate(names):
        # Seven units a letter: the drawing knows no fonts.
        need = 22 + 7 * len(name)
        if x + need > left + width - 30 and index:
            shapes.append(_text(x, top, f"+{len(names) - index}", colour=_FAINT))
            break
        colour = _COLOURS[index % len(_COLOURS)]
        shapes.append(f'<rect x="{x:g}" y="{top - 7:g}" width="10" height="3" fill="{colour}"/>')
        shapes.append(_text(x + 14, top, name))
        x += need
    return "".join(shapes)


def _draw_figures(
    panel: Mapping[str, Any], lines: Sequence[Line], box: tuple[float, float, float, float]
) -> str:
    """The last value of each line in the colour of its step, side by side."""
    left, top, width, height = box
    defaults = panel["fieldConfig"]["defaults"]
    words = {
        key: option["text"] for one in defaults.get("mappings", []) for key, option in one["options"].items()
    }
    shapes = []
    for index, line in enumerate(lines):
        value = line.points[-1][1]
        x = left + width * (index + 0.5) / len(lines)
        colour = _step_colour(value, defaults.get("thresholds", {}).get("steps", []))
        text = format_value(value, defaults["unit"], words)
        shapes.append(_text(x, top + height / 2 + 18, text, size=24, colour=colour, middle=True))
        if len(lines) > 1:
            shapes.append(_text(x, top + height / 2 + 36, line.legend, colour=_FAINT, middle=True))
    return "".join(shapes)


def _step_colour(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    """That of the last step that begins at the value or below it; the first has no beginning."""
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return _STEPS.get(reached[-1], _TEXT) if reached else _TEXT


def _unit(panel: Mapping[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"]["unit"])


def _text(
    x: float, y: float, text: str, *, size: int = 11, colour: str = _TEXT, bold: bool = False,
    middle: bool = False, end: bool = False,
) -> str:  # fmt: skip
    anchor = ' text-anchor="middle"' if middle else ' text-anchor="end"' if end else ""
    weight = ' font-weight="bold"' if bold else ""
    style = f' font-size="{size}"' if size != 11 else ""
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}"{anchor}{weight}{style}>{escape(text)}</text>'
