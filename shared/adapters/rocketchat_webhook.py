"""`Channel` over an incoming webhook of Rocket.Chat.

Apprise posts the text only (`{"text": …}` to `/hooks/<id>/<token>`) and says nothing of the answer. This
posts the same to the same address with attachments beside it, and tells a webhook that was revoked from a
chat that is down. The form of the JSON: https://docs.rocket.chat/docs/integrations (incoming webhooks) and
`processWebhookMessage` of the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret
from shared.notifications.model import Entry, Message, Severity
from shared.notifications.render import escape_mentions, render_body, render_title

# As apprise reads it, for a webhook without a channel of its own: rockets://ID/TOKEN@HOST.
_URL = re.compile(
    r"(rockets?)://(?:[^:@/]+:)?([a-z0-9]+)(?:/|%2F)([a-z0-9]+)@([^/?#@\s]+)/?(?:\?(\S*))?", re.IGNORECASE
)
_KNOWN_OPTIONS = {"avatar", "mode"}
_COLOURS = {Severity.INFO: "#2b7de9", Severity.WARNING: "#e8a317", Severity.CRITICAL: "#d0021b"}
_RESOLVED_COLOUR = "#2f9e44"
_TIMEOUT_SECONDS = (4, 8)
_HINT = "Check the address in GROUNDCREW_NOTIFY_URLS and whether the chat is up."
_REVOKED_HINT = "Create or enable the incoming webhook anew, and put its address into GROUNDCREW_NOTIFY_URLS."
_IN_FULL = 5


class RocketChatWebhook:
    """One webhook."""

    def __init__(self, route: str, address: Secret) -> None:
        self._route, self._address = route, address

    def send(self, message: Message) -> None:
        """See `Channel.send`. A redirect is not followed: the token is for this host."""
        import requests

        try:
            answer = requests.post(
                self._address.reveal(),
                json=build_payload(message),
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # The cause's text holds the address, and with it the token.
            reason = f"no answer ({type(error).__name__})"
            raise Unavailable(f"route {self._route}: {reason}", hint=_HINT) from None
        if answer.status_code == 200:
            return
        reason = f"route {self._route}: the chat answers {answer.status_code}"
        # 408 and 429 pass; any other 4xx says that this webhook is not, or no longer, one.
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
            raise Refused(reason, hint=_REVOKED_HINT)
        raise Unavailable(reason, hint=_HINT)


def parse_webhook(url: Secret) -> Secret | None:
    """The webhook's HTTP address behind an apprise URL; None for another service, or options of apprise's."""
    match = _URL.fullmatch(url.reveal())
    # What it does not know is left to apprise, rather than ignored.
    if match is None or set(parse_qs(match[5] or "", keep_blank_values=True)) - _KNOWN_OPTIONS:
        return None
    scheme = "https" if match[1].lower() == "rockets" else "http"
    return Secret(f"{scheme}://{match[4]}/hooks/{match[2]}/{match[3]}")


def find_chat_routes(routes: Mapping[str, Sequence[Secret]], chat: str) -> list[str]:
    """The routes that lead to the Rocket.Chat at the address `chat` only; to any, if that is not given."""
    host = (urlsplit(chat).hostname or "").lower()

    def leads_there(url: Secret) -> bool:
        parts = urlsplit(url.reveal())
        is_chat = parts.scheme.lower() in ("rocket", "rockets")
        # The token before the host may hold a slash, where a plain URL would end it.
        address = url.reveal().rpartition("@")[2].partition("/")[0].partition("?")[0]
        return is_chat and (not host or address.partition(":")[0].lower() == host)

    return [name for name, urls in routes.items() if urls and all(map(leads_there, urls))]


def build_payload(message: Message) -> dict[str, Any]:
    """The JSON of the message: the title as text, the rest as attachments with colour and fields."""
    entries = message.batch.entries
    single = message.batch.total == len(entries) <= _IN_FULL
    attachments = (
        [_attach_entry(entry, titled=len(entries) > 1) for entry in entries]
        if single
        else [
            {
                "color": _find_colour(message.severity, message.is_resolved),
                "text": escape_mentions(render_body(message)),
            }
        ]
    )
    return {
        # An asterisk in a name would end the bold, and the rest of the title.
        "text": f"*{escape_mentions(render_title(message)).replace('*', '∗')}*",
        "attachments": attachments,
        "parseUrls": False,  # no previews: the server would fetch what a label says
    }


def _attach_entry(entry: Entry, *, titled: bool) -> dict[str, Any]:
    text = "\n".join(part for part in (entry.text, entry.hint) if part)
    attachment: dict[str, Any] = {
        "color": _find_colour(entry.severity, entry.resolved),
        "text": escape_mentions(text),
        "ts": entry.at.isoformat(),
    }
    if titled:
        attachment["title"] = escape_mentions(f"{'Resolved: ' if entry.resolved else ''}{entry.title}")
    if entry.fields:
        attachment["fields"] = [
            {"title": name, "value": escape_mentions(value), "short": len(value) <= 40}
            for name, value in entry.fields
        ]
    return attachment


def _find_colour(severity: Severity, resolved: bool) -> str:
    return _RESOLVED_COLOUR if resolved else _COLOURS[severity]
