"""`ChatRooms` and `ReplyHook`: the fakes and the adapters, which talk to the stand-in of the chat."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from local.chat import ChatServer, Conversations
from local.fakes.chat_rooms import MemoryRooms
from local.server import Served
from shared.adapters import chat_rooms, slack_hooks
from shared.chatops.ports import ChatRooms
from shared.kernel.errors import Corrupt, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from tests.support.published_api import describe_faults, rocketchat_api


@dataclass
class RoomsUnderTest:
    """The port, and the side that people write on."""

    rooms: ChatRooms
    talk: Conversations | None
    memory: MemoryRooms | None

    def say(self, text: str) -> str:
        if self.talk is not None:
            return self.talk.write_message("uAna", "GENERAL", text)
        assert self.memory is not None
        self.memory.add("m1", "GENERAL", "uAna", text, datetime.now(UTC))
        return "m1"

    def answers(self, message: str) -> list[str]:
        if self.talk is not None:
            return self.talk.thread(message)
        assert self.memory is not None
        return [post.text for post in self.memory.posts if post.thread == message]

    def go_down(self) -> None:
        for side in (self.talk, self.memory):
            if side is not None:
                side.down = True


@pytest.fixture(params=["memory", "rest"])
def under_test(request: pytest.FixtureRequest) -> Iterator[RoomsUnderTest]:
    if request.param == "memory":
        memory = MemoryRooms()
        yield RoomsUnderTest(memory, None, memory)
        return
    with ChatServer() as server:
        talk = server.conversations
        talk.add_user("uAna", "GENERAL")
        token = talk.add_user("uCrew", "GENERAL")
        yield RoomsUnderTest(chat_rooms.connect(server.url, "uCrew", Secret(token)), talk, None)
        assert describe_faults(rocketchat_api(), server) == []


def test_a_message_is_read_as_it_was_written(under_test: RoomsUnderTest) -> None:
    found = under_test.rooms.read_message(message := under_test.say("!ops up  until 22:00 \u00e9"))
    assert (found.id, found.room, found.user) == (message, "GENERAL", "uAna")
    assert found.text == "!ops up  until 22:00 \u00e9"
    assert (found.edited, found.bot) == (False, False)
    assert abs(datetime.now(UTC) - found.at) < timedelta(minutes=5)


def test_a_message_that_is_not_there_is_not_found(under_test: RoomsUnderTest) -> None:
    with pytest.raises(NotFound):
        under_test.rooms.read_message("nothing")


def test_an_answer_is_posted_in_the_thread(under_test: RoomsUnderTest) -> None:
    message = under_test.say("!ops status")
    under_test.rooms.post_reply("GENERAL", "all is well", message)
    assert under_test.answers(message) == ["all is well"]


def test_a_chat_that_is_down_is_unavailable(under_test: RoomsUnderTest) -> None:
    message = under_test.say("!ops status")
    under_test.go_down()
    with pytest.raises(Unavailable):
        under_test.rooms.read_message(message)
    with pytest.raises(Unavailable):
        under_test.rooms.post_reply("GENERAL", "x", message)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        running.conversations.add_user("uAna", "GENERAL")
        yield running
        assert describe_faults(rocketchat_api(), running) == []


def test_edits_and_messages_of_integrations_are_seen_as_such(server: ChatServer) -> None:
    talk = server.conversations
    rooms = chat_rooms.connect(server.url, "uCrew", Secret(talk.add_user("uCrew", "GENERAL")))
    message = talk.write_message("uAna", "GENERAL", "!ops status")
    talk.edit(message, "!ops down")
    assert rooms.read_message(message).edited
    assert rooms.read_message(talk.write_message("uAna", "GENERAL", "!ops down", bot={"i": "x"})).bot


def test_a_revoked_token_is_refused_and_not_tried_again(server: ChatServer) -> None:
    rooms = chat_rooms.connect(server.url, "uCrew", Secret("revoked"))
    with pytest.raises(Refused, match="answers 401"):
        rooms.read_message("x")
    with pytest.raises(Refused, match="answers 401"):
        rooms.post_reply("GENERAL", "x", "y")


def test_a_room_that_our_user_is_not_in_takes_nothing(server: ChatServer) -> None:
    rooms = chat_rooms.connect(server.url, "uCrew", Secret(server.conversations.add_user("uCrew", "OTHER")))
    with pytest.raises(Refused, match="invalid-channel"):
        rooms.post_reply("GENERAL", "x", "y")
    with pytest.raises(NotFound, match="not one that the user sees"):
        rooms.read_message(server.conversations.write_message("uAna", "GENERAL", "!ops status"))


def test_nobody_there_is_unavailable_and_the_token_is_in_no_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    rooms = chat_rooms.connect(f"http://127.0.0.1:{port}", "uCrew", Secret("hunter2hunter2"))
    with pytest.raises(Unavailable) as failed:
        rooms.read_message("x")
    assert "hunter2" not in str(failed.value)


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"success": false}', '{"success": "true"}'])
def test_an_answer_that_says_nothing_is_unavailable(body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    def make() -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        return app

    with Served(make) as served, pytest.raises(Unavailable):
        chat_rooms.connect(served.url, "u", Secret("t")).read_message("x")


@pytest.mark.parametrize("value", [None, [], {}, {"_id": "a", "rid": "b", "u": "c", "msg": "d", "ts": "e"}])
def test_a_malformed_message_is_corrupt(value: object) -> None:
    with pytest.raises(Corrupt):
        chat_rooms.parse_chat_message(value)


def test_what_is_no_address_of_a_chat_is_refused() -> None:
    for url in (
        "chat.example.org", "https://user:secret@chat.example.org", "ftp://x", "http://chat.example.org",
        "http://127.0.0.1.example.org", "http://localhost@example.org",
    ):  # fmt: skip
        with pytest.raises(UsageError):
            chat_rooms.connect(url, "u", Secret("t"))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/commands/1", "http://hooks.slack.com/commands/1", "https://hooks.slack.com.example.org/x",
        "https://hooks.slack.com@example.org/x", "https://hooks.slack.com:8443/x", "https://[::1", "",
        "http://169.254.169.254/metadata", "http://127.0.0.1:1/x", "https://user@hooks.slack.com/x",
    ],
)  # fmt: skip
def test_an_answer_goes_to_slack_and_nowhere_else(url: str) -> None:
    with pytest.raises(Refused, match="not an address of Slack"):
        slack_hooks.check_hook_address(url, allow_loopback=False)


def test_slacks_own_address_is_taken() -> None:
    slack_hooks.check_hook_address("https://hooks.slack.com/commands/T1/2/3", allow_loopback=False)


@pytest.mark.parametrize(
    ("status", "kind"), [(200, None), (404, Refused), (302, Refused), (500, Unavailable), (429, Unavailable)]
)
def test_what_slack_answers_decides_whether_it_is_tried_again(
    status: int, kind: type[Exception] | None
) -> None:
    taken: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        taken.append(await request.json())
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    def make() -> web.Application:
        app = web.Application()
        app.router.add_post("/commands/1", answer)
        return app

    with Served(make) as served:
        hook = slack_hooks.connect(allow_loopback=True)
        if kind is None:
            hook.post(f"{served.url}/commands/1", "a <!here> & b")
        else:
            with pytest.raises(kind):
                hook.post(f"{served.url}/commands/1", "a <!here> & b")
    assert taken == [{"response_type": "in_channel", "text": "a &lt;!here&gt; &amp; b"}]
