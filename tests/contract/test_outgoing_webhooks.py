"""The token of Rocket.Chat's outgoing webhook: the app takes two, and is sent what the chat sends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from local.server import Served
from shared.adapters.chat_admin import connect_chat
from shared.adapters.chat_admin.outgoing_webhooks import OutgoingTokens, post_json
from shared.chatops.platforms import Decline, read_rocketchat
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret

FIRST = "a" * 24
# packages/rest-typings/src/v1/integrations/IntegrationsUpdateProps.ts: nothing else is taken.
TAKEN = {
    "type", "integrationId", "target_url", "username", "channel", "event", "targetRoom", "urls",
    "triggerWords", "triggerWordAnywhere", "token", "scriptEnabled", "script", "runOnEdits",
    "retryFailedCalls", "retryCount",
    "retryDelay", "impersonateUser", "name", "enabled", "alias", "avatar", "emoji",
}  # fmt: skip
NEEDED = {"type", "username", "channel", "event", "scriptEnabled", "name", "enabled"}


class Chat:
    """One webhook of the chat, and the app's own reader of messages behind `/api/chatops`."""

    def __init__(self) -> None:
        self.webhook: dict[str, Any] = {
            "_id": "hook1", "type": "webhook-outgoing", "name": "ops", "enabled": True, "token": FIRST,
            "event": "sendMessage", "channel": ["#ops", "#help"], "username": "groundcrew",
            "triggerWords": ["!ops"], "scriptEnabled": False, "retryFailedCalls": True,
            "retryCount": 6, "retryDelay": "powers-of-ten",
            "userId": "u1", "_createdBy": {"_id": "u1"}, "_updatedAt": "2026-01-01T00:00:00Z", "alias": None,
        }  # fmt: skip
        self.taken, self.down, self.allowed = FIRST, False, True
        self.requests: list[web.Request] = []

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/api/v1/integrations.get", self.get)
        application.router.add_put("/api/v1/integrations.update", self.update)
        application.router.add_post("/api/chatops", self.receive)
        return application

    async def get(self, request: web.Request) -> web.Response:
        if not self.allowed:
            return web.json_response({"success": False, "error": "unauthorized"}, status=403)
        found = self.webhook if request.query["integrationId"] == self.webhook["_id"] else None
        return web.json_response({"integration": found, "success": True})

    async def update(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not NEEDED <= set(body) <= TAKEN or not isinstance(body["channel"], str) or not body.get("token"):
            return web.json_response({"success": False, "error": "must match a schema"}, status=400)
        kept = {name: self.webhook[name] for name in ("_id", "userId", "_createdBy", "_updatedAt", "alias")}
        # What is not given is gone, as the server sets every field.
        given = {name: value for name, value in body.items() if name not in ("integrationId", "channel")}
        self.webhook = {**kept, **given, "channel": body["channel"].split(",")}
        return web.json_response({"integration": self.webhook, "success": True})

    async def receive(self, request: web.Request) -> web.Response:
        read = read_rocketchat(await request.read(), self.taken.split(), datetime.now(UTC))
        assert isinstance(read, Decline)  # whatever is tried, no command comes of it
        return web.Response(status=503 if self.down else read.status)


@pytest.fixture
def chat() -> Chat:
    return Chat()


@pytest.fixture
def tokens(chat: Chat) -> Iterator[OutgoingTokens]:
    with Served(chat.application) as served:
        chat.webhook["urls"] = [f"{served.url}/api/chatops"]
        api = connect_chat(served.url, "bot1", Secret("token"), Secret(""))
        yield OutgoingTokens(api, "hook1", post_json)


def test_the_app_takes_both_before_the_chat_sends_the_new_one(chat: Chat, tokens: OutgoingTokens) -> None:
    before = {**chat.webhook}
    chosen = tokens.choose(Secret(FIRST), "x")
    new = tokens.issue(chosen, Secret(FIRST))
    chat.taken = tokens.render(Secret(FIRST), chosen.new_label, new).reveal()
    tokens.prove(Secret(chat.taken), chosen.new_label)  # still the old one
    tokens.activate(new)
    tokens.prove(Secret(chat.taken), chosen.new_label)
    assert {**before, "token": new.reveal()} == chat.webhook  # all else of it is as it was
    chat.taken = tokens.render_final(Secret(FIRST), chosen.new_label, new).reveal()
    tokens.prove(Secret(chat.taken), chosen.new_label)
    assert tokens.revoke(chosen.old_label, Secret(chat.taken)) == ""
    assert new.reveal() not in f"{chosen}"


def test_the_way_back_is_open(chat: Chat, tokens: OutgoingTokens) -> None:
    tokens.activate(Secret("new"))
    tokens.deactivate(Secret(f" {FIRST}\n"))
    assert chat.webhook["token"] == FIRST
    tokens.prove(Secret(FIRST), "x")


def test_a_receiver_that_does_not_take_the_new_token_is_a_refusal(chat: Chat, tokens: OutgoingTokens) -> None:
    tokens.activate(Secret("new"))
    with pytest.raises(Refused, match="does not take the new token: HTTP 401"):
        tokens.prove(Secret(f"new {FIRST}"), "x")


def test_a_receiver_that_is_down_may_be_asked_again(chat: Chat, tokens: OutgoingTokens) -> None:
    chat.down = True
    with pytest.raises(Unavailable, match="did not answer: HTTP 503"):
        tokens.prove(Secret(FIRST), "x")
    chat.webhook["urls"] = ["http://127.0.0.1:1/api/chatops"]
    with pytest.raises(Unavailable, match="does not answer"):
        tokens.prove(Secret(FIRST), "x")


def test_a_token_that_the_home_does_not_hold_is_no_proof(tokens: OutgoingTokens) -> None:
    tokens.activate(Secret("somebody-elses"))
    with pytest.raises(Refused, match="sends a token that the home does not hold"):
        tokens.prove(Secret(FIRST), "x")


def test_the_token_goes_nowhere_without_tls(chat: Chat, tokens: OutgoingTokens) -> None:
    chat.webhook["urls"] = ["http://chat.example.org/api/chatops"]
    with pytest.raises(Refused, match=r"not https: chat\.example\.org"):
        tokens.prove(Secret(FIRST), "x")


@pytest.mark.parametrize("held", ["", "another", f"{FIRST} {FIRST}", f"{FIRST} another"])
def test_a_home_that_does_not_hold_just_what_the_chat_sends_is_not_rotated(
    tokens: OutgoingTokens, held: str
) -> None:
    with pytest.raises(Refused, match="the one token that the chat sends"):
        tokens.choose(Secret(held), "x")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"_id": "other"}, "no outgoing webhook"), ({"type": "webhook-incoming"}, "no outgoing webhook"),
        ({"enabled": False}, "not enabled"),
    ],
)  # fmt: skip
def test_a_webhook_that_is_not_there_or_off_is_refused(
    chat: Chat, tokens: OutgoingTokens, changes: dict[str, object], why: str
) -> None:
    chat.webhook |= changes
    with pytest.raises(Refused, match=why):
        tokens.choose(Secret(FIRST), "x")


def test_a_right_that_is_missing_is_said(chat: Chat, tokens: OutgoingTokens) -> None:
    chat.allowed = False
    with pytest.raises(Refused, match="does not allow it"):
        tokens.choose(Secret(FIRST), "x")
