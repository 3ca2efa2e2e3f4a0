"""Grafana's JSON of dashboards.yaml: pages of rows of panels.

Classic JSON, schemaVersion 42, which Grafana 10 to 13 import. The data source is a variable, so that nothing
of an installation is in the file.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from .settings import MONITORING, Objective, SettingsError

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4
KINDS = ("timeseries", "stat", "table")
_UP = {"0": {"text": "down", "index": 0}, "1": {"text": "up", "index": 1}}
_PANEL_KEYS = frozenset({"title", "about", "queries", "kind", "unit", "steps"})

Page = dict[str, Any]
Panel = dict[str, Any]


def read_pages(goal: Objective, text: str | None = None) -> list[Page]:
    """The pages of dashboards.yaml, goals filled in. Raises `SettingsError` for what cannot be drawn."""
    if text is None:
        text = (MONITORING / "dashboards.yaml").read_text(encoding="utf-8")
    goals = {
        "<budget>": f"{1 - goal.availability:.4g}",
        "<availability>": f"{goal.availability:.4g}",
        "<slow>": f"{goal.slow:g}",
    }
    for mark, value in goals.items():
        text = text.replace(mark, value)
    pages: list[Page] = yaml.safe_load(text)
    for page in pages:
        for row in page["rows"]:
            for panel in row["panels"]:
                _check(panel, page["title"])
    return pages


def _check(panel: Panel, page: str) -> None:
    where = f"dashboards.yaml: {page}: {panel.get('title', 'a panel without a title')}"
    unknown = set(panel) - _PANEL_KEYS
    missing = {"title", "about", "queries"} - set(panel)
    if unknown or missing:
        raise SettingsError(f"{where}: unknown or missing: {', '.join(sorted(unknown | missing))}")
    if panel.get("kind", KINDS[0]) not in KINDS:
        raise SettingsError(f"{where}: kind '{panel['kind']}' is none of {', '.join(KINDS)}")


def dashboard_json(page: Page) -> dict[str, Any]:
    """What Grafana imports."""
    return {
        "uid": page["uid"],
        "id": None,
        "title": page["title"],
        "description": page["about"],
        "tags": ["groundcrew"],
        "schemaVersion": 42,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": page.get("since", "now-12h"), "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource_variable()]},
        "annotations": {"list": [_alerts_annotation()]},
        "panels": _laid_out(page["rows"]),
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


def dashboard_text(page: Page) -> str:
    """The same as the text of a file."""
    return json.dumps(dashboard_json(page), indent=1, ensure_ascii=False) + "\n"


def _laid_out(rows: list[dict[str, Any]]) -> list[Panel]:
    panels: list[Panel] = []
    top = 0
    for row in rows:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        number = len(panels) + 1
        panels.append({"id": number, "type": "row", "title": row["title"], "panels": [], "gridPos": place})
        width = WIDTH // len(row["panels"])
        stats = all(panel.get("kind") == "stat" for panel in row["panels"])
        height = STAT_HEIGHT if stats else HEIGHT
        for column, panel in enumerate(row["panels"]):
            place = {"h": height, "w": width, "x": column * width, "y": top + 1}
            panels.append(_drawn(panel, len(panels) + 1, place))
        top += 1 + height
    return panels


def _drawn(panel: Panel, number: int, place: dict[str, int]) -> Panel:
    kind = panel.get("kind", "timeseries")
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": query["query"],
            "legendFormat": query.get("legend", ""),
            "instant": kind != "timeseries",
            "range": kind == "timeseries",
            **({"format": "table"} if kind == "table" else {}),
        }
        for index, query in enumerate(panel["queries"])
    ]
    return {
        "id": number,
        "type": kind,
        "title": panel["title"],
        "description": panel["about"],
        "datasource": SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": _defaults(panel, kind), "overrides": []},
        "options": _options(kind),
    }


def _defaults(panel: Panel, kind: str) -> dict[str, Any]:
    unit = panel.get("unit", "short")
    defaults: dict[str, Any] = {"unit": "short" if unit == "bool" else unit}
    if unit == "bool":
        defaults["mappings"] = [{"type": "value", "options": _UP}]
    if panel.get("steps"):
        steps = [{"color": step["color"], "value": step.get("from")} for step in panel["steps"]]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if kind == "timeseries":
        custom = {"lineWidth": 1, "fillOpacity": 10, "spanNulls": False, "showPoints": "never"}
        defaults["custom"] = custom
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
