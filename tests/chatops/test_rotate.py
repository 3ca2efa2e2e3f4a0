"""Rotations from the chat: the plan that is posted, the second person, the result, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from shared.chatops.deps import ChatopsDeps
from shared.chatops.model import AllowRule
from shared.kernel.errors import Refused, Unavailable
from shared.secrets_rotation.model import RotationStep
from shared.wiring.chat_secrets import SecretCommands
from tests.support.chat_world import ROOM, ROOMS, ChatWorld
from tests.support.rotation_world import NAME, entry
from tests.support.rotation_world import World as RotationWorld


@dataclass
class RotationChat(ChatWorld):
    """The chat, with the commands of the app over a rotation in memory."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.secrets = RotationWorld(clock=self.clock)

    def deps(self) -> ChatopsDeps:
        handlers = SecretCommands(self.secrets.deps).handlers()
        allowed = frozenset({"secrets", "rotate", "approve", "deny"})
        rules = (
            AllowRule(frozenset({"role:operator"}), ROOMS, allowed),
            AllowRule(frozenset({"eve"}), frozenset({ROOM}), frozenset({"secrets"})),
        )
        return replace(super().deps(), handlers=handlers, rules=rules)

    def ask(self) -> str:
        """Ana asks for a rotation; the number of the request."""
        return re.findall(r"approve ([0-9a-f]{16})", self.say("uAna", f"rotate {NAME}"))[0]

    @property
    def steps(self) -> list[RotationStep]:
        journal = self.secrets.deps().records().load(NAME)
        return [journal.step] if journal else []


@pytest.fixture
def chat() -> RotationChat:
    return RotationChat()


def test_the_plan_is_posted_and_nothing_is_changed_before_another_person_approves(
    chat: RotationChat,
) -> None:
    answer = chat.say("uAna", f"rotate {NAME}")
    for step in ("deployment:rocketchat/chat", "statefulset:rocketchat/worker", "revoke"):
        assert step in answer
    assert "password" not in answer
    asked = re.findall(r"approve ([0-9a-f]{16})", answer)[0]
    assert "another person" in chat.say("uAna", f"approve {asked}")
    assert (chat.steps, chat.secrets.authority.accepts(chat.secrets.authority.first.reveal())) == ([], True)


def test_two_people_rotate_it_and_the_result_is_posted_without_the_value(chat: RotationChat) -> None:
    old = chat.secrets.authority.first.reveal()
    answer = chat.say("uBob", f"approve {chat.ask()}")
    assert f"{NAME}: done: b replaced a" in answer
    assert "requested by ana, approved by bob" in answer
    assert not chat.secrets.authority.accepts(old)
    assert chat.secrets.lockouts() == []
    everything = " ".join(post.text for post in chat.rooms.posts)
    assert not [value for value in chat.secrets.authority.valid.values() if value in everything]
    assert [one.actor for one in chat.secrets.audit()][:1] == ["ana"]
    assert f"done {chat.clock.now():%Y-%m-%d} by ana" in chat.say("uEve", "secrets")


def test_an_approval_is_for_this_rotation_and_not_for_the_next(chat: RotationChat) -> None:
    first, second = chat.ask(), chat.ask()
    assert "done: b replaced a" in chat.say("uBob", f"approve {first}")
    assert "has changed since" in chat.say("uBob", f"approve {second}") or first == second
    assert sum(one.outcome == "done" for one in chat.secrets.audit()) == 1


def test_a_rotation_that_is_undone_says_so_and_why(chat: RotationChat) -> None:
    chat.secrets.authority.proof = Refused("Authentication failed")
    answer = chat.say("uBob", f"approve {chat.ask()}")
    assert f"{NAME}: undone: " in answer
    assert "Authentication failed" in answer
    assert chat.secrets.lockouts() == []


def test_one_that_has_to_wait_is_begun_and_the_timer_goes_on(chat: RotationChat) -> None:
    asked = chat.ask()
    chat.secrets.offline = "outside of its windows"
    assert "cannot be rotated now" in chat.say("uBob", f"approve {asked}")
    assert chat.steps == []


def test_what_fails_is_answered_and_goes_on_where_it_was(chat: RotationChat) -> None:
    chat.secrets.authority.proof = Unavailable("MongoDB does not answer")
    assert "MongoDB does not answer" in chat.say("uBob", f"approve {chat.ask()}")
    chat.secrets.authority.proof = None
    chat.clock.advance(timedelta(minutes=20))
    assert "done: b replaced a" in chat.say("uBob", f"approve {chat.ask()}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rotate nothing", "policy knows no such secret"),
        ("rotate mail", "groundcrew secrets rotate mail --given FILE"),
    ],
)
def test_what_no_chat_can_rotate_is_refused_before_anybody_is_asked(
    chat: RotationChat, text: str, why: str
) -> None:
    chat.secrets.entries = (entry(), entry(name="mail", kind="smtp", users=(), automatic=False))
    answer = chat.say("uAna", text)
    assert why in answer
    assert "approve" not in answer


def test_who_may_only_look_rotates_nothing(chat: RotationChat) -> None:
    assert "do not allow eve rotate" in chat.say("uEve", f"rotate {NAME}")
    assert chat.steps == []
