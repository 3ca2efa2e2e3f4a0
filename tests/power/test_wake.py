"""The page that wakes: who may, what it shows, what it refuses; looking at it changes nothing."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest

from local.app_service import principal_header
from local.fakes.faults import Fault, FaultPlan
from shared.cloud.machines import PowerState
from shared.kernel.errors import Unavailable
from shared.power import job as power
from shared.power.attempts import Act
from shared.power.model import PowerDecision, PowerStatus
from shared.power.reconcile import TickResult
from shared.power.wake import HttpRequest, WakeDeps, build_card, handle_request
from shared.power.wake_html import Card, render_page
from shared.web.html import SECURITY_HEADERS, Page
from shared.web.signin import APP_SERVICE, NO_SIGN_IN, PageAccess

BERLIN = ZoneInfo("Europe/Berlin")
ANA = PageAccess(APP_SERVICE, wake=["1", "2"])  # and somebody else


def principal(name: str = "ana@example.org", id_: str = "1") -> dict[str, str]:
    return {header.lower(): value for header, value in principal_header(name, id_).items()}


def wake_over(world, plan: FaultPlan | None = None, access: PageAccess = ANA) -> WakeDeps:
    def job():
        return world.job(plan)

    return WakeDeps(
        survey=lambda: power.preview_tick(job()),
        order=lambda machine, text, by: power.place_order(job(), machine, text, by=by),
        tick=lambda: power.run_tick(job()),
        state=world.state,
        clock=world.clock,
        zone=ZoneInfo("Europe/Berlin"),
        probe=lambda: [world.health.check()],
        access=access,
    )


def get(world, **headers: str) -> Page:
    return handle_request(wake_over(world), HttpRequest("GET", principal() | headers))


def token_in(page: Page) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page.body)
    assert found, page.body
    return found[1]


def post(world, form: str, headers: dict[str, str] | None = None) -> Page:
    return handle_request(wake_over(world), HttpRequest("POST", principal() | (headers or {}), form.encode()))


@pytest.fixture
def night(world, at):
    world.add()
    world.clock.set(at("23:00"))
    return world


def test_it_shows_state_and_when_it_will_be_up_and_looking_changes_nothing(night) -> None:
    page = get(night)
    assert page.status == 200
    for text in ("rocketchat", "deallocated", "It will be up by itself on Tue 03 Mar at 07:00", "Start it"):
        assert text in page.body
    assert night.machines.calls["begin_start"] == 0
    assert "http-equiv" not in page.body


def test_the_button_starts_it_and_the_page_looks_again_until_it_is_well(night) -> None:
    page = post(night, f"machine=rocketchat&hours=4&token={token_in(get(night))}")
    assert (page.status, page.headers["Location"]) == (303, "wake")
    assert night.machines.calls["begin_start"] == 1
    starting = get(night)
    assert "starting, asked for 0 s ago" in starting.body
    assert 'http-equiv="refresh"' in starting.body
    night.health.well = lambda: False
    night.clock.advance(timedelta(minutes=3))
    assert "running, not healthy yet" in get(night).body
    night.health.well = night.serves
    night.clock.advance(timedelta(minutes=1))
    up = get(night)
    assert "It runs until Tue 03:00." in up.body
    assert "Keep it up" in up.body
    assert night.notifications.titles == ["rocketchat is up after 4 min"]


def test_a_machine_that_runs_and_whose_chat_does_not_answer_is_not_shown_as_up(world, at) -> None:
    world.add()
    world.run(at("7:10"))
    assert '<p class="state up">up</p>' in get(world).body
    world.health.well = lambda: False
    page = get(world)
    assert "running, but the chat does not answer" in page.body
    assert '<p class="state up">up</p>' not in page.body
    assert 'http-equiv="refresh"' in page.body  # it looks again
    assert "Keep it up" in page.body


def test_a_machine_that_does_not_carry_the_chat_is_not_asked_for_it(make_world, at) -> None:
    world = make_world(
        "timezone: Europe/Berlin\n"
        "power: {machines: [{name: rocketchat, windows: [daily 07:00-19:00], carries: [mongodb]}]}"
    )
    world.add()
    world.run(at("7:10"))
    asked = []
    world.health.well = lambda: asked.append(1)
    assert "does not answer" not in get(world).body
    assert asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ms-client-principal": "not base64"},
        {"x-ms-client-principal": b64encode(b"[]").decode()},
        {"x-ms-client-principal": b64encode(b'{"claims": [{"typ": "name"}]}').decode()},
        {"x-ms-client-principal": b64encode(b'{"claims": [{"typ": "name", "val": "ana"}]}').decode()},
        {"x-ms-client-principal-id": "1"},
    ],
    ids=["nobody", "no base64", "no object", "no value", "no id", "no principal"],
)
def test_whom_app_service_does_not_name_is_told_nothing(night, headers: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        page = handle_request(wake_over(night), HttpRequest(method, headers, b"machine=rocketchat&hours=2"))
        assert page.status == 401
        assert "rocketchat" not in page.body


def test_without_sign_in_it_is_closed_even_to_those_who_claim_a_name(night) -> None:
    assert (
        handle_request(
            wake_over(night, access=PageAccess(wake=["1"])), HttpRequest("GET", principal())
        ).status
        == 401
    )
    assert (
        handle_request(wake_over(night, access=PageAccess(NO_SIGN_IN)), HttpRequest("GET", {})).status == 200
    )


def test_a_token_is_of_one_person_and_of_two_hours_and_cannot_be_made(night) -> None:
    token = token_in(get(night))
    expires, _, signature = token.partition(".")
    signatures = [f"{expires}.{text}" for text in ("", signature[:-1], "0" * 64)]
    times = [f"{text}.{signature}" for text in ("", int(expires) + 1, "１", "9" * 40)]
    forged = ["", ".", *signatures, *times]
    for text in forged:
        assert post(night, f"machine=rocketchat&hours=2&token={text}").status == 403
    other = principal("bob@example.org", "2")
    assert post(night, f"machine=rocketchat&hours=2&token={token}", other).status == 403
    night.clock.advance(timedelta(hours=2))
    assert post(night, f"machine=rocketchat&hours=2&token={token}").status == 403
    assert night.machines.calls["begin_start"] == 0


def test_a_token_is_good_to_its_last_second(night) -> None:
    form = f"machine=rocketchat&hours=2&token={token_in(get(night))}"
    night.clock.advance(timedelta(hours=2) - timedelta(seconds=1))
    assert post(night, form).status == 303


def test_the_key_of_tokens_is_made_once_and_kept(night) -> None:
    first, second = token_in(get(night)), token_in(get(night))
    assert first == second
    assert len(night.state.read("wake/csrf.key")[0]) == 32


def test_a_request_from_another_site_is_refused_whatever_it_knows(night) -> None:
    form = f"machine=rocketchat&hours=2&token={token_in(get(night))}"
    assert post(night, form, {"sec-fetch-site": "cross-site"}).status == 403
    assert post(night, form, {"sec-fetch-site": "same-site"}).status == 403
    assert post(night, form, {"sec-fetch-site": "same-origin"}).status == 303
    assert post(night, form, {"sec-fetch-site": "none"}).status == 303


@pytest.mark.parametrize(
    "fields", ["hours=2", "machine=rocketchat", "machine=rocketchat&hours=3", "machine=another&hours=2"]
)
def test_what_the_page_does_not_ask_for_is_refused(night, fields: str) -> None:
    assert post(night, f"{fields}&token={token_in(get(night))}").status == 400
    assert not list(night.state.list("overrides/"))


def test_a_form_that_is_too_large_is_not_read(night) -> None:
    token = token_in(get(night))
    page = post(night, f"machine=rocketchat&hours=2&token={token}&more={'x' * 5000}")
    assert page.status == 403


def test_a_form_is_read_up_to_4096_bytes_and_ten_fields(night) -> None:
    form = f"machine=rocketchat&hours=2&token={token_in(get(night))}&more="
    assert post(night, form + "x" * (4097 - len(form))).status == 403
    assert post(night, form + "x" * (4096 - len(form))).status == 303
    assert post(night, form + "&a=1" * 7).status == 403
    assert post(night, form + "&a=1" * 6).status == 303


STATES = {
    PowerStatus.RUNNING: "up", PowerStatus.DEALLOCATED: "deallocated", PowerStatus.STOPPED: "stopped",
    PowerStatus.STOPPING: "stopping", PowerStatus.DEALLOCATING: "deallocating",
    PowerStatus.STARTING: "starting", PowerStatus.UNKNOWN: "unknown", PowerStatus.MISSING: "not found",
}  # fmt: skip


def seen(state: PowerStatus, *, up: bool = False, act: Act = Act.NONE, started=None, change=None):
    decision = PowerDecision(act, "x", up, ("why",), change)
    carries = frozenset({"mongodb", "rocketchat"})
    return TickResult("vm", state, decision, started=started, carries=carries)


@pytest.mark.parametrize(("state", "headline"), STATES.items())
def test_each_state_has_its_card(at, state: PowerStatus, headline: str) -> None:
    card = build_card(seen(state), at("12:00"), BERLIN)
    moving = state in (PowerStatus.STOPPING, PowerStatus.DEALLOCATING, PowerStatus.STARTING)
    assert (card.headline, card.moving, card.lines) == (headline, moving, ("why",))
    still = state in (PowerStatus.MISSING, PowerStatus.STARTING)
    assert card.button == ("" if still else "Keep it up" if state is PowerStatus.RUNNING else "Start it")


def test_what_comes_next_is_told_only_where_it_follows(at) -> None:
    def lines(*args, **kwargs) -> tuple[str, ...]:
        card = build_card(seen(*args, change=at("19:00"), **kwargs), at("12:00"), BERLIN)
        return card.lines

    assert lines(PowerStatus.RUNNING, up=True) == ("why", "It runs until Mon 19:00.")
    assert lines(PowerStatus.RUNNING) == ("why",)
    assert lines(PowerStatus.DEALLOCATED) == ("why", "It will be up by itself on Mon 02 Mar at 19:00.")
    assert lines(PowerStatus.DEALLOCATED, up=True) == ("why",)


@pytest.mark.parametrize("act", [Act.START, Act.WAIT])
def test_a_machine_that_is_wanted_up_is_about_to_start_while_something_is_done(at, act: Act) -> None:
    card = build_card(seen(PowerStatus.DEALLOCATED, up=True, act=act), at("12:00"), BERLIN)
    assert (card.headline, card.moving) == ("about to start", True)
    off = build_card(seen(PowerStatus.DEALLOCATED, act=act), at("12:00"), BERLIN)
    assert (off.headline, off.moving) == ("deallocated", False)


def test_a_start_is_told_with_its_time_until_it_is_well(at) -> None:
    for state, headline in (
        (PowerStatus.DEALLOCATED, "starting"),
        (PowerStatus.RUNNING, "running, not healthy yet"),
    ):
        card = build_card(seen(state, started=at("11:57")), at("12:00"), BERLIN, unhealthy="no answer")
        assert (card.headline, card.moving) == (f"{headline}, asked for 3 min ago", True)


def test_why_the_chat_does_not_answer_stands_first(at) -> None:
    card = build_card(seen(PowerStatus.RUNNING), at("12:00"), BERLIN, unhealthy="no answer")
    assert card.lines[0].startswith("no answer. A start does not mend that")
    assert (card.moving, card.button) == (True, "Keep it up")


def test_when_azure_does_not_answer_the_page_says_so_and_an_order_stays_on_record(night) -> None:
    down = FaultPlan(
        Fault(Unavailable("List the states", value="HTTP 503"), operation="machines.list_states", times=9)
    )
    page = handle_request(wake_over(night, down), HttpRequest("GET", principal()))
    assert page.status == 503
    assert "Azure is not available" in page.body
    form = f"machine=rocketchat&hours=2&token={token_in(get(night))}"
    broken = FaultPlan(Fault(Unavailable("no"), operation="machines.list_states", times=9))
    assert (
        handle_request(wake_over(night, broken), HttpRequest("POST", principal(), form.encode())).status
        == 303
    )
    night.tick()
    assert night.machines.calls["begin_start"] == 1


class Outside(HTMLParser):
    """Collects what a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs) -> None:
        names = dict(attrs)
        if tag in ("script", "link", "img", "iframe", "object") or any(n.startswith("on") for n in names):
            self.found.append(tag)
        if names.get("src") or names.get("style"):
            self.found.append(tag)


def test_nothing_is_fetched_nothing_is_run_and_what_names_hold_is_only_text(night) -> None:
    evil = "<img src=x onerror=alert(1)>\"'&"
    card = Card(evil, evil, "up", (evil,), moving=True, button=evil)
    body = render_page([card], who=evil, token=evil, note=evil)
    parser = Outside()
    parser.feed(body)
    assert parser.found == []
    assert "<img" not in body
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert 'name="viewport"' in body


def test_a_machine_stopped_by_order_says_until_when(night, at) -> None:
    night.clock.set(at("10:00"))
    night.machines.set_power(night.id, PowerState.DEALLOCATED)
    power.place_order(night.job(), "", "off until 15:00", by="bob")
    body = get(night).body
    assert "order of bob: off until Mon 2026-03-02 15:00" in body
    assert "It will be up by itself on Mon 02 Mar at 15:00" in body


def test_whom_policy_does_not_name_may_neither_look_nor_start(night) -> None:
    for access, get_status, post_status in (
        (PageAccess(APP_SERVICE), 403, 403),
        (PageAccess(APP_SERVICE, view=["1"]), 200, 403),
        (PageAccess(APP_SERVICE, wake=["2"]), 403, 403),
    ):
        wake = wake_over(night, access=access)
        assert handle_request(wake, HttpRequest("GET", principal())).status == get_status
        answer = handle_request(wake, HttpRequest("POST", principal(), b"hours=2&machine=rocketchat"))
        assert answer.status == post_status
        assert "too old" not in answer.body
    assert "ana@example.org (1)" in answer.body  # who asks an administrator must know which account it was


def test_a_contradiction_of_settings_and_platform_is_said_on_the_page(night) -> None:
    wake = wake_over(night, access=PageAccess(problem="authentication is off", wake=["1"]))
    page = handle_request(wake, HttpRequest("GET", principal()))
    assert (page.status, "authentication is off" in page.body) == (401, True)
