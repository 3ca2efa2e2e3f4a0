"""Pings to an outside service, which here is a real HTTP server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from aiohttp import web

from local.server import Served
from shared.adapters.heartbeats import HttpHeartbeats, build_ping_url, parse_ping_urls
from shared.kernel.errors import Unavailable, UsageError
from shared.kernel.redact import make_redactor
from shared.notifications.heartbeat import MAX_BODY, Heartbeats, Signal

LIMIT = timedelta(seconds=60)


class PingServer:
    """Keeps what it was told; answers with `status`, or not before it is released."""

    def __init__(self) -> None:
        self.pings: list[tuple[str, str]] = []
        self.status = 200
        self.hold = False

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        app.router.add_get("/{path:.*}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        self.pings.append((f"{request.method} {request.path_qs}", await request.text()))
        headers = {"Location": "/elsewhere"} if self.status == 302 else {}
        return web.Response(status=self.status, headers=headers)


@pytest.fixture
def server() -> Iterator[tuple[PingServer, str]]:
    pings = PingServer()
    with Served(pings.application) as served:
        yield pings, served.url


def heartbeats(url: str, *, secrets: tuple[str, ...] = ()) -> Heartbeats:
    return Heartbeats(HttpHeartbeats(parse_ping_urls(f"backup={url}/uuid-1")), make_redactor(secrets), LIMIT)


def fail() -> str:
    raise Unavailable("the server hunter2-hunter2 does not answer")


def test_a_job_that_succeeds_is_told_at_its_start_and_its_end(server: tuple[PingServer, str]) -> None:
    pings, url = server
    assert heartbeats(url).run("backup", lambda: "sealed set 7") == "sealed set 7"
    assert pings.pings == [("POST /uuid-1/start", ""), ("POST /uuid-1", "sealed set 7")]


def test_a_job_that_fails_is_told_with_the_reason_and_without_secrets(server: tuple[PingServer, str]) -> None:
    pings, url = server
    with pytest.raises(Unavailable, match="hunter2"):
        heartbeats(url, secrets=("hunter2-hunter2",)).run("backup", fail)
    assert pings.pings[1] == ("POST /uuid-1/fail", "the server **redacted** does not answer")


def test_a_job_without_an_address_is_pinged_nowhere(server: tuple[PingServer, str]) -> None:
    pings, url = server
    heartbeats(url).run("power_tick", lambda: "done")
    assert not pings.pings


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_service_that_refuses_is_logged_without_its_address_and_fails_no_job(
    server: tuple[PingServer, str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    pings, url = server
    pings.status = status
    assert heartbeats(url).run("backup", lambda: "done") == "done"
    assert len(pings.pings) == 2  # a redirect is not followed
    assert caplog.text.count("heartbeat.ping_refused") == 2
    assert "uuid-1" not in caplog.text + str([record.__dict__ for record in caplog.records])


def test_a_service_that_is_away_fails_no_job(caplog: pytest.LogCaptureFixture) -> None:
    assert heartbeats("http://127.0.0.1:1").run("backup", lambda: "done") == "done"
    assert "uuid-1" not in caplog.text + str([record.__dict__ for record in caplog.records])


class HangingService:
    """A service that takes a ping and never answers, until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.seen: list[Signal] = []

    def ping(self, _job: str, signal: Signal, _body: str) -> None:
        self.released.wait(60)
        self.seen.append(signal)


def test_a_service_that_hangs_holds_up_a_job_no_longer_than_the_limit_and_hears_in_order() -> None:
    service = HangingService()
    try:
        assert Heartbeats(service, str, timedelta(milliseconds=20)).run("backup", lambda: "done") == "done"
        assert service.seen == []
    finally:
        service.released.set()
    deadline = time.monotonic() + 60
    while len(service.seen) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert service.seen == [Signal.START, Signal.SUCCESS]


class BrokenService:
    """A bug of ours."""

    def ping(self, _job: str, _signal: Signal, _body: str) -> None:
        raise TypeError("a bug")


def test_a_bug_in_pinging_fails_no_job(caplog: pytest.LogCaptureFixture) -> None:
    assert Heartbeats(BrokenService(), str, LIMIT).run("backup", lambda: "done") == "done"
    assert "heartbeat.internal_error" in caplog.text


def test_a_long_reason_is_cut(server: tuple[PingServer, str]) -> None:
    pings, url = server
    heartbeats(url).send("backup", Signal.FAIL, "x" * (MAX_BODY * 2))
    assert len(pings.pings[0][1]) == MAX_BODY


def test_the_suffix_belongs_to_the_path() -> None:
    assert (
        build_ping_url("https://hc-ping.com/uuid/?create=1", Signal.FAIL)
        == "https://hc-ping.com/uuid/fail?create=1"
    )


@pytest.mark.parametrize(
    "text",
    ["s3cret", "backup=", "backup=ftp://s3cret/x", "backup=http://s3cret.example.org/x", "BACKUP=https://s3cret",
     "backup=https://[s3cret", "backup=https://s3cret:99999999/x", "backup=https:///s3cret"],
)  # fmt: skip
def test_a_setting_that_names_no_addresses_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(UsageError, match="entry 2") as caught:
        parse_ping_urls(f"power_tick=https://hc-ping.com/a {text}")
    assert "s3cret" not in str(caught.value)


def test_two_addresses_for_one_job_are_a_mistake() -> None:
    with pytest.raises(UsageError, match="second for its job"):
        parse_ping_urls("backup=https://hc-ping.com/a backup=https://hc-ping.com/b")
