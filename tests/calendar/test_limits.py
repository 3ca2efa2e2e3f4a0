"""The budget, the parts of a backup, frozen images, MicroK8s' certificates, and what is kept of growth."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from shared.calendar.ends_of_life import frozen_images
from shared.calendar.growth import NamespaceGrowth, SetSizes, summarize_growth
from shared.calendar.limits import (
    MAX_PARTS,
    CapturedDay,
    CostTrend,
    forecast_budget,
    forecast_parts,
    mean_captured,
)
from shared.calendar.sources import list_machine_deadlines

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
DAY = timedelta(days=1)
MIB = 1 << 20


def weeks(*forecasts: float, budget: float = 200) -> CostTrend:
    first = NOW - DAY * 7 * (len(forecasts) - 1)
    return CostTrend([(first + DAY * 7 * n, cost) for n, cost in enumerate(forecasts)], budget, "EUR")


def test_the_budget_is_used_up_when_the_trend_of_the_reports_reaches_it() -> None:
    found = forecast_budget(weeks(100, 107, 114, 121, 128), NOW)
    assert found is not None
    assert found.at == NOW + DAY * 72  # 72 more, at 1 a day
    assert "200 EUR" in found.consequence


def test_a_cost_that_rises_lately_counts_and_not_the_mean_of_the_weeks() -> None:
    found = forecast_budget(weeks(100, 100, 100, 100, 135, 170), NOW)
    assert found is not None
    assert found.at is not None
    assert found.at < NOW + DAY * 10


@pytest.mark.parametrize(
    ("trend", "at"),
    [
        pytest.param(None, "none", id="no budget"),
        pytest.param(weeks(100, 100, 100, 100), "none", id="steady"),
        pytest.param(weeks(130, 120, 110, 100), "none", id="falling"),
        pytest.param(weeks(100, 100, 100, 101), "none", id="beyond a year"),
        pytest.param(weeks(100, 120, 140), "unknown", id="three weeks"),
        pytest.param(weeks(), "unknown", id="no report yet"),
        pytest.param(weeks(100, 100, 100, 200), "now", id="reached"),
        pytest.param(weeks(300, 280, 260, 240), "now", id="above, though it falls"),
    ],
)
def test_a_budget_without_an_end_in_sight_has_none_and_too_few_reports_are_unknown(
    trend: CostTrend | None, at: str
) -> None:
    found = forecast_budget(trend, NOW)
    seen = "none" if found is None else "unknown" if found.at is None else "now" if found.at == NOW else "?"
    assert seen == at
    assert found is None or found.at is not None or found.unknown


def sets(*sizes: int, every: timedelta = DAY) -> list[SetSizes]:
    first = NOW - every * (len(sizes) - 1)
    return [SetSizes(first + every * n, {"chat.chunks": size}) for n, size in enumerate(sizes)]


def test_the_parts_of_a_backup_end_when_their_names_do() -> None:
    limit = MAX_PARTS * MIB
    found = forecast_parts(sets(limit - 40 * MIB, limit - 30 * MIB, limit - 20 * MIB), MIB, NOW)
    assert found is not None
    assert found.at == NOW + DAY * 2
    full = forecast_parts(sets(limit, limit, limit + 1), MIB, NOW)
    assert full is not None
    assert full.at == NOW


@pytest.mark.parametrize(
    "sizes", [(1, 2, 3), (5, 4, 3), (9,), ()], ids=["beyond a year", "shrinking", "one set", "no set"]
)
def test_parts_that_do_not_end_within_a_year_have_no_end(sizes: tuple[int, ...]) -> None:
    assert forecast_parts(sets(*sizes), MIB, NOW) is None
    # Two sets of one morning are no trend.
    assert forecast_parts(sets(1, MAX_PARTS * MIB - 1, every=DAY / 24), MIB, NOW) is None


def test_the_capture_takes_the_mean_of_its_days_and_is_not_known_without_any() -> None:
    days = [CapturedDay(date(2026, 11, 26), 40, 100), CapturedDay(date(2026, 11, 27), 50, 300)]
    assert mean_captured(days) == 200
    assert mean_captured([]) is None


def test_however_many_collections_there_are_twenty_at_the_most_are_kept() -> None:
    rows = [NamespaceGrowth(f"chat.c{n:03d}", 1000 - n, float(n), 0.0) for n in range(300)]
    kept = summarize_growth(rows, 5.0)
    names = [row.name for row in kept.namespaces]
    assert names == [f"chat.c{n:03d}" for n in (*range(10), *range(290, 300))]
    # What is not shown by name is not lost.
    assert sum(row.size_bytes for row in kept.namespaces) + kept.others_bytes == sum(
        row.size_bytes for row in rows
    )


@pytest.mark.parametrize(
    ("image", "frozen"),
    [
        ("docker.io/bitnami/mongodb:8.0.13-debian-12-r0", True),
        ("bitnamilegacy/mongodb@sha256:abc", True),
        ("registry.example:5000/bitnami/mongodb", True),
        ("docker.io/bitnamisecure/mongodb:latest", False),
        ("docker.io/library/mongo:8.0.13", False),
        ("registry.example/bitnami-mirror/mongodb:8", False),
    ],
)
def test_images_of_bitnamis_free_catalogue_have_ended(image: str, frozen: bool) -> None:
    found = list(frozen_images([image, "registry.rocket.chat/rocketchat/rocket.chat:8.5.2"], NOW))
    assert [one.name for one in found] == (["Bitnami's mongodb"] if frozen else [])
    assert all(one.at == datetime(2025, 8, 29, tzinfo=UTC) for one in found)


def test_microk8s_own_certificates_end_and_what_cannot_be_read_is_unknown() -> None:
    facts = {"kernel": "6.8", "cert_kubelet": "Mar  1 08:00:00 2027 GMT", "cert_ca": "someday"}
    kubelet, ca = list_machine_deadlines({"chat-vm": facts, "other": {}})
    assert (kubelet.name, kubelet.at) == (
        "MicroK8s' kubelet on chat-vm", datetime(2027, 3, 1, 8, tzinfo=UTC),
    )  # fmt: skip
    assert (ca.at, bool(ca.unknown)) == (None, True)
