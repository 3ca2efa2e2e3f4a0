"""What each platform proves about a request, before anything of it is believed.

- Rocket.Chat's outgoing webhook has a static token in its body and no signature: it lets a request in, and
  what changes something is read back (`readback`).
- Slack signs time and body: https://docs.slack.dev/authentication/verifying-requests-from-slack
- Teams signs the body:
  https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook
- Plain HTTP comes through the platform's sign-in, which names the person in a header.

Nothing here raises, whatever the bytes.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import html
import json
import re
import secrets as random
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from shared.chatops.model import ChatPlatform, ChatRequest
from shared.kernel.timestamps import from_unix_seconds, parse_timestamp
from shared.web.signin import PageAccess, authenticate

MAX_BODY_BYTES = 64 << 10
MAX_TEXT_CHARACTERS = 1000
MAX_AGE, MAX_AHEAD = timedelta(minutes=5), timedelta(minutes=1)
SLACK_SKEW = timedelta(minutes=5)
TRIGGER = "!ops"
_ID = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
_TEAMS_ID = re.compile(r"[A-Za-z0-9._:@=-]{1,300}", re.ASCII)
_SLACK_ID = re.compile(r"[A-Z0-9]{2,40}", re.ASCII)
_OBJECT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_MENTION = re.compile(r"^\s*(<p>)?\s*<at>[^<>]{0,100}</at>", re.ASCII)


@dataclass(frozen=True, slots=True)
class Decline:
    """No command: `status` is the HTTP answer, and `told` says whether the sender is shown the reason."""

    reason: str
    status: int = 400
    told: bool = True


def read_rocketchat(body: bytes, tokens: Sequence[str], now: datetime) -> ChatRequest | Decline:
    """A message of Rocket.Chat's outgoing webhook. What is wrong with a message is answered with 200.

    410 would switch the integration off, and other failures would be sent again.
    """
    payload = _parse_object(body)
    if payload is None:
        return Decline("the body is not a JSON object")
    if not _is_any_of(payload.get("token"), tokens):
        return Decline("the token is not that of our webhook", 401)
    if payload.get("bot"):
        return Decline("messages of bots are no commands", 200, told=False)
    # What is not for us comes before what is wrong with it: other messages of the room are nobody's business.
    text = payload.get("text")
    if not isinstance(text, str) or text[: len(TRIGGER)].lower() != TRIGGER:
        return Decline(f"not for us: a command begins with {TRIGGER}", 200, told=False)
    if payload.get("isEdited"):
        return Decline("an edited message is no command: write it anew", 200)
    message, user, room, thread = (
        payload.get(name) or "" for name in ("message_id", "user_id", "channel_id", "tmid")
    )
    if not (_is_id(message) and _is_id(user) and _is_id(room) and (not thread or _is_id(thread))):
        return Decline("message_id, user_id, channel_id or tmid is missing or malformed")
    sent = _parse_time(payload.get("timestamp"))
    if sent is None:
        return Decline("the timestamp is missing or malformed")
    if reason := _judge_age(sent, now):
        return Decline(reason, 200)
    return ChatRequest(
        ChatPlatform.ROCKETCHAT, message,
        (f"rocketchat:{user}",), f"rocketchat:{room}", text[len(TRIGGER) :], sent,
        original=text, message=message, thread=thread,
    )  # fmt: skip


def read_slack(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime
) -> ChatRequest | Decline:
    """A slash command of Slack. The signature is over its time too, so an old one cannot be sent again."""
    stamp, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    sent = from_unix_seconds(int(stamp)) if re.fullmatch(r"\d{1,12}", stamp, re.ASCII) else None
    if sent is None:
        return Decline("there is no timestamp", 401)
    # Before anything of the body is parsed.
    base = b"v0:" + stamp.encode() + b":" + body
    expected = ["v0=" + hmac.new(key.encode(), base, hashlib.sha256).hexdigest() for key in secrets if key]
    if not _is_any_of(signature, expected):
        return Decline("the signature does not match", 401)
    if abs(now - sent) > SLACK_SKEW:
        return Decline("the request is stale", 401)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=40)
    except ValueError:
        return Decline("the body is not a form")
    first = {name: values[0] for name, values in fields.items()}
    team, user, channel = (first.get(name, "") for name in ("team_id", "user_id", "channel_id"))
    if not all(_SLACK_ID.fullmatch(one) for one in (team, user, channel)):
        return Decline("team_id, user_id or channel_id is missing or malformed")
    # Slack has no id of a delivery. What is signed is one: the same bytes at the same second.
    return ChatRequest(
        ChatPlatform.SLACK,
        hashlib.sha256(base).hexdigest(), (f"slack:{team}/{user}",), f"slack:{team}/{channel}",
        first.get("text", ""), sent, reply_url=first.get("response_url", "")[:500],
    )  # fmt: skip


def read_teams(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: datetime
) -> ChatRequest | Decline:
    """A message of Teams' outgoing webhook."""
    expected = [
        hmac.new(key, body, hashlib.sha256).digest().hex() for key in map(decode_teams_secret, secrets) if key
    ]
    scheme, _, digest = headers.get("authorization", "").partition(" ")
    try:
        signature = b64decode(digest.strip(), validate=True).hex() if scheme.upper() == "HMAC" else ""
    except (ValueError, binascii.Error):
        signature = ""
    if not _is_any_of(signature, expected):
        return Decline("the signature does not match", 401)
    payload = _parse_object(body)
    if payload is None:
        return Decline("the body is not a JSON object")
    sender, conversation = payload.get("from"), payload.get("conversation")
    user = sender.get("id") if isinstance(sender, dict) else None
    object_id = str(sender.get("aadObjectId") or "").lower() if isinstance(sender, dict) else ""
    # A reply's conversation is the channel's id and the id of the message above.
    room = str(conversation.get("id", "")).partition(";")[0] if isinstance(conversation, dict) else ""
    message, text = str(payload.get("id") or ""), payload.get("text")
    if not (_is_teams_id(user) and _is_teams_id(room) and _is_teams_id(message) and isinstance(text, str)):
        return Decline("id, from.id, conversation.id or text is missing or malformed")
    sent = _parse_time(payload.get("timestamp"))
    if sent is None:
        return Decline("the timestamp is missing or malformed")
    if reason := _judge_age(sent, now):
        return Decline(reason, 200)
    accounts = (f"teams:{user}", *([f"aad:{object_id}"] if _OBJECT_ID.fullmatch(object_id) else []))
    return ChatRequest(
        ChatPlatform.TEAMS, f"{room} {message}", accounts, f"teams:{room}", strip_mention(text), sent
    )


def read_web(
    body: bytes, headers: Mapping[str, str], access: PageAccess, now: datetime
) -> ChatRequest | Decline:
    """`{"command": "…"}` of somebody whom the platform names. Only behind the platform's sign-in."""
    person = authenticate(access, headers)
    if person is None or not person.accounts:
        return Decline(access.problem or "sign in first", 401)
    # A form of another site could be sent with the person's cookie; JSON cannot without asking first.
    is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    if not is_json or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return Decline("send application/json from this site", 403)
    payload = _parse_object(body)
    if payload is None or not isinstance(payload.get("command"), str):
        return Decline('the body is not {"command": "…"}')
    key = headers.get("idempotency-key", "")
    if key and not _ID.fullmatch(key):
        return Decline("Idempotency-Key is malformed")
    # With the person's id: nobody takes somebody else's key before they use it.
    delivery = f"{person.id} {key or random.token_hex(16)}"
    return ChatRequest(
        ChatPlatform.WEB, delivery, tuple(sorted(person.accounts)), "web", payload["command"], now
    )


def decode_teams_secret(secret: str) -> bytes:
    """The key in Teams' security token; empty for what is no base64."""
    try:
        return b64decode(secret, validate=True)
    except (ValueError, binascii.Error):
        return b""


def strip_mention(text: str) -> str:
    """The command in a message of Teams: HTML that begins with a mention of the bot."""
    stripped = _MENTION.sub("", text, count=1)
    stripped = re.sub(r"</?(?:p|div|br)\s*/?>", " ", stripped)
    # Teams writes a no-break space after the mention; anything else that is not plain is the grammar's.
    return html.unescape(stripped).replace("\xa0", " ").strip(" \r\n")


def _parse_object(body: bytes) -> dict[str, Any] | None:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def _is_any_of(value: object, expected: Sequence[str]) -> bool:
    """Compared in constant time with each, whichever fits; False for no text or nothing expected."""
    if not isinstance(value, str):
        return False
    digest = hashlib.sha256(value.encode("utf-8", "replace")).digest()
    # Digests, since compare_digest tells the length of texts that differ in it.
    fits = [hmac.compare_digest(digest, hashlib.sha256(one.encode()).digest()) for one in expected if one]
    return any(fits)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_teams_id(value: object) -> bool:
    return isinstance(value, str) and _TEAMS_ID.fullmatch(value) is not None


def _parse_time(value: object) -> datetime | None:
    try:
        return parse_timestamp(value)
    except (ValueError, OverflowError):
        return None


def _judge_age(sent: datetime, now: datetime) -> str:
    if now - sent > MAX_AGE:
        return f"the message is older than {MAX_AGE.total_seconds() / 60:.0f} minutes: write it anew"
    return "the message is from the future: see the clock of the chat" if sent - now > MAX_AHEAD else ""
