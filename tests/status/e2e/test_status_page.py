"""The status page in a real browser, through the app's own handler: read on a phone, checked by axe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from local.chromium import Phone
from local.server import Served
from local.stack import ROOT
from shared.status.page import StatusPage, render_page
from shared.web.signin import PageAccess
from tests.support.status_world import StatusWorld

pytestmark = pytest.mark.timeout(240)
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
# Everything that axe knows, its best practices included. What it cannot decide counts, too, but for the
# contrast of cells that are scrolled out of sight.
RUN_AXE = """
axe.run(document, {resultTypes: ['violations', 'incomplete']})
  .then(found => [...found.violations, ...found.incomplete.filter(one => one.id !== 'color-contrast')])
  .then(found => found.map(one => [one.id, one.nodes[0].html.slice(0, 200)]))
"""


@pytest.fixture(scope="module")
def world() -> StatusWorld:
    return StatusWorld()


@pytest.fixture(scope="module")
def url(world: StatusWorld) -> Iterator[str]:
    page = StatusPage(PageAccess(sign_in="none"), world.collect)

    async def answer(request: web.Request) -> web.Response:
        found = render_page(page, {}, as_json=False)
        return web.Response(body=found.body, status=found.status, headers=dict(found.headers))

    def make() -> web.Application:
        app = web.Application()
        app.router.add_get("/api/status", answer)
        return app

    with Served(make) as served:
        yield f"{served.url}/api/status"


def open_every_table(phone: Phone) -> None:
    phone.read("document.querySelectorAll('details').forEach(one => one.open = true)")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_either_theme(url: str, phone: Phone, theme: str) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: make setup")
    if theme == "dark":
        phone.prefer_dark()
    phone.open(url)
    open_every_table(phone)
    phone.read(AXE.read_text(encoding="utf-8") + ";true")
    assert phone.read(RUN_AXE) == []


def test_on_a_phone_the_verdict_is_read_first_and_nothing_lies_beyond_the_edge(
    url: str, phone: Phone, tmp_path: Path
) -> None:
    phone.open(url)
    look = phone.measure_page()
    lines = [line for line in look["text"].splitlines() if line.strip()]
    assert lines[:2] == [
        "Groundcrew",
        "Can wait until the morning: certificates: old.example.org: expires in 12 d",
    ]
    assert look["wide"] <= 390
    assert look["smallest"] >= 14
    assert look["contrast"] >= 4.5
    assert min(look["targets"]) >= 44
    phone.take_screenshot(tmp_path / "status.png")
    assert (tmp_path / "status.png").read_bytes().startswith(b"\x89PNG")


def test_the_charts_are_drawn_and_each_has_a_table_behind_it(url: str, phone: Phone) -> None:
    phone.open(url)
    drawn = phone.read(
        "[...document.querySelectorAll('svg')].map(one => ({label: one.getAttribute('aria-label'),"
        " height: one.getBoundingClientRect().height,"
        " fills: [...new Set([...one.children].map(shape => getComputedStyle(shape).fill))]}))"
    )
    assert len(drawn) >= 7
    assert all(one["label"] and one["height"] > 5 for one in drawn)
    # The stylesheet was let in: without it every shape would be black.
    assert not any(one["fills"] == ["rgb(0, 0, 0)"] for one in drawn)
    sections = "[...document.querySelectorAll('section')].filter(one => one.querySelector('svg'))"
    assert phone.read(f"{sections}.every(one => one.querySelector('details table'))")


def test_the_links_lead_to_the_other_pages(url: str, phone: Phone) -> None:
    phone.open(url)
    links = phone.read("[...document.querySelectorAll('nav a')].map(one => new URL(one.href).pathname)")
    assert links == ["/api/status", "/api/status", "/api/wake", "/api/deploys", "/api/calendar"]
