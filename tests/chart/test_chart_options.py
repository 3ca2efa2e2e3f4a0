"""Every option of the chart's values and every place of a secret among them: no false alarm, none missed.

The official chart is not part of this project: GROUNDCREW_TEST_CHART names its folder with its dependencies.
What of it the stand-in chart has is tried always.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.chart import rocketchat
from local.helm import ensure_helm
from shared.adapters.helm.offline import OfflineRenderer, connect_offline
from shared.formats.chartyaml import merged
from shared.kernel.errors import GroundcrewError
from tests.support.chart_options import (
    PAGE,
    OptionRow,
    evaluate_offline,
    find_uncovered,
    load_options,
)
from tests.support.chart_site import read_folder

OFFICIAL = os.environ.get("GROUNDCREW_TEST_CHART", "")
TABLE = load_options()
# Without the chart one skip of each says enough.
ROWS, PLANTS = (TABLE.rows, TABLE.plants) if OFFICIAL else (TABLE.rows[:1], TABLE.plants[:1])
needs_official = pytest.mark.skipif(not OFFICIAL, reason="GROUNDCREW_TEST_CHART names no chart")


@pytest.fixture(scope="module")
def renderer() -> OfflineRenderer:
    try:
        return connect_offline("rocketchat", "rocketchat", binary=str(ensure_helm()))
    except GroundcrewError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def official() -> dict[str, bytes]:
    return read_folder(Path(OFFICIAL))


@pytest.fixture(scope="module")
def stand_in() -> dict[str, bytes]:
    return rocketchat(app_version="8.6.1")


def read_by(chart: Mapping[str, bytes], row: OptionRow) -> bool:
    """Whether the chart has all topmost keys of the row, and those below mongodb."""
    has: Mapping[str, Any] = yaml.safe_load(chart["values.yaml"])
    below = row.values.get("mongodb", {}).keys()
    if "postgresql" in row.values:  # its sub-chart takes no existing Secret
        return False
    return row.values.keys() <= has.keys() and below <= has["mongodb"].keys() | {"enabled", "auth"}


def closed(renderer: OfflineRenderer | None, chart: dict[str, bytes], row: OptionRow) -> list[str]:
    """The names of the closed gates; no text of any gate has the secret."""
    gates = evaluate_offline(renderer, chart, row.text)
    told = " ".join(f"{gate.reason} {gate.hint} {' '.join(gate.warnings)}" for gate in gates)
    for secret in TABLE.planted:
        assert secret not in told
    return [gate.name for gate in gates if not gate.passed]


@needs_official
def test_no_option_of_the_official_chart_is_left_out(official) -> None:
    assert find_uncovered(official, TABLE) == []


@needs_official
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_option_closes_no_gate_but_where_helm_would_fail(renderer, official, row) -> None:
    assert closed(renderer, official, row) == ([row.closed] if row.closed == "template" else [])


@needs_official
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_planted_secret_is_found(renderer, official, plant) -> None:
    assert any(name.startswith("secrets in") for name in closed(renderer, official, plant))


def test_the_page_has_each_row_and_each_place_and_none_was_missed() -> None:
    cells = re.findall(r"^\| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
    names = [cell for cell in cells if cell not in ("options", "place")]
    assert names == [row.name for row in (*TABLE.rows, *TABLE.plants)]
    assert "missed" not in PAGE.read_text().partition("## Planted secrets")[2]


def test_of_the_stand_in_no_option_is_a_secret_and_each_planted_one_is_found(renderer, stand_in) -> None:
    rows = [row for row in TABLE.rows if read_by(stand_in, row) and not row.closed]
    plants = [plant for plant in TABLE.plants if read_by(stand_in, plant)]
    assert len(rows) >= 10, "most of what the stand-in reads is an option of the official chart"
    assert len(plants) >= 10
    for row in rows:
        assert not [name for name in closed(None, stand_in, row) if name.startswith("secrets")], row.name
    together = yaml.safe_dump(merged([row.values for row in rows]))
    gates = evaluate_offline(renderer, stand_in, together)
    assert not [gate for gate in gates if gate.name.startswith("secrets") and not gate.passed]
    assert "secrets in manifests" in [gate.name for gate in gates]
    for plant in plants:
        found = closed(None, stand_in, plant) or closed(renderer, stand_in, plant)
        assert [name for name in found if name.startswith("secrets")], plant.name
