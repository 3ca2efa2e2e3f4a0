"""Is it still what its author wrote? Asked of Rocket.Chat before anything is changed.

The token of Rocket.Chat's webhook is the same in every message, so whoever saw one can write others. What the
chat's own record does not say is not done.
"""

from __future__ import annotations

from datetime import timedelta

from shared.chatops.deps import ChatopsDeps
from shared.chatops.model import ChatPlatform, ChatRequest
from shared.kernel.errors import NotFound, Refused, Unavailable

MAX_AGE = timedelta(minutes=15)
MAX_AHEAD = timedelta(minutes=2)


class ChatUnreachable(Unavailable):
    """The chat did not answer: what was written there is unknown."""


def require_unchanged(deps: ChatopsDeps, request: ChatRequest) -> None:
    """Raises Refused unless the chat has exactly this message; ChatUnreachable if it does not say."""
    # The other platforms sign what they send, or the platform vouches for who asks.
    if request.platform is not ChatPlatform.ROCKETCHAT:
        return
    if deps.rooms is None:
        raise Refused("the message cannot be read back", hint="Set GROUNDCREW_ROCKETCHAT_USER and its token.")
    try:
        message = deps.rooms.read_message(request.message)
    except NotFound as error:
        raise Refused("the chat has no such message", value=request.message) from error
    except Unavailable as error:
        # A kind of its own: the queue tries again, while any other failure is an answer.
        raise ChatUnreachable("the message cannot be read back", value=error) from error
    # Everything that the webhook claimed, by the chat's own record; all that differs is named at once.
    age = deps.clock.now() - message.at
    problems = {
        "another message": message.id != request.message,
        "another room": f"rocketchat:{message.room}" != request.room,
        "another author": f"rocketchat:{message.user}" not in request.accounts,
        "another text": message.text != request.original,
        "edited": message.edited,
        "posted by a bot": message.bot,
        "too old": age > MAX_AGE,
        "from the future": age < -MAX_AHEAD,
    }
    if wrong := [name for name, is_so in problems.items() if is_so]:
        raise Refused(
            "the chat's own message differs", value=", ".join(wrong), hint="Send the command again."
        )
