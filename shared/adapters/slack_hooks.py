"""Where Slack takes the answer to a slash command: an address in the request, for 30 minutes and five uses.

https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.kernel.errors import Refused, Unavailable

if TYPE_CHECKING:
    import requests

HOST = "hooks.slack.com"
_TIMEOUT = timedelta(seconds=10)


class SlackHooks:
    """`ReplyHook`. The address comes with the request, so only Slack's own host is written to."""

    def __init__(self, session: requests.Session, *, allow_loopback: bool) -> None:
        self._session, self._allow_loopback = session, allow_loopback

    def post(self, url: str, text: str) -> None:
        """See `ReplyHook.post`."""
        import requests

        check_hook_address(url, allow_loopback=self._allow_loopback)
        # https://docs.slack.dev/messaging/formatting-message-text#escaping
        plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        # To the channel and not to the caller alone: what was ordered is for everybody there to see.
        body = {"response_type": "in_channel", "text": plain}
        try:
            answer = self._session.post(
                url, json=body, timeout=_TIMEOUT.total_seconds(), allow_redirects=False
            )
        except requests.RequestException as error:
            raise Unavailable("Slack does not answer", value=type(error).__name__) from error
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unavailable("Slack does not take the answer now", value=answer.status_code)
        if answer.status_code != 200:
            raise Refused("Slack takes no answer there any more", value=answer.status_code)


def check_hook_address(url: str, *, allow_loopback: bool) -> None:
    """Raises Refused for any address but Slack's; quotes no more than its host."""
    try:
        parts = urlsplit(url)
        host, port, user = parts.hostname or "", parts.port, parts.username
    except ValueError:
        raise Refused("not an address of Slack's") from None
    # The request names the address: without this the app would write wherever a caller points it.
    is_slack = parts.scheme == "https" and host == HOST and port in (None, 443)
    is_local = allow_loopback and parts.scheme == "http" and host == "127.0.0.1"
    if user is not None or not (is_slack or is_local):
        raise Refused("not an address of Slack's", value=host[:100])


def connect(*, allow_loopback: bool) -> SlackHooks:
    """Imports requests."""
    import requests

    return SlackHooks(requests.Session(), allow_loopback=allow_loopback)
