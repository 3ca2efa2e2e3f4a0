"""The policy of chat-ops: who may order what, in which rooms."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from .base import Duration, Section, max_hours

CommandName = Literal[
    "help", "status", "up", "down", "auto", "orders", "cancel", "hold", "release", "backup", "backups",
    "restore", "drill", "snapshot", "deploy", "plan", "rollback", "certs", "renew", "secrets", "rotate",
    "silence", "unsilence", "cost", "approve", "deny", "who",
]  # fmt: skip
# Ids and roles, never display names: in every chat people can rename themselves to somebody else's name.
Subject = Annotated[
    str,
    StringConstraints(pattern=r"^(role:)?[a-z][a-z0-9-]{0,39}$"),
    Field(examples=["role:operator", "ana"]),
]
RoomId = Annotated[
    str,
    StringConstraints(pattern=r"^(rocketchat|slack|teams):[A-Za-z0-9._:@/-]{1,200}$|^(web|laptop)$"),
    Field(examples=["rocketchat:GENERAL", "slack:T012AB/C345CD", "web"]),
]


# There is no rule that denies: what none allows is refused, so that the order of rules cannot open anything.
class ChatRule(Section):
    """Some people, some rooms, some commands."""

    who: tuple[Subject, ...] = Field(
        min_length=1, description="ids of `people`, or `role:` and a role; names do not count"
    )
    rooms: tuple[RoomId, ...] = Field(
        min_length=1,
        description="`rocketchat:` and a room's id, `slack:` and team and channel id, `teams:` and a "
        "conversation's id, `web` (the page behind sign-in), `laptop` (`groundcrew ops`)",
    )
    commands: tuple[CommandName, ...] = Field(min_length=1, description="the first words of commands")


class ChatPolicy(Section):
    """Who may order what from chat; nothing that no rule allows."""

    rules: tuple[ChatRule, ...] = Field(default=(), description="what is allowed; without rules it is off")
    two_people: tuple[CommandName, ...] = Field(
        default=(),
        description="commands that need a second person's approval besides restore, rollback and drill, "
        "which always do",
    )
    # An approval that stays open overnight would be given by somebody who no longer knows what it was for.
    approval_timeout: Annotated[Duration, max_hours(24)] = Field(
        default=timedelta(hours=1), description="how long a request from chat waits for its approval"
    )
