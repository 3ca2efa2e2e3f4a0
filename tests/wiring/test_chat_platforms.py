"""Which platforms of chat-ops are open, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.chatops.model import ChatPlatform
from shared.kernel.errors import Unavailable, UsageError
from shared.settings import definitions
from shared.wiring import load_policy
from shared.wiring.chat_platforms import (
    build_chat_intake,
    describe_platforms,
    find_disabled_platforms,
    read_secrets,
)
from shared.wiring.pages import page_access

PEOPLE = "people: [{id: ana, rocketchat: [aBc]}]\n"
RULES = "chat: {rules: [{who: [ana], rooms: ['rocketchat:GENERAL', laptop], commands: [status]}]}\n"
ROCKETCHAT = {
    "GROUNDCREW_CHAT": "https://chat.example.org",
    "GROUNDCREW_ROCKETCHAT_TOKENS": "one two",
    "GROUNDCREW_ROCKETCHAT_USER": "crew",
    "GROUNDCREW_ROCKETCHAT_USER_TOKEN": "token",
}
SETTINGS = (
    *ROCKETCHAT, "GROUNDCREW_SLACK_SIGNING_SECRETS", "GROUNDCREW_TEAMS_SECRETS", "GROUNDCREW_SIGNING_KEY",
    "GROUNDCREW_WAKE_SIGN_IN", "WEBSITE_AUTH_ENABLED",
)  # fmt: skip

Configure = Callable[..., None]


def clear_caches() -> None:
    for cached in (load_policy, build_chat_intake, page_access):
        cached.cache_clear()


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    def write(policy: str = PEOPLE + RULES, **settings: str) -> None:
        (tmp_path / "policy.yaml").write_text(policy)
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)
        given = {"GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"), "GROUNDCREW_SIGNING_KEY": "key"}
        given["AzureWebJobsStorage"] = "UseDevelopmentStorage=true"
        for name, value in {**given, **settings}.items():
            monkeypatch.setenv(name, value)
        clear_caches()

    yield write
    clear_caches()


def test_without_rules_every_platform_is_closed(configure: Configure) -> None:
    configure(PEOPLE, **ROCKETCHAT)
    assert set(find_disabled_platforms()) == set(ChatPlatform)


def test_without_a_key_to_seal_with_every_platform_is_closed(configure: Configure) -> None:
    configure(**ROCKETCHAT, GROUNDCREW_SIGNING_KEY="")
    assert set(find_disabled_platforms().values()) == {"GROUNDCREW_SIGNING_KEY not set"}


def test_each_platform_is_open_by_its_own_settings(configure: Configure) -> None:
    configure(**ROCKETCHAT, GROUNDCREW_SLACK_SIGNING_SECRETS="x", GROUNDCREW_WAKE_SIGN_IN="app-service")
    assert set(find_disabled_platforms()) == {ChatPlatform.TEAMS}
    assert (
        describe_platforms()
        == "rocketchat open; slack open; teams closed: GROUNDCREW_TEAMS_SECRETS not set; web open"
    )


@pytest.mark.parametrize("name", ROCKETCHAT)
def test_a_token_without_a_way_to_read_back_opens_nothing(configure: Configure, name: str) -> None:
    configure(**{**ROCKETCHAT, name: ""})
    assert find_disabled_platforms()[ChatPlatform.ROCKETCHAT] == f"{name} not set"
    with pytest.raises(Unavailable, match=f"room of a closed platform.*{name} not set"):
        describe_platforms()


@pytest.mark.parametrize("sign_in", ["", "none"])
def test_where_nobody_vouches_for_people_the_page_is_closed(configure: Configure, sign_in: str) -> None:
    configure(**ROCKETCHAT, GROUNDCREW_WAKE_SIGN_IN=sign_in)
    assert "not on" in find_disabled_platforms()[ChatPlatform.WEB]


def test_a_mistake_at_one_platform_closes_that_one_only(configure: Configure) -> None:
    configure(**ROCKETCHAT, GROUNDCREW_SLACK_SIGNING_SECRETS="a b c", GROUNDCREW_TEAMS_SECRETS="no base64!")
    intake = build_chat_intake()
    assert "GROUNDCREW_SLACK_SIGNING_SECRETS has 3 secrets" in intake.closed[ChatPlatform.SLACK]
    assert "GROUNDCREW_TEAMS_SECRETS is not base64" in intake.closed[ChatPlatform.TEAMS]
    assert ChatPlatform.ROCKETCHAT not in intake.closed
    assert intake.rocketchat_tokens == ("one", "two")
    assert "one" not in repr(intake)
    with pytest.raises(UsageError, match="3 secrets"):
        read_secrets(definitions.SLACK_SECRETS)
