"""`CredentialAuthority` of the token of a Rocket.Chat outgoing webhook: it sends one, the receiver takes two.

https://developer.rocket.chat/apidocs/update-integration; the server takes exactly the fields of its own
packages/rest-typings/src/v1/integrations/IntegrationsUpdateProps.ts, and clears what it is not given.
The user needs the permission `manage-outgoing-integrations`, or to have made the webhook.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from shared.adapters.chat_admin.rest import ChatApi
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret
from shared.secrets_rotation.model import ChosenCredential

_TIMEOUT = (10, 20)  # seconds to connect, and for the answer, as long as Rocket.Chat itself waits
# What an update may hold besides type, id, channel and token.
_FIELDS = (
    "username", "event", "targetRoom", "urls", "triggerWords", "triggerWordAnywhere", "scriptEnabled",
    "script", "runOnEdits", "retryFailedCalls", "retryCount", "retryDelay", "impersonateUser", "name",
    "enabled", "alias", "avatar", "emoji",
)  # fmt: skip


class OutgoingTokens:
    """The webhook `integration`; homes hold the tokens that the receiver takes, by white space.

    `send` posts a body to an address and gives the status of the answer; raises Unavailable.
    """

    def __init__(self, api: ChatApi, integration: str, send: Callable[[str, bytes], int]) -> None:
        self._api, self._integration, self._send = api, integration, send

    def choose(self, current: Secret, _rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`. Labels are the beginning of a digest."""
        held = current.reveal().split()
        # The one in use is asked for: with another in the home the way back would lead nowhere.
        if held != [str(self._read().get("token") or "")]:
            raise Refused(
                "the home does not hold the one token that the chat sends", value=f"{len(held)} of them",
                hint="Leave the token of the outgoing webhook there, and nothing else.",
            )  # fmt: skip
        new = secrets.token_hex(24)
        return ChosenCredential(_describe_token(held[0]), _describe_token(new), Secret(new))

    def issue(self, chosen: ChosenCredential, _current: Secret) -> Secret:
        """Nothing to do: the receiver decides what is valid, by its home. Sees that the webhook is there."""
        self._read()
        return chosen.secret

    def render(self, current: Secret, _label: str, secret: Secret) -> Secret:
        """Both, the new one first."""
        return Secret(f"{secret.reveal()} {current.reveal().strip()}")

    def render_final(self, _current: Secret, _label: str, secret: Secret) -> Secret:
        """The new one alone."""
        return secret

    def activate(self, secret: Secret) -> None:
        """The chat sends it from now on; deliveries that it tries again keep the one they had."""
        self._set_token(secret)

    def deactivate(self, before: Secret) -> None:
        """The chat sends the old one again."""
        self._set_token(Secret(before.reveal().strip()))

    def prove(self, value: Secret, _label: str) -> None:
        """The receiver takes what the chat sends. Raises Refused if it does not, Unavailable."""
        webhook = self._read()
        token = str(webhook.get("token") or "")
        if token not in value.reveal().split():
            raise Refused("the chat sends a token that the home does not hold", value=_describe_token(token))
        # Of a bot: every receiver of ours leaves that alone, once it has found the token good.
        body = json.dumps({"token": token, "bot": {"i": "groundcrew"}, "text": ""}).encode()
        for url in webhook.get("urls") or ():
            status = self._send(str(url), body)
            if status in (401, 403):
                raise Refused("the receiver does not take the new token", value=f"HTTP {status}")
            if status != 200:
                raise Unavailable("the receiver did not answer", value=f"HTTP {status}")

    def revoke(self, _label: str, _valid: Secret) -> str:
        """Nothing to do: the home's final value does it."""
        return ""

    def _set_token(self, secret: Secret) -> None:
        webhook = self._read()
        kept = {name: webhook[name] for name in _FIELDS if webhook.get(name) is not None}
        # Read as a list, and written as a text with commas.
        channel = webhook.get("channel")
        channel = ",".join(map(str, channel)) if isinstance(channel, list) else str(channel or "")
        fixed = {"type": "webhook-outgoing", "integrationId": self._integration, "channel": channel}
        self._api.put("integrations.update", {**kept, **fixed, "token": secret.reveal()})

    def _read(self) -> Mapping[str, Any]:
        answer = self._api.get("integrations.get", {"integrationId": self._integration})
        webhook = answer.get("integration")
        if not isinstance(webhook, Mapping) or webhook.get("type") != "webhook-outgoing":
            raise Refused("there is no outgoing webhook of this id", value=self._integration)
        if webhook.get("enabled") is not True:
            raise Refused("the outgoing webhook is not enabled", value=self._integration)
        return webhook


def _describe_token(token: str) -> str:
    return f"token {hashlib.sha256(token.encode()).hexdigest()[:8]}"


def post_json(url: str, body: bytes) -> int:
    """The status with which the receiver answers. Raises Refused for an address without TLS, Unavailable.

    The address is what the chat has; redirects are not followed, since the token goes along.
    """
    import requests

    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise Refused("the webhook's address is not https", value=parts.hostname)
    session = requests.Session()
    session.trust_env = False  # neither proxies nor ~/.netrc
    try:
        with session.post(
            url, data=body, headers={"Content-Type": "application/json"}, timeout=_TIMEOUT,
            allow_redirects=False, stream=True,
        ) as answer:  # fmt: skip
            return int(answer.status_code)
    except requests.RequestException as error:
        raise Unavailable("the receiver does not answer", value=type(error).__name__) from error
