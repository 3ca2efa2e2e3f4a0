"""The page is for people whom policy names, says what is known, and costs few calls and little weight."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape

import pytest

from local.app_service import principal_header
from shared.power.model import PowerStatus
from shared.status.badge import decide_badge, render_badge
from shared.status.decide import decide_verdict
from shared.status.model import CertificateSummary, Part, PowerFacts, ScanFacts, Status
from shared.status.page import StatusPage, render_json, render_page
from shared.status.page_html import render_status
from shared.web.signin import APP_SERVICE, PageAccess
from tests.support.signed_sets import put_failed
from tests.support.status_world import HOUR, MINUTE, NOW, StatusWorld

OPEN = PageAccess(sign_in="none")


@pytest.fixture(scope="module")
def world() -> StatusWorld:
    return StatusWorld()


@pytest.fixture(scope="module")
def status(world: StatusWorld) -> Status:
    return world.collect()


def test_nobody_sees_it_who_is_not_signed_in_or_not_named(status) -> None:
    access = PageAccess(sign_in=APP_SERVICE, view=["ana@example.org"])
    page = StatusPage(access, lambda: status)
    for as_json in (False, True):
        people = [{}, principal_header("eve@example.org"), principal_header("ana@example.org")]
        sent = [{name.lower(): value for name, value in headers.items()} for headers in people]
        answers = [render_page(page, headers, as_json=as_json) for headers in sent]
        assert [answer.status for answer in answers] == [401, 403, 200]
        assert all("rocketchat" not in answer.body for answer in answers[:2])


def test_the_hours_of_each_day_stand_beside_what_was_planned(world) -> None:
    status = world.collect()
    html = render_status(status, decide_verdict(status), who="ana")
    assert "Uptime of rocketchat against its schedule" in html
    rows = re.findall(
        r"<tr><td>2026-11-(\d+)</td><td>12</td><td>([\d.]+)</td><td>\d+</td><td>([a-z ]+)</td>", html
    )
    assert rows == [
        ("16", "12.1", "as planned"), ("17", "7", "ran shorter"), ("18", "15", "ran longer"),
        ("19", "11", "not all was seen"), ("20", "12", "as planned"), ("21", "0", "ran shorter"),
        ("22", "0", "not all was seen"),
    ]  # fmt: skip


def test_a_look_costs_few_calls_and_the_page_weighs_little(world) -> None:
    page = render_page(StatusPage(OPEN, world.collect), {}, as_json=False)
    assert world.blob_calls <= 20
    assert len(page.body.encode()) < 150_000


def test_a_night_that_failed_costs_no_calls_more(world) -> None:
    night = StatusWorld()
    put_failed(night.backups, NOW - HOUR)
    assert "the newest attempt failed: the oplog overflowed" in render_json(night.collect())
    assert night.blob_calls <= 20


def test_the_verdict_comes_before_everything_else(status) -> None:
    body = render_page(StatusPage(OPEN, lambda: status), {}, as_json=False).body
    text = re.sub(r"<[^>]+>", "|", body.partition("</head>")[2])
    assert re.sub(r"\|+", "|", text).startswith("|Groundcrew|Can wait until the morning: certificates: old")


def test_it_has_no_script_no_style_of_an_element_and_nothing_from_elsewhere(status) -> None:
    page = render_page(StatusPage(OPEN, lambda: status), {}, as_json=False)
    assert not re.search(r"<script|<img|<link|<iframe|\bon[a-z]+=|style=|https?://", page.body)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_weeks_of_cost_are_charts_and_what_is_unknown_is_grey_and_said(status) -> None:
    assert [week.cost for week in status.cost.value.weeks] == [None, 11.9, 11.9]  # none in another currency
    body = render_page(StatusPage(OPEN, lambda: status), {}, as_json=False).body
    section = body[body.index("<h2>Uptime and cost") :].partition("</section>")[0]
    for title in ("Hours by week", "Cost of machines by week (EUR)", "Saved by the schedule", "Forecast"):
        assert f"<h3>{title}" in section
    cost = section[section.index("<h3>Cost of machines") :].partition("<h3>Saved")[0]
    assert re.findall(r'rect class="(\w+)"', cost) == ["none", "good", "good"]
    hours = section.partition("<h3>Cost of machines")[0]
    assert re.findall(r'rect class="(\w+)"', hours) == ["mark", "good", "none"] * 3
    heights = [float(one) for one in re.findall(r'height="([\d.]+)"/>', hours)][:3]
    shares = [one / sum(heights) * 168 for one in heights]
    assert shares == pytest.approx([60.5, 100, 7.5], abs=0.2)
    assert "<td>unknown</td>" in section


def test_a_forecast_above_the_budget_is_red(status) -> None:
    dear = replace(status, cost=Part(replace(status.cost.value, budget="100")))
    for one, kind in ((status, "good"), (dear, "bad")):
        body = render_page(StatusPage(OPEN, lambda one=one: one), {}, as_json=False).body
        forecast = body[body.index("<h3>Forecast of the month") :].partition("</section>")[0]
        assert re.findall(r'rect class="(\w+)"', forecast) == ["none", "none", kind]


def test_what_others_wrote_is_text(status) -> None:
    evil = CertificateSummary(
        "<script>alert(1)</script>", "host", "critical", ('"><img src=x>',), not_after=NOW
    )
    hostile = replace(status, certificates=Part(ScanFacts(NOW, [evil])), power=Part(problem="<b>"))
    body = render_page(StatusPage(OPEN, lambda: hostile), {}, as_json=False).body
    assert escape("<script>alert(1)</script>") in body
    assert not re.search(r"<script|<img|<b>", body)


def test_the_json_has_the_verdict_the_rows_and_every_part(status) -> None:
    report = json.loads(render_json(status))
    assert report["verdict"]["level"] == "look"
    assert {row["part"] for row in report["now"]} >= {"server", "backup", "restore drill", "certificates"}
    assert report["parts"]["backup"]["value"]["reference"] == "daily/20261127T010000Z"
    assert report["parts"]["backup"]["value"]["alarm_after"] > 0


def test_nothing_known_is_a_page_too() -> None:
    nothing = Status(NOW, "1")
    assert render_page(StatusPage(OPEN, lambda: nothing), {}, as_json=False).status == 200
    problems = {name: Part(problem="no answer") for name in ("power", "backup", "runs", "cost", "snapshots")}
    body = render_page(StatusPage(OPEN, lambda: Status(NOW, "1", **problems)), {}, as_json=False).body
    assert "Check now, cannot be seen: server: no answer" in body


@pytest.mark.parametrize(
    ("state", "up", "word"),
    [
        (PowerStatus.RUNNING, True, "up"),
        (PowerStatus.DEALLOCATED, False, "planned"),
        (PowerStatus.RUNNING, False, "planned"),
        (PowerStatus.DEALLOCATED, True, "down"),
        (PowerStatus.STARTING, True, "down"),
        (PowerStatus.UNKNOWN, True, "down"),
    ],
)
def test_the_badge_says_up_down_or_planned(world, state, up, word) -> None:
    world.add_machine(state, up=up)
    power = world.collect().power
    assert decide_badge(power, NOW) == word
    assert f">{word}</text>" in render_badge(decide_badge(power, NOW))


def test_the_badge_is_never_green_for_what_was_not_seen(world) -> None:
    world.add_machine(PowerStatus.RUNNING, up=True)
    power = world.collect().power
    assert decide_badge(power, NOW + 21 * MINUTE) == "down"
    assert decide_badge(Part(problem="no answer"), NOW) == "down"
    assert decide_badge(Part(PowerFacts([], HOUR)), NOW) == "down"
    (machine,) = power.value.machines
    ill = replace(machine, problem="not healthy")
    assert decide_badge(Part(PowerFacts([ill], HOUR)), NOW) == "down"
