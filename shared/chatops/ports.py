"""The outside systems of chat-ops: the chat's own record of a message, and where answers go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message as Rocket.Chat has it now."""

    id: str
    room: str
    user: str
    text: str
    at: datetime
    edited: bool
    bot: bool  # posted by an integration, in whoever's name


class ChatRooms(Protocol):
    """Rocket.Chat by its REST interface."""

    def read_message(self, message: str) -> ChatMessage:
        """The message of that id. Raises NotFound, Refused (rights, token), Unavailable, Corrupt."""
        ...

    def post_reply(self, room: str, text: str, thread: str) -> None:
        """Post into the thread of that message. Raises Refused, Unavailable."""
        ...


class ReplyHook(Protocol):
    """Where Slack takes the answer to a command."""

    def post(self, url: str, text: str) -> None:
        """Raises Refused for an address that is not Slack's, or that no longer takes answers; Unavailable."""
        ...
