"""The values of chat-ops: who asked for what, where; what it means; what it would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ChatPlatform(StrEnum):
    """Where a command comes from."""

    ROCKETCHAT = "rocketchat"
    SLACK = "slack"
    TEAMS = "teams"
    WEB = "web"  # plain HTTP behind the platform's sign-in
    LAPTOP = "laptop"  # `groundcrew ops`


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A command as it came in, from a platform that knows who sent it.

    - `delivery`: the same for each repetition of one message.
    - `accounts`: the sender's ids as policy writes them, `rocketchat:<id>`.
    - `room`: its id as policy writes it, `rocketchat:<id>`, or `web`, or `laptop`.
    - `text`: the command without the word that the bot is called by; `original` is the whole message.
    - `message`, `thread`: Rocket.Chat's ids of the message and of the thread it stands in.
    - `reply_url`: where Slack takes the answer.
    """

    platform: ChatPlatform
    delivery: str
    accounts: tuple[str, ...]
    room: str
    text: str
    sent: datetime
    original: str = ""
    message: str = ""
    thread: str = ""
    reply_url: str = field(default="", repr=False)


class CommandKind(StrEnum):
    """What a command needs before it is done."""

    READ = "read"  # changes nothing
    SAFE = "safe"  # changes something that harms nobody: done at once
    CONFIRM = "confirm"  # done when its sender repeats it with the code of the plan that was shown
    TWO_PEOPLE = "two people"  # done when another person approves exactly this


@dataclass(frozen=True, slots=True)
class CommandCall:
    """A command that was understood.

    - `arguments`: by name, as the command's usage calls them; those left out are absent.
    - `line`: how it is written, without modifiers and spare white space: the same for all spellings.
    - `code`: of the plan that its sender saw; empty before.
    """

    name: str
    arguments: Mapping[str, str]
    line: str
    dry_run: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True)
class CommandPlan:
    """What a command would do now; of one that only reads, its answer.

    - `target`: what it would be done to, with its version. A confirmation and an approval end
      when it changes.
    - `action`, `arguments`: what an approval is bound to where the feature itself asks for it; else empty.
    """

    text: str
    target: str = ""
    action: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AllowRule:
    """One rule of the policy: these may use these commands in these rooms."""

    who: frozenset[str]
    rooms: frozenset[str]
    commands: frozenset[str]


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What the sender is told, and how it ended: `done`, `answered`, `asked`, `refused` or `failed`."""

    text: str
    outcome: str
