"""Where the answer goes: into the thread, to Slack's hook, or to the notifications if the chat takes none."""

from __future__ import annotations

import logging

from shared.chatops.deps import ChatopsDeps
from shared.chatops.model import ChatPlatform, ChatRequest
from shared.chatops.replies import fence_text
from shared.kernel.errors import GroundcrewError, Refused, Unavailable
from shared.notifications.ports import Notice, Severity

log = logging.getLogger(__name__)


def post_answer(deps: ChatopsDeps, request: ChatRequest, answer: str, *, last_try: bool) -> str:
    """Post it; returns where. Raises Unavailable if it may be taken later; nothing on the last try."""
    if request.platform in (ChatPlatform.WEB, ChatPlatform.LAPTOP):
        return "on request"  # who asked reads the record
    if request.platform is ChatPlatform.TEAMS:
        # Teams' outgoing webhooks have no way back after the first answer.
        return _notify(deps, request, answer)
    try:
        if request.platform is ChatPlatform.ROCKETCHAT and deps.rooms is not None:
            room = request.room.partition(":")[2]
            deps.rooms.post_reply(room, fence_text(answer), request.thread or request.message)
            return "in the thread"
        if request.platform is ChatPlatform.SLACK and deps.hook is not None and request.reply_url:
            deps.hook.post(request.reply_url, fence_text(answer))
            return "by Slack's hook"
    except Unavailable as error:
        log.warning("chatops.post_failed", extra={"room": request.room, "error": str(error)})
        if not last_try:
            raise  # the queue tries again: a chat that restarts is back in a minute
    except Refused as error:
        # No try will be taken: revoked, expired, or the bot is not in the room.
        log.warning("chatops.post_refused", extra={"room": request.room, "error": str(error)})
    return _notify(deps, request, answer)


def _notify(deps: ChatopsDeps, request: ChatRequest, answer: str) -> str:
    notice = Notice(
        Severity.INFO, f"Answer to `{request.text[:80]}` in {request.room}", fence_text(answer), topic="chat"
    )
    try:
        deps.notifications.notify(notice)
    except GroundcrewError as error:
        # What was done is on record, in the delivery and in the audit trail.
        log.warning("chatops.notification_failed", extra={"room": request.room, "error": str(error)})
        return "nowhere: the record has it"
    return "by notification"
