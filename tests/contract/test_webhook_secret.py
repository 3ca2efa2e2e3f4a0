"""The secret of a GitHub webhook: the receiver takes two, and GitHub's pings are delivered to it."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from local.fakes.clock import ManualClock
from local.server import Served
from shared.adapters.github import fixed_token
from shared.adapters.github.hooks import WebhookSecret, connect_webhook
from shared.deploy.webhook.signature import verify_signature
from shared.kernel.errors import NotFound, Refused, Unavailable
from shared.kernel.secret import Secret

FIRST = "a" * 64


class GitHubHooks:
    """One hook, whose deliveries are verified as our webhook verifies them: by `taken`, several secrets."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {"url": "https://app/api/github/webhook", "content_type": "json"}
        self.secret, self.taken, self.active = FIRST, FIRST, True
        self.deliveries: list[dict[str, Any]] = []
        self.receiver_down = False

    def application(self) -> web.Application:
        application = web.Application()
        base = "/repos/example/chat/hooks/7"
        application.router.add_get(base, self.get)
        application.router.add_patch(f"{base}/config", self.patch)
        application.router.add_post(f"{base}/pings", self.ping)
        application.router.add_get(f"{base}/deliveries", self.list)
        return application

    async def get(self, _request: web.Request) -> web.Response:
        shown = {**self.config, "secret": "********"}  # GitHub never shows it
        return web.json_response({"id": 7, "active": self.active, "config": shown})

    async def patch(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.secret = body.pop("secret")
        self.config = body
        return web.json_response({**body, "secret": "********"})

    async def ping(self, _request: web.Request) -> web.Response:
        signature = "sha256=" + hmac.new(self.secret.encode(), b"{}", "sha256").hexdigest()
        taken = verify_signature(b"{}", signature, self.taken.split()).accepted
        code = 504 if self.receiver_down else 202 if taken else 401
        number = len(self.deliveries)
        self.deliveries.insert(0, {"guid": f"g{number}", "event": "ping", "status_code": code})
        return web.Response(status=204)

    async def list(self, _request: web.Request) -> web.Response:
        return web.json_response(self.deliveries)


@pytest.fixture
def github() -> GitHubHooks:
    return GitHubHooks()


@pytest.fixture
def hook(github: GitHubHooks) -> Iterator[WebhookSecret]:
    with Served(github.application) as served:
        token = fixed_token(Secret("github_pat_test"))
        yield connect_webhook("example/chat", "7", token, ManualClock(), url=served.url)


def test_the_receiver_takes_both_before_github_signs_with_the_new_one(
    github: GitHubHooks, hook: WebhookSecret
) -> None:
    chosen = hook.choose(Secret(FIRST), "x")
    new = hook.issue(chosen, Secret(FIRST))
    github.taken = hook.render(Secret(FIRST), chosen.new_label, new).reveal()
    hook.prove(Secret(github.taken), chosen.new_label)  # still the old one
    hook.activate(new)
    assert github.secret == new.reveal()
    hook.prove(Secret(github.taken), chosen.new_label)
    github.taken = hook.render_final(Secret(FIRST), chosen.new_label, new).reveal()
    hook.prove(Secret(github.taken), chosen.new_label)
    assert [one["status_code"] for one in github.deliveries] == [202, 202, 202]
    assert new.reveal() not in f"{chosen}"


def test_the_rest_of_the_config_stays_and_the_way_back_is_open(
    github: GitHubHooks, hook: WebhookSecret
) -> None:
    hook.activate(Secret("new"))
    assert github.config == {"url": "https://app/api/github/webhook", "content_type": "json"}
    hook.deactivate(Secret(FIRST))
    assert github.secret == FIRST


def test_a_receiver_that_does_not_take_the_new_signature_is_a_refusal(
    github: GitHubHooks, hook: WebhookSecret
) -> None:
    hook.activate(Secret("new"))
    with pytest.raises(Refused, match="does not take the new signature: HTTP 401"):
        hook.prove(Secret("new"), "x")


def test_a_receiver_that_is_down_may_be_asked_again(github: GitHubHooks, hook: WebhookSecret) -> None:
    github.receiver_down = True
    with pytest.raises(Unavailable, match="did not answer the ping: HTTP 504"):
        hook.prove(Secret(FIRST), "x")


def test_a_hook_that_is_off_is_refused(github: GitHubHooks, hook: WebhookSecret) -> None:
    github.active = False
    with pytest.raises(Refused, match="not active"):
        hook.issue(hook.choose(Secret(FIRST), "x"), Secret(FIRST))


@pytest.mark.parametrize("held", ["", "one two"])
def test_a_home_with_none_or_two_is_not_begun_with(hook: WebhookSecret, held: str) -> None:
    with pytest.raises(Refused, match="does not hold one webhook secret"):
        hook.choose(Secret(held), "x")


def test_a_hook_that_is_not_there_is_said(github: GitHubHooks) -> None:
    with Served(github.application) as served:
        token = fixed_token(Secret("github_pat_test"))
        other = connect_webhook("example/chat", "8", token, ManualClock(), url=served.url)
        with pytest.raises((NotFound, Unavailable)):
            other.issue(other.choose(Secret(FIRST), "x"), Secret(FIRST))
