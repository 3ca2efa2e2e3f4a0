"""Personal access tokens of Rocket.Chat's stand-in: a new name, proven, the old one removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from local.rocketchat.rest import ChatUser, RestServer
from shared.adapters.chat_admin import AccessTokens, ChatApi, connect_chat
from shared.kernel.errors import NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from tests.support.published_api import describe_faults, rocketchat_api

PASSWORD = "a bot's password"
ROTATION = "20260301T120000Z"


@dataclass
class Stage:
    server: RestServer
    user: ChatUser
    first: Secret
    tokens: AccessTokens

    def names(self) -> list[str]:
        return [one["name"] for one in self.user.tokens]


def connect(server: RestServer, token: str = "", password: str = PASSWORD) -> ChatApi:
    return connect_chat(server.url, "bot1", Secret(token), Secret(password))


@pytest.fixture
def stage() -> Iterator[Stage]:
    with RestServer() as server:
        user = server.state.add_user(ChatUser("bot1", "groundcrew", ["bot", "user"], PASSWORD))
        first = server.state.add_token(user, "first", bypass=False)
        yield Stage(server, user, Secret(first), AccessTokens(connect(server)))
        assert describe_faults(rocketchat_api(), server) == []


def rotate(stage: Stage, current: Secret) -> Secret:
    chosen = stage.tokens.choose(current, ROTATION)
    made = stage.tokens.issue(chosen, current)
    return stage.tokens.render(current, chosen.new_label, made)


def test_a_new_token_is_made_beside_the_old_one_and_the_old_one_removed(stage: Stage) -> None:
    value = rotate(stage, stage.first)
    assert stage.names() == ["first", "groundcrew-20260301t120000z"]
    stage.tokens.prove(value, "groundcrew-20260301t120000z")
    stage.tokens.prove(stage.first, "first")
    stage.tokens.revoke("first", value)
    stage.tokens.revoke("first", value)
    assert stage.names() == ["groundcrew-20260301t120000z"]
    stage.tokens.prove(value, "groundcrew-20260301t120000z")
    with pytest.raises(Refused, match="does not allow it"):
        stage.tokens.prove(stage.first, "first")


def test_a_token_that_nobody_could_keep_is_made_anew(stage: Stage) -> None:
    lost = rotate(stage, stage.first)
    value = rotate(stage, stage.first)
    assert stage.names() == ["first", "groundcrew-20260301t120000z"]
    stage.tokens.prove(value, "x")
    with pytest.raises(Refused):
        stage.tokens.prove(lost, "x")


def test_the_token_is_found_and_replaced_inside_an_address(stage: Stage) -> None:
    home = Secret(f"rockets://bot1/{stage.first.reveal()}@chat.example.org/general")
    value = rotate(stage, home).reveal()
    assert value.startswith("rockets://bot1/")
    assert value.endswith("@chat.example.org/general")
    assert stage.first.reveal() not in value
    stage.tokens.prove(Secret(value), "x")


def test_a_token_that_bypasses_the_second_factor_is_replaced_by_one_that_does_so_too(stage: Stage) -> None:
    stage.user.tokens[0]["bypassTwoFactor"] = True
    rotate(stage, stage.first)
    assert [one["bypassTwoFactor"] for one in stage.user.tokens] == [True, True]


@pytest.mark.parametrize(("totp", "email"), [(True, False), (False, True)])
def test_a_second_factor_that_only_a_person_has_is_refused(stage: Stage, totp: bool, email: bool) -> None:
    stage.user.totp, stage.user.email2fa = totp, email
    with pytest.raises(Refused, match=r"asks for a second factor: (totp|email)"):
        rotate(stage, stage.first)
    assert stage.names() == ["first"]


def test_a_wrong_password_is_refused(stage: Stage) -> None:
    tokens = AccessTokens(connect(stage.server, password="other"))
    with pytest.raises(Refused, match="does not take the second factor"):
        tokens.issue(tokens.choose(stage.first, ROTATION), stage.first)


def test_a_user_without_a_password_is_asked_for_nothing(stage: Stage) -> None:
    stage.user.password = ""
    stage.tokens.prove(rotate(stage, stage.first), "x")


@pytest.mark.parametrize("text", ["", "short", "A" * 43 + " " + "B" * 43, "x" * 44])
def test_a_home_without_exactly_one_token_is_refused_and_nothing_quoted(stage: Stage, text: str) -> None:
    with pytest.raises(Refused, match="does not hold one token") as told:
        stage.tokens.choose(Secret(text), ROTATION)
    assert "AAAA" not in str(told.value)


def test_the_token_of_a_sign_in_is_no_personal_one(stage: Stage) -> None:
    stage.user.tokens[0]["lastTokenPart"] = "other1"
    with pytest.raises(Refused, match="none of the user's personal ones"):
        stage.tokens.choose(stage.first, ROTATION)


def test_limits_and_gateways_may_be_tried_again(stage: Stage) -> None:
    stage.server.state.permissions["api-bypass-rate-limit"] = []
    stage.server.calls_a_minute = 0
    with pytest.raises(Unavailable, match="limits how often") as told:
        stage.tokens.prove(stage.first, "first")
    assert not told.value.permanent
    stage.server.broken = 1
    with pytest.raises(Unavailable, match="does not answer"):
        stage.tokens.prove(stage.first, "first")


def test_pages_are_read_to_their_end_and_what_is_not_there_is_said(stage: Stage) -> None:
    admin = stage.server.state.add_user(ChatUser("adm", "admin", ["admin"]))
    token = stage.server.state.add_token(admin, "audit")
    for number in range(250):
        stage.server.state.add_user(ChatUser(f"u{number}", f"user{number}"))
    api = connect_chat(stage.server.url, "adm", Secret(token), Secret(""))
    assert len([*api.pages("users.list", "users")]) == 252
    with pytest.raises((NotFound, Unavailable)):
        api.get("nothing")


def test_tokens_do_not_go_over_plain_http_to_another_machine() -> None:
    with pytest.raises(UsageError, match="not https"):
        connect_chat("http://chat.example.org", "bot1", Secret("x"), Secret(""))
