"""Grafana dashboards as JSON: three, of rows of panels, each panel with a title, a unit and what to make of it.

Classic JSON, schemaVersion 42, which Grafana 10 to 13 import. The data source is a variable, so that nothing of
an installation is in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: queries with their legends. `kind` is timeseries, stat or table."""

    title: str
    about: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    steps: tuple[tuple[str, float | None], ...] = ()
    """Colours from the given values on, for a stat; the first without a value."""
    mappings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page. `uid` is part of its address and stays."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    tags: tuple[str, ...] = ("groundcrew",)
    refresh: str = "1m"
    since: str = "now-12h"
    extra: dict[str, Any] = field(default_factory=dict)


def dashboard_json(page: Dashboard) -> dict[str, Any]:
    """What Grafana imports."""
    return {
        "uid": page.uid,
        "id": None,
        "title": page.title,
        "description": page.about,
        "tags": list(page.tags),
        "schemaVersion": 42,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": page.refresh,
        "time": {"from": page.since, "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource_variable()]},
        "annotations": {"list": [_alerts_annotation()]},
        "panels": _laid_out(page.rows),
        "links": [],
    }


def _datasource_variable() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "refresh": 1,
    }


def _alerts_annotation() -> dict[str, Any]:
    """Critical alerts as red lines in every panel."""
    return {
        "name": "Critical alerts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'max by (alertname) (ALERTS{alertstate="firing", severity="critical"})',
        "titleFormat": "{{alertname}}",
        "step": "60s",
    }


def _laid_out(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top},
            }
        )
        width = WIDTH // len(row.panels)
        height = max(STAT_HEIGHT if panel.kind == "stat" else HEIGHT for panel in row.panels)
        for column, panel in enumerate(row.panels):
            place = {"h": height, "w": width, "x": column * width, "y": top + 1}
            panels.append(_panel(panel, len(panels) + 1, place))
        top += 1 + height
    return panels


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    instant = panel.kind != "timeseries"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                **({"format": "table"} if panel.kind == "table" else {}),
            }
            for index, (query, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel.kind),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.steps:
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": colour, "value": value} for colour, value in panel.steps],
        }
    if panel.mappings:
        options = {value: {"text": text, "index": index} for index, (value, text) in enumerate(panel.mappings)}
        defaults["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 10, "spanNulls": False, "showPoints": "never"}
    return defaults


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if kind == "stat":
        return {
            "colorMode": "value",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "auto",
        }
    return {"showHeader": True}
