"""The wake page on a phone: readable, nothing beyond its edge, and a button that starts the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from aiohttp import web

from local.app_service import app_service
from local.chromium import Phone
from local.server import Served
from shared.power.wake_html import Card, render_page
from shared.web.html import SECURITY_HEADERS, render_refusal

pytestmark = pytest.mark.timeout(240)


def pages() -> dict[str, str]:
    """What the page may have to show at its worst."""
    because = (
        "order of ana.maria.fernandez-de-la-vega@subsidiary.example.org: up until Sun 2026-03-08 22:00",
        "power/machines/" + "x" * 70 + ".json is not JSON",
    )
    by_itself = ("It will be up by itself on Mon 09 Mar at 07:00.",)
    cards = [
        Card("rocketchat", "deallocated", "off", by_itself, False, "Start it"),
        Card("vm-" + "long-name-" * 7, "running, not healthy yet, asked for 4 min ago", "bad", because, True),
        Card("rocketchat-staging.aks", "up", "up", ("calendar: on until 19:00",), False, "Keep it up"),
    ]  # fmt: skip
    who = "somebody.with.a.very.long.address.that.has.no.end@department.subsidiary.example.org"
    note = "Azure is not available: List the machines: not authorised"
    return {
        "one": render_page(cards[:1], who="ana@example.org", token="1.a"),
        "many": render_page(cards, who=who, token="1.a", note=note),
        "none": render_page([], who=who, token=""),
        "refused": render_refusal("Sign-in required", "It works only behind …", link=("/x", "Sign in")),
    }


@pytest.fixture
def shown() -> Iterator[str]:
    """The pages under their names, with the headers that the app sends."""

    async def answer(request: web.Request) -> web.Response:
        page = pages().get(request.path.strip("/"))
        headers = {**SECURITY_HEADERS, "Content-Type": "text/html; charset=utf-8"}
        return web.Response(body=page, headers=headers) if page else web.Response(status=404)

    def make() -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        return app

    with Served(make) as served:
        yield served.url


@pytest.mark.parametrize("dark", [False, True], ids=["by day", "at night"])
def test_every_page_fits_a_phone_and_can_be_read(
    phone: Phone, shown: str, check, tmp_path: Path, dark: bool
) -> None:
    if dark:
        phone.prefer_dark()
    for name in pages():
        phone.open(f"{shown}/{name}")
        look = phone.measure_page()
        phone.take_screenshot(tmp_path / f"{name}.png")
        check(look)
    phone.open(f"{shown}/many")
    assert phone.measure_page()["buttons"] == ["Start it", "Keep it up"]


def test_a_style_that_is_not_the_page_s_own_is_not_let_in(phone: Phone, shown: str) -> None:
    phone.open(f"{shown}/one")
    phone.read("document.head.insertAdjacentHTML('beforeend', '<style>section{border-radius:0}</style>')")
    assert phone.measure_page()["radius"] == "11.2px"


def test_a_tap_on_the_button_starts_the_machine(site, until, phone: Phone, check, tmp_path: Path) -> None:
    until(lambda: site.vm.power == "deallocated", "the machine to be deallocated by its schedule")
    with Served(lambda: app_service(site.host.url)) as front:
        phone.open(f"{front.url}/api/wake")
        look = phone.measure_page()
        phone.take_screenshot(tmp_path / "off.png")
        check(look)
        assert look["buttons"] == ["Start it"]
        assert "ana@example.org" in look["text"]
        phone.read("document.querySelector('button').click()")
        # On a busy machine the page may come when the server is up already.
        phone.wait_for("/Reloads every 15 seconds|Keep it up/.test(document.body.innerText)")
        check(phone.measure_page())
        phone.take_screenshot(tmp_path / "starting.png")
        until(lambda: site.vm.power == "running", "the machine to run")
        phone.wait_for("document.body.innerText.includes('Keep it up')", seconds=60)  # no tap: it looks again
        phone.take_screenshot(tmp_path / "up.png")
        check(phone.measure_page())
    assert len(site.azure.requests("POST .*/start")) == 1
    assert requests.get(f"{site.host.url}/api/wake", timeout=20).status_code == 401
