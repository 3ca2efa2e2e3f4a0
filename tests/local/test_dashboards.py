"""Every query of the server's dashboards finds its series in a real Prometheus, and is drawn as it is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from infra.monitoring.generate.settings import MONITORING
from local.dashboards.collect import answer_panels, backfill, rate_interval, read_page
from local.dashboards.draw import Line, draw_dashboard, format_legend, format_value, read_lines
from local.dashboards.exporters import list_series, write_openmetrics
from local.prometheus import build_config, find_prometheus, run_prometheus

MADE = ("groundcrew-rocketchat", "groundcrew-mongodb")
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def test_the_made_series_are_named_and_labelled_as_the_exporters() -> None:
    sources: dict[str, list[dict[str, Any]]] = yaml.safe_load((MONITORING / "metrics.yaml").read_text())[
        "metrics"
    ]
    listed = {metric["name"]: metric for metrics in sources.values() for metric in metrics}
    # Of the scrape itself: every series of a job has these.
    scraped = {"job", "instance", "namespace", "pod", "container"}
    for series in list_series(NOON):
        assert set(series.labels) <= {*listed[series.name].get("labels", []), *scraped}, series.name
        if listed[series.name]["type"] == "counter":
            assert series.rate, series.name


def test_the_same_seed_makes_the_same_day() -> None:
    hour = timedelta(hours=1)
    one, two = (write_openmetrics(NOON, seed=seed, length=hour) for seed in (1, 2))
    assert one == write_openmetrics(NOON, seed=1, length=hour) != two
    assert one.endswith("# EOF\n")


@pytest.mark.skipif(
    find_prometheus() is None, reason="prometheus is missing (Debian: apt-get install prometheus)"
)
def test_every_panel_of_the_servers_dashboards_has_data_in_a_real_prometheus(tmp_path: Path) -> None:
    until = datetime.now(UTC).replace(second=0, microsecond=0)
    # Rates and burn rates want some hours; a whole day is for the pictures.
    data = backfill(tmp_path, until, timedelta(hours=2))
    end = until.timestamp()
    with run_prometheus(tmp_path, build_config(()), data=data) as prometheus:
        for name in MADE:
            page = read_page(name)
            answers = answer_panels(prometheus, page, end - 3600, end, 300)
            drawn = {panel["id"]: panel for panel in page["panels"] if panel["type"] != "row"}
            for number, panel in drawn.items():
                assert len(answers[number]) >= len(panel["targets"]), f"{name}: {panel['title']}: no data"
            assert "no data" not in draw_dashboard(page, answers, "")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"), (0.25, "s", "250 ms"), (59, "s", "59 s"), (90, "s", "1.5 min"), (5400, "s", "1.5 h"),
        (172800, "s", "2 d"), (-90, "s", "-1.5 min"), (0, "bytes", "0 B"), (1536, "bytes", "1.5 KiB"),
        (1047527424, "bytes", "999 MiB"), (1 << 30, "bytes", "1 GiB"), (0.995, "percentunit", "99.5 %"),
        (1280000, "short", "1,280,000"), (1.234, "short", "1.23"), (12.5, "ops", "12.5/s"),
    ],
)  # fmt: skip
def test_a_value_is_shown_in_its_unit(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_a_value_that_has_a_word_is_shown_by_it() -> None:
    assert format_value(1.0, "short", {"1": "up", "0": "down"}) == "up"


def test_legends_are_filled_in_as_grafana_does() -> None:
    labels = {"__name__": "x", "pod": "a", "job": "b"}
    assert format_legend("heap {{pod}}", labels) == "heap a"
    assert format_legend("{{ missing }} {{pod}}", labels) == "a"
    assert format_legend("", labels) == "job=b, pod=a"


def test_what_is_no_number_is_a_gap_and_a_series_of_gaps_is_none() -> None:
    result = [
        {"metric": {"a": "x"}, "values": [[1, "NaN"], [2, "3"], [3, "+Inf"]]},
        {"metric": {"a": "y"}, "values": [[1, "NaN"]]},
    ]
    assert read_lines("{{a}}", result) == [Line("x", [(2.0, 3.0)])]


def test_rates_look_back_over_four_scrapes_at_least() -> None:
    assert (rate_interval(5), rate_interval(900)) == (240, 960)


def panel(kind: str, **more: Any) -> dict[str, Any]:
    """One panel of Grafana's JSON over the whole width."""
    defaults = {"unit": "short", "thresholds": {"steps": [
        {"color": "red", "value": None}, {"color": "green", "value": 1},
    ]}}  # fmt: skip
    return {
        "id": 1, "type": kind, "title": "A <b>", "description": "About.", "targets": [],
        "gridPos": {"x": 0, "y": 0, "w": 24, "h": 8}, "fieldConfig": {"defaults": defaults | more},
    }  # fmt: skip


def draw(kind: str, lines: list[Line], **more: Any) -> str:
    text = draw_dashboard({"title": "T", "panels": [panel(kind, **more)]}, {1: lines}, "caption")
    ElementTree.fromstring(text)  # noqa: S314 - our own
    return text


def test_a_panel_without_series_says_so_and_titles_are_escaped() -> None:
    text = draw("timeseries", [])
    assert "no data" in text
    assert "A &lt;b&gt;" in text


def test_lines_are_drawn_on_one_scale_from_zero() -> None:
    text = draw("timeseries", [Line("a", [(0, 0), (10, 4)]), Line("b", [(0, 2), (10, 2)])])
    heights = [
        [float(point.split(",")[1]) for point in points.split()]
        for points in re.findall('points="([^"]+)"', text)
    ]
    (ground, top), (middle, same) = heights
    assert middle == same == pytest.approx((ground + top) / 2, abs=0.1)
    assert top < ground


@pytest.mark.parametrize(("value", "colour"), [(0.5, "#c4162a"), (1, "#37872d"), (2, "#37872d")])
def test_a_figure_has_the_colour_of_its_step(value: float, colour: str) -> None:
    text = draw("stat", [Line("", [(0, 9), (10, value)])])
    assert re.search(rf'fill="{colour}"[^>]*font-size="24">{value:g}<', text)
    assert ">9<" not in text, "the last value counts"


def test_a_legend_that_does_not_fit_says_how_many_more_there_are() -> None:
    lines = [Line(f"{number}-{'x' * 60}", [(0, 1)]) for number in range(5)]
    assert ">+3<" in draw("timeseries", lines)
