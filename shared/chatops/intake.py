"""The endpoint for commands: verify, cap, write to the queue, answer at once. Nothing is asked of anybody.

Whether a delivery came before is found out by who takes it from the queue (`records`), so that one write is
all that a sender waits for; requests that come together share it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.chatops.deps import QUEUE
from shared.chatops.messages import encode_request
from shared.chatops.model import ChatPlatform, ChatRequest
from shared.chatops.platforms import (
    MAX_BODY_BYTES,
    MAX_TEXT_CHARACTERS,
    Decline,
    read_rocketchat,
    read_slack,
    read_teams,
    read_web,
)
from shared.chatops.records import delivery_key
from shared.chatops.replies import fence_text
from shared.kernel.errors import GroundcrewError
from shared.kernel.group_commit import GroupCommit
from shared.kernel.ports import Clock, Queues
from shared.kernel.storage_limits import MAX_MESSAGE_BYTES
from shared.web.signin import PageAccess

log = logging.getLogger(__name__)

# More than anybody types. What comes faster is a loop or a flood, and each command costs work.
RATE_COMMANDS, RATE_WINDOW = 20, timedelta(minutes=1)
_MOST_SENDERS = 10_000
_LINGER = timedelta(milliseconds=2)
_MOST_TOGETHER = 20


class SenderLimit:
    """How many commands each sender gave in the last minute, in this process."""

    def __init__(self) -> None:
        self._times: dict[str, deque[datetime]] = {}

    def is_exceeded(self, sender: str, now: datetime) -> bool:
        """Count one; whether it is one too many."""
        if len(self._times) > _MOST_SENDERS:
            self._times.clear()  # memory is bounded, whoever makes up senders
        times = self._times.setdefault(sender, deque(maxlen=RATE_COMMANDS + 1))
        while times and now - times[0] > RATE_WINDOW:
            times.popleft()
        times.append(now)
        return len(times) > RATE_COMMANDS


@dataclass(frozen=True)
class ChatIntake:
    """The secrets of each platform: two are valid while one is exchanged; a platform without any is closed.

    `closed` says why a platform is closed although it has a secret.
    """

    commit: GroupCommit
    clock: Clock
    queue_key: bytes = field(default=b"", repr=False)  # seals what the endpoints put on the queue
    rocketchat_tokens: tuple[str, ...] = field(default=(), repr=False)
    slack_secrets: tuple[str, ...] = field(default=(), repr=False)
    teams_secrets: tuple[str, ...] = field(default=(), repr=False)
    access: PageAccess = field(default_factory=PageAccess)
    closed: Mapping[ChatPlatform, str] = field(default_factory=dict)
    limit: SenderLimit = field(default_factory=SenderLimit)


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What the sender is answered at once: a status and, if anything is said, a JSON object."""

    status: int
    body: Mapping[str, Any] | None = None
    reason: str = ""  # why it was declined, for the log


async def receive_command(intake: ChatIntake, headers: Mapping[str, str], body: bytes) -> CommandAnswer:
    """A request of Rocket.Chat, Slack or Teams. Names of headers are in lower case.

    A header of the platform's sign-in counts for nothing here, since this path is open to anybody.
    """
    platform = ChatPlatform.ROCKETCHAT
    if "x-slack-signature" in headers:
        platform = ChatPlatform.SLACK
    elif headers.get("authorization", "")[:5].upper() == "HMAC ":
        platform = ChatPlatform.TEAMS

    def read(now: datetime) -> ChatRequest | Decline:
        if platform is ChatPlatform.SLACK:
            return read_slack(body, headers, intake.slack_secrets, now)
        if platform is ChatPlatform.TEAMS:
            return read_teams(body, headers, intake.teams_secrets, now)
        return read_rocketchat(body, intake.rocketchat_tokens, now)

    return await _receive(intake, platform, headers, body, read)


async def receive_signed_in(intake: ChatIntake, headers: Mapping[str, str], body: bytes) -> CommandAnswer:
    """A request of somebody who is signed in."""
    return await _receive(
        intake, ChatPlatform.WEB, headers, body, lambda now: read_web(body, headers, intake.access, now)
    )


async def _receive(
    intake: ChatIntake,
    platform: ChatPlatform,
    headers: Mapping[str, str],
    body: bytes,
    read: Callable[[datetime], ChatRequest | Decline],
) -> CommandAnswer:
    if reason := intake.closed.get(platform):
        return CommandAnswer(503, {"error": f"closed: {reason}"}, reason)
    # What the sender says is enough to turn it away, but not to let it in: the bytes are counted as well.
    length = headers.get("content-length", "")
    if len(body) > MAX_BODY_BYTES or (
        length.isascii() and length.isdigit() and int(length[:18]) > MAX_BODY_BYTES
    ):
        return CommandAnswer(413, {"error": f"the body is larger than {MAX_BODY_BYTES} bytes"}, "too large")
    now = intake.clock.now()
    request = read(now)
    if isinstance(request, ChatRequest) and len(request.text) > MAX_TEXT_CHARACTERS:
        request = Decline(f"the command is longer than {MAX_TEXT_CHARACTERS} characters", 200)
    if isinstance(request, Decline):
        return _decline(platform, request)
    if intake.limit.is_exceeded(request.accounts[0], now):
        log.warning("chatops.flood", extra={"account": request.accounts[0], "room": request.room})
        return _decline(platform, Decline("too many commands: wait a minute", 429))
    try:
        await intake.commit.put(encode_request(request, intake.queue_key))
    except GroundcrewError as error:
        return CommandAnswer(503, {"error": "not accepted: the queue cannot be written"}, str(error))
    return _accept(request)


def _accept(request: ChatRequest) -> CommandAnswer:
    """Recorded. Rocket.Chat would post what is said here, so nothing is: the answer comes in the thread."""
    if request.platform is ChatPlatform.ROCKETCHAT:
        return CommandAnswer(200)
    if request.platform is ChatPlatform.SLACK:
        return CommandAnswer(200, {"response_type": "ephemeral", "text": "Working on it."})
    if request.platform is ChatPlatform.TEAMS:
        text = "Accepted. The answer comes by notification, since Teams takes no second one."
        return CommandAnswer(200, {"type": "message", "text": text})
    key = delivery_key(request)
    return CommandAnswer(202, {"id": key, "answer": f"/api/chatops/signed-in/{key}"})


def _decline(platform: ChatPlatform, decline: Decline) -> CommandAnswer:
    """Each chat shows its own form of answer, and only with 200."""
    if decline.status not in (200, 429) or platform is ChatPlatform.WEB:
        status = 400 if decline.status == 200 else decline.status
        return CommandAnswer(status, {"error": decline.reason}, decline.reason)
    if not decline.told or (decline.status == 429 and platform is ChatPlatform.ROCKETCHAT):
        # A flood is not answered in the room: each answer would be another message there.
        return CommandAnswer(200, None, decline.reason)
    text = fence_text(f"not accepted: {decline.reason}")
    forms: dict[ChatPlatform, dict[str, Any]] = {
        ChatPlatform.ROCKETCHAT: {"text": text},
        ChatPlatform.SLACK: {"response_type": "ephemeral", "text": text},
        ChatPlatform.TEAMS: {"type": "message", "text": text},
    }
    return CommandAnswer(200, forms[platform], decline.reason)


def make_group_commit(queues: Queues) -> GroupCommit:
    """What puts commands on the queue, those that come together as one message."""

    def write(items: Sequence[str]) -> None:
        most = max(1, MAX_MESSAGE_BYTES // max(map(len, items)) - 1)  # they are ASCII
        for at in range(0, len(items), most):
            queues.send(QUEUE, f"[{','.join(items[at : at + most])}]")

    return GroupCommit(write, most=_MOST_TOGETHER, linger=_LINGER)
