"""Whether the server is well, over HTTP, by its version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aiohttp import web

from local.server import Served
from shared.adapters.chat_probe.health import connect_health
from shared.adapters.chat_probe.pages import health_paths, parse_version
from shared.kernel.errors import UsageError


class Chat:
    """A server whose answers a test sets by path."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        status, text = self.answers.get(request.path, (404, ""))
        headers = {"Location": "/livez"} if status == 302 else {}
        return web.Response(status=status, text=text, headers=headers)


@pytest.fixture
def chat() -> Chat:
    return Chat()


@pytest.fixture
def url(chat: Chat) -> Iterator[str]:
    with Served(chat.application) as served:
        yield served.url


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("8.2", ["/livez", "/readyz"]),
        ("7.11.0", ["/livez", "/readyz"]),
        ("7.10.2", ["/health"]),
        ("6.9", ["/health"]),
    ],
)
def test_the_paths_follow_the_version(chat: Chat, url: str, version: str, asked: list[str]) -> None:
    chat.answers = dict.fromkeys(asked, (200, "ok"))
    chat.answers["/api/info"] = (200, f'{{"success": true, "version": "{version}"}}')
    health = connect_health(url + "/").check()
    assert (health.healthy, chat.asked) == (True, ["/api/info", *asked])
    assert ".".join(version.split(".")[:2]) in health.message


@pytest.mark.parametrize(
    ("path", "answer"), [("/readyz", (503, "")), ("/livez", (302, "")), ("/api/info", (502, "<html>"))]
)
def test_a_server_that_is_not_ready_is_unwell_and_the_path_is_named(
    chat: Chat, url: str, path: str, answer
) -> None:
    chat.answers = {"/api/info": (200, '{"version": "8.2"}'), "/livez": (200, ""), "/readyz": (200, "")}
    chat.answers[path] = answer
    health = connect_health(url).check()
    assert not health.healthy
    assert health.message == f"{path} answers {answer[0]}"


def test_a_server_that_is_not_there_is_unwell_and_nothing_is_raised() -> None:
    with Served(Chat().application) as served:
        gone = served.url
    health = connect_health(gone).check()
    assert not health.healthy
    assert "127.0.0.1" not in health.message


def test_an_unknown_version_is_asked_the_newer_way() -> None:
    assert parse_version("<html>") == ""
    assert health_paths("") == ("/livez", "/readyz")


@pytest.mark.parametrize("text", ["chat.example.org", "ftp://x", "https://", "https:// x"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not the address"):
        connect_health(text)
