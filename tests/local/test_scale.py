"""The model of other sizes: what was measured comes out of it, and more of anything is never worse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.scale import (
    Assumptions,
    Measured,
    estimate_backup,
    estimate_drill,
    estimate_restore,
    read_measured,
    scale_text,
)

ROOT = Path(__file__).parents[2]
MEASURED = Measured(dump_cpu=8.0, restore_cpu=6.0, read_back_cpu=3.0, stored=0.4, first_call=1.0)
GIVEN = Assumptions(busy=0.8, read_megabytes=150, write_megabytes=40, part_gigabytes=0.5)
sizes, counts = st.floats(0.1, 20_000), st.integers(1, 200)


def test_one_instance_dumps_at_the_speed_that_was_measured() -> None:
    estimate = estimate_backup(100, 1, MEASURED, GIVEN)
    assert estimate.seconds == pytest.approx(1 + 100 * 8 / 0.8)
    assert estimate.dollars == pytest.approx(estimate.seconds * 2 * 0.000026)
    assert estimate.limit == "instances"


def test_what_the_server_cannot_feed_is_paid_and_no_faster() -> None:
    ten, hundred = (estimate_backup(1000, count, MEASURED, GIVEN) for count in (10, 100))
    assert ten.limit == hundred.limit == "server"
    assert ten.seconds == hundred.seconds == pytest.approx(1 + 1000 / 0.15)
    assert hundred.dollars == pytest.approx(10 * ten.dollars)


def test_no_more_workers_than_parts() -> None:
    fast = replace(GIVEN, read_megabytes=1e9)
    crowded, enough = estimate_backup(2, 100, MEASURED, fast), estimate_backup(2, 4, MEASURED, fast)
    assert replace(crowded, limit="") == replace(enough, limit="")
    assert (crowded.limit, enough.limit) == ("parts", "instances")


@given(sizes, counts)
def test_more_data_takes_longer_and_more_instances_never_do(size: float, count: int) -> None:
    here = estimate_backup(size, count, MEASURED, GIVEN)
    assert estimate_backup(size, count + 1, MEASURED, GIVEN).seconds <= here.seconds * (1 + 1e-9)
    assert here.seconds >= size / 0.15
    assert estimate_backup(size * 2, count, MEASURED, GIVEN).seconds > here.seconds


@given(sizes)
def test_a_drill_takes_longer_than_the_restore_in_it(size: float) -> None:
    drill, restore = estimate_drill(size, MEASURED, GIVEN), estimate_restore(size, MEASURED, GIVEN)
    assert drill.seconds > restore.seconds
    assert (drill.limit, restore.limit) == ("target", "target")
    free = replace(GIVEN, write_megabytes=1e9)
    assert estimate_restore(size, MEASURED, free).limit == "process"
    assert estimate_drill(size, MEASURED, free).limit == "function"


def test_nothing_is_said_without_the_figures() -> None:
    results = json.loads((ROOT / "bench" / "results.json").read_text("utf-8"))
    assert read_measured({**results, "dump": {}}) is None
    assert scale_text({}) == ""
    assert "10,000 GB" in scale_text(results)
