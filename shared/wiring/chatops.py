"""The wiring of chat-ops: policy's rules, the commands, and the ways of answers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.wiring import load_policy, open_state, system_clock
from shared.wiring.chat_platforms import connect_hook, connect_rooms, read_queue_key
from shared.wiring.notifications import build_notifier
from shared.wiring.people import open_approvals, people_directory

if TYPE_CHECKING:
    from shared.chatops.deps import ChatopsDeps


@cache
def chatops_deps() -> ChatopsDeps:
    """All that answering a command needs. Raises UsageError with every bad setting."""
    from shared.chatops.deps import ChatopsDeps
    from shared.chatops.model import AllowRule
    from shared.settings.environment import all_or_nothing
    from shared.wiring.chat_commands import command_handlers

    read = all_or_nothing(
        state=open_state, people=people_directory, approvals=open_approvals, notifications=build_notifier,
        rooms=connect_rooms, hook=connect_hook,
    )  # fmt: skip
    # Read here and handed over as values: one command is never judged by two versions of the rules.
    rules = load_policy().chat
    return ChatopsDeps(
        clock=system_clock(),
        rules=tuple(
            AllowRule(frozenset(one.who), frozenset(one.rooms), frozenset(one.commands))
            for one in rules.rules
        ),
        # Imports nothing yet: a `help` must not wait for Helm and the SDKs of Azure.
        handlers=command_handlers(),
        two_people=frozenset(rules.two_people),
        approval_timeout=rules.approval_timeout,
        queue_key=read_queue_key(),
        **read,
    )
