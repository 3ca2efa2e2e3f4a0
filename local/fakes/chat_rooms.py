"""Rocket.Chat's rooms and Slack's hooks in memory, with the failures of both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.chatops.ports import ChatMessage
from shared.kernel.errors import NotFound, Unavailable


@dataclass(frozen=True, slots=True)
class ThreadPost:
    """An answer as it was posted."""

    room: str
    text: str
    thread: str


@dataclass
class MemoryRooms:
    """`ChatRooms`; `down` makes it answer nothing."""

    messages: dict[str, ChatMessage] = field(default_factory=dict)
    posts: list[ThreadPost] = field(default_factory=list)
    down: bool = False

    def add(self, id_: str, room: str, user: str, text: str, at: datetime) -> None:
        """Somebody writes a message."""
        self.messages[id_] = ChatMessage(id_, room, user, text, at, edited=False, bot=False)

    def change(self, id_: str, **fields: object) -> None:
        """The message is another one now than when it was sent."""
        self.messages[id_] = replace(self.messages[id_], **fields)  # type: ignore[arg-type]

    def read_message(self, message: str) -> ChatMessage:
        """See `ChatRooms.read_message`."""
        self._require_up()
        if message not in self.messages:
            raise NotFound("no such message", value=message)
        return self.messages[message]

    def post_reply(self, room: str, text: str, thread: str) -> None:
        """See `ChatRooms.post_reply`."""
        self._require_up()
        self.posts.append(ThreadPost(room, text, thread))

    def _require_up(self) -> None:
        if self.down:
            raise Unavailable("the chat does not answer", value="connection refused")


@dataclass
class MemoryHook:
    """`ReplyHook`."""

    posts: list[tuple[str, str]] = field(default_factory=list)
    failure: Exception | None = None

    def post(self, url: str, text: str) -> None:
        """See `ReplyHook.post`."""
        if self.failure:
            raise self.failure
        self.posts.append((url, text))
