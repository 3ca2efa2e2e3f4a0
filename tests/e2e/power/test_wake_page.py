"""The wake page on a phone: readable, nothing beyond its edge, and a button that starts the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import ClientSession, web

from local.chromium import Phone, find_chromium
from local.server import Served
from shared.formats.wake_page import SECURITY_HEADERS, Card, render, render_refusal

from .conftest import ana

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: install Debian's package of that name"),
]
WIDTH, HEIGHT = 390, 844
# The share of contrast as WCAG 2.2 reckons it: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
LOOK = """
(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const back = e => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return dark ? [18, 18, 18] : [255, 255, 255];
  };
  const contrast = e => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(back(e))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const texts = [...document.querySelectorAll('h1,h2,p,small,label,button,a')];
  const boxes = [...document.querySelectorAll('body *')].map(e => e.getBoundingClientRect());
  return {
    title: document.title,
    text: document.body.innerText,
    wide: document.documentElement.scrollWidth,
    right: Math.max(...boxes.map(b => b.right)),
    left: Math.min(...boxes.map(b => b.left)),
    smallest: Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize))),
    contrast: Math.min(...texts.map(contrast)),
    targets: [...document.querySelectorAll('button,select')].map(e => e.getBoundingClientRect())
      .map(b => Math.min(b.width, b.height)),
    buttons: [...document.querySelectorAll('button')].map(e => e.innerText),
    radius: document.querySelector('section') && getComputedStyle(document.querySelector('section')).borderRadius,
  };
})()
"""  # noqa: E501


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Phone]:
    assert CHROMIUM is not None
    with Phone(CHROMIUM, tmp_path / "chromium", width=WIDTH, height=HEIGHT) as opened:
        yield opened


def pages() -> dict[str, str]:
    """What the page may have to show at its worst."""
    because = (
        "order of ana.maria.fernandez-de-la-vega@subsidiary.example.org: up until Sun 2026-03-08 22:00",
        "power/machines/" + "x" * 70 + ".json is not JSON",
    )
    by_itself = ("It will be up by itself on Mon 09 Mar at 07:00.",)
    cards = [
        Card("rocketchat", "deallocated", "off", by_itself, False, "Start it"),
        Card("vm-" + "long-name-" * 7, "running, not well yet, asked for 4 min ago", "bad", because, True),
        Card("rocketchat-staging.aks", "up", "up", ("calendar: on until 19:00",), False, "Keep it up"),
    ]  # fmt: skip
    who = "somebody.with.a.very.long.address.that.has.no.end@department.subsidiary.example.org"
    note = "Azure cannot be asked now: List the machines: not authorised"
    return {
        "one": render(cards[:1], who="ana@example.org", token="1.a"),
        "many": render(cards, who=who, token="1.a", note=note),
        "none": render([], who=who, token=""),
        "refused": render_refusal("Please sign in", "This page works only behind …", link=("/x", "Sign in")),
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


def check(look: dict[str, Any]) -> None:
    """Nothing beyond the edges, text and targets large enough, colours apart; and its style was let in."""
    assert look["wide"] <= WIDTH
    assert look["left"] >= 0
    assert look["right"] <= WIDTH
    assert look["smallest"] >= 14
    assert look["contrast"] >= 4.5  # WCAG 2.2, 1.4.3
    assert all(size >= 44 for size in look["targets"])  # WCAG 2.2, 2.5.5
    assert look["radius"] in (None, "11.2px")  # .7rem: the policy's hash fits the style


@pytest.mark.parametrize("dark", [False, True], ids=["by day", "at night"])
def test_every_page_fits_a_phone_and_can_be_read(
    phone: Phone, shown: str, tmp_path: Path, dark: bool
) -> None:
    if dark:
        phone.prefer_dark()
    for name in pages():
        phone.open(f"{shown}/{name}")
        look = phone.read(LOOK)
        phone.picture(tmp_path / f"{name}.png")
        check(look)
    phone.open(f"{shown}/many")
    assert phone.read(LOOK)["buttons"] == ["Start it", "Keep it up"]


def test_a_style_that_is_not_the_page_s_own_is_not_let_in(phone: Phone, shown: str) -> None:
    phone.open(f"{shown}/one")
    phone.read("document.head.insertAdjacentHTML('beforeend', '<style>section{border-radius:0}</style>')")
    assert phone.read(LOOK)["radius"] == "11.2px"


def app_service(behind: str) -> web.Application:
    """App Service's part: it says who is signed in, whatever the browser claims."""

    async def forward(request: web.Request) -> web.Response:
        kept = ("content-type", "sec-fetch-site", "origin")
        headers = {name: value for name, value in request.headers.items() if name.lower() in kept}
        async with ClientSession() as session, session.request(
            request.method, behind + request.path_qs, headers={**headers, **ana()},
            data=await request.read(), allow_redirects=False,
        ) as answer:  # fmt: skip
            passed = ("content-type", "content-security-policy", "location", "referrer-policy")
            back = {name: value for name, value in answer.headers.items() if name.lower() in passed}
            return web.Response(status=answer.status, body=await answer.read(), headers=back)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    return app


def test_a_tap_on_the_button_starts_the_machine(site, until, phone: Phone, tmp_path: Path) -> None:
    until(lambda: site.vm.power == "deallocated", "the machine to be deallocated by its schedule")
    with Served(lambda: app_service(site.host.url)) as front:
        phone.open(f"{front.url}/api/wake")
        look = phone.read(LOOK)
        phone.picture(tmp_path / "off.png")
        check(look)
        assert look["buttons"] == ["Start it"]
        assert "ana@example.org" in look["text"]
        phone.read("document.querySelector('button').click()")
        phone.wait_for("document.body.innerText.includes('This page looks again by itself')")
        check(phone.read(LOOK))
        phone.picture(tmp_path / "starting.png")
        until(lambda: site.vm.power == "running", "the machine to run")
        phone.wait_for("document.body.innerText.includes('Keep it up')", seconds=60)  # no tap: it looks again
        phone.picture(tmp_path / "up.png")
        check(phone.read(LOOK))
    assert len(site.azure.requests("POST .*/start")) == 1
    assert requests.get(f"{site.host.url}/api/wake", timeout=20).status_code == 401
