"""Channels against real HTTP receivers: what arrives there, and what is made of their answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from local.chat import ChatServer
from local.server import Served
from shared.adapters.apprise import AppriseChannel
from shared.adapters.rocketchat_webhook import RocketChatWebhook, find_chat_routes, parse_webhook
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret
from shared.notifications.decide import build_entry, merge_batches
from shared.notifications.model import Batch, Message, Notice, Severity
from shared.notifications.ports import Channel

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def message(*notices: Notice) -> Message:
    batch = Batch()
    for notice in notices:
        batch = merge_batches(batch, Batch((build_entry(notice, NOW),)))
    return Message("power", batch)


ONE = message(
    Notice(
        Severity.CRITICAL, "rocketchat is down", "It does not answer.", "Run `groundcrew power status`.",
        fields=(("machine", "rocketchat"), ("since", "10:00")),
    )
)  # fmt: skip


class Receiver:
    """A service that keeps what it was sent, and answers with `status`."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []
        self.status, self.delay_seconds = 200, 0.0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append((request.path, json.loads(await request.text())))
        await asyncio.sleep(self.delay_seconds)
        headers = {"Location": "/elsewhere"} if 300 <= self.status < 400 else {}
        return web.json_response({"success": self.status == 200}, status=self.status, headers=headers)


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    one = Receiver()
    with Served(one.application) as served:
        yield one, served.url.removeprefix("http://")


def rocketchat(host: str) -> RocketChatWebhook:
    address = parse_webhook(Secret(f"rocket://abc123/t0ken456@{host}"))
    assert address is not None
    return RocketChatWebhook("chat", address)


def test_rocketchat_gets_colour_fields_and_the_command_as_code(receiver: tuple[Receiver, str]) -> None:
    taken, host = receiver
    rocketchat(host).send(ONE)
    ((path, body),) = taken.got
    assert path == "/hooks/abc123/t0ken456"
    assert body["text"] == "*🚨 rocketchat is down*"
    (attachment,) = body["attachments"]
    assert attachment["color"] == "#d0021b"
    assert attachment["text"] == "It does not answer.\nRun `groundcrew power status`."
    assert attachment["fields"][0] == {"title": "machine", "value": "rocketchat", "short": True}
    assert attachment["ts"] == NOW.isoformat()
    assert body["parseUrls"] is False


def test_it_is_sent_where_apprise_sends_its_text(receiver: tuple[Receiver, str]) -> None:
    taken, host = receiver
    AppriseChannel("chat", Secret(f"rocket://abc123/t0ken456@{host}/?avatar=no")).send(ONE)
    rocketchat(host).send(ONE)
    (by_apprise, body), (ours, own) = taken.got
    assert by_apprise == ours
    # What apprise sends is the text alone: https://github.com/caronc/apprise, plugins/rocketchat.py.
    assert set(body) == {"text"}
    assert "text" in own


@pytest.mark.parametrize(
    ("notice", "colour"),
    [(Notice(Severity.INFO, "t", ""), "#2b7de9"), (Notice(Severity.WARNING, "t", ""), "#e8a317"),
     (Notice(Severity.CRITICAL, "t", "", resolved=True), "#2f9e44")],
)  # fmt: skip
def test_the_colour_is_that_of_the_severity_or_of_an_end(
    notice: Notice, colour: str, receiver: tuple[Receiver, str]
) -> None:
    taken, host = receiver
    rocketchat(host).send(message(notice))
    assert taken.got[0][1]["attachments"][0]["color"] == colour


def test_of_a_few_each_has_its_own_attachment_and_of_many_a_line(receiver: tuple[Receiver, str]) -> None:
    taken, host = receiver
    for count in (3, 40):
        rocketchat(host).send(message(*(Notice(Severity.INFO, f"number {n}", "text") for n in range(count))))
    few, many = (body for _, body in taken.got)
    assert [one["title"] for one in few["attachments"]] == ["number 0", "number 1", "number 2"]
    assert few["text"] == "*ℹ️ number 0 (and 2 more)*"
    (attachment,) = many["attachments"]
    assert attachment["text"].count("\n- ") == 29 + 10
    assert "Not listed: 10 more." in attachment["text"]


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Refused), (401, Refused), (403, Refused), (404, Refused), (410, Refused), (408, Unavailable),
     (429, Unavailable), (500, Unavailable), (502, Unavailable), (503, Unavailable), (302, Unavailable)],
)  # fmt: skip
def test_a_webhook_that_is_revoked_is_told_from_a_chat_that_is_down(
    status: int, error: type[Exception], receiver: tuple[Receiver, str]
) -> None:
    taken, host = receiver
    taken.status = status
    with pytest.raises(error, match=str(status)) as caught:
        rocketchat(host).send(ONE)
    assert len(taken.got) == 1  # no redirect is followed
    assert "t0ken456" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__!r}"


def test_a_chat_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no answer") as caught:
        rocketchat("127.0.0.1:1").send(ONE)
    assert "t0ken456" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("rocket://abc/def@chat.example.org", "http://chat.example.org/hooks/abc/def"),
        ("rockets://abc/def@chat.example.org/", "https://chat.example.org/hooks/abc/def"),
        ("ROCKETS://abc%2Fdef@chat.example.org:8443", "https://chat.example.org:8443/hooks/abc/def"),
        ("rockets://bot:abc/def@chat.example.org?avatar=no", "https://chat.example.org/hooks/abc/def"),
        ("rockets://abc/def@chat.example.org/#room", None),
        ("rockets://abc/def@chat.example.org/?to=room", None),
        ("rockets://abc/def@chat.example.org/?verify=no", None),
        ("rockets://user:password@chat.example.org/#room", None),
        ("slack://a/b/c", None),
        ("json://host/path", None),
    ],
)
def test_which_urls_are_webhooks_of_rocketchat(url: str, address: str | None) -> None:
    found = parse_webhook(Secret(url))
    assert (found.reveal() if found else None) == address


def test_which_routes_lead_to_our_own_chat() -> None:
    urls = {
        "chat": [Secret("rockets://abc/def@chat.example.org")],
        "user": [Secret("rockets://user:password@chat.example.org:8443/#room")],
        "both": [Secret("rockets://abc/def@chat.example.org"), Secret("mailtos://u:p@example.org")],
        "others": [Secret("rockets://abc/def@chat.other.test")],
        "oncall": [Secret("mailtos://u:p@chat.example.org")],
        "none": [],
    }
    assert find_chat_routes(urls, "https://chat.example.org") == ["chat", "user"]
    assert find_chat_routes(urls, "") == ["chat", "user", "others"]


def test_elsewhere_it_is_plain_text(receiver: tuple[Receiver, str]) -> None:
    taken, host = receiver
    AppriseChannel("oncall", Secret(f"json://{host}/in")).send(ONE)
    ((_, body),) = taken.got
    assert body["title"] == "🚨 rocketchat is down"
    assert body["message"] == (
        "It does not answer.\nmachine: rocketchat\nsince: 10:00\nRun groundcrew power status."
    )
    assert body["type"] == "failure"


@pytest.mark.parametrize("status", [401, 500])
def test_what_another_service_does_not_take_is_unavailable(
    status: int, receiver: tuple[Receiver, str]
) -> None:
    taken, host = receiver
    taken.status = status
    channel: Channel = AppriseChannel("oncall", Secret(f"json://{host}/in"))
    with pytest.raises(Unavailable, match="route oncall did not accept"):
        channel.send(ONE)


def test_a_name_behind_an_at_sign_calls_nobody_and_addresses_stay_as_they_are() -> None:
    with ChatServer() as server:
        hook = server.add_hook()
        address = parse_webhook(
            Secret(f"rocket://{hook.id}/{hook.token}@{server.url.removeprefix('http://')}")
        )
        assert address is not None
        notice = Notice(Severity.INFO, "@all look", "ssh ana@host and @here, mail ana@example.org")
        RocketChatWebhook("chat", address).send(message(notice))
        (heard,) = hook.messages
    assert "@all" not in heard["text"]
    text = heard["attachments"][0]["text"]
    assert "@here" not in text
    assert "ssh ana@host" in text
    assert "ana@example.org" in text
