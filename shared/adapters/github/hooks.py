"""`CredentialAuthority` of a repository webhook's secret: GitHub has one, the receiver takes two.

https://docs.github.com/en/rest/repos/webhooks
The token needs the repository permission "Webhooks", written.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from shared.adapters.github.connecting import connect_api
from shared.adapters.github.forge import PUBLIC_API
from shared.adapters.github.wire import GithubApi
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret
from shared.secrets_rotation.model import ChosenCredential

if TYPE_CHECKING:
    from shared.adapters.github.auth import AppKey, TokenSource
    from shared.kernel.ports import Clock

# GitHub waits ten seconds for a receiver, and lists a delivery when it has ended.
_LOOKS, _LOOK_SECONDS = 20, 1.0


class WebhookSecret:
    """The hook `hook` of the repository; homes hold the secrets that the receiver takes, by white space."""

    def __init__(
        self, api: GithubApi, repository: str, hook: str, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._api, self._path, self._pause = api, f"/repos/{repository}/hooks/{hook}", pause

    def choose(self, current: Secret, _rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`. Labels are the beginning of a digest: GitHub shows no secret."""
        held = current.reveal().split()
        if len(held) != 1:
            hint = (
                "Leave the one that GitHub has: a third has no place, and which one it has cannot be asked."
            )
            raise Refused(
                "the home does not hold one webhook secret", value=f"{len(held)} of them", hint=hint
            )
        new = secrets.token_hex(32)
        return ChosenCredential(_label(held[0]), _label(new), Secret(new))

    def issue(self, chosen: ChosenCredential, _current: Secret) -> Secret:
        """Nothing to do: the receiver decides what is valid, by its home. Sees that the hook is there."""
        self._hook()
        return chosen.secret

    def render(self, current: Secret, _label: str, secret: Secret) -> Secret:
        """Both, the new one first."""
        return Secret(f"{secret.reveal()} {current.reveal().strip()}")

    def render_final(self, _current: Secret, _label: str, secret: Secret) -> Secret:
        """The new one alone."""
        return secret

    def activate(self, secret: Secret) -> None:
        """GitHub signs with it from now on; deliveries that are retried keep the signature they had."""
        self._set_secret(secret)

    def deactivate(self, before: Secret) -> None:
        """GitHub signs with the old one again."""
        self._set_secret(before)

    def prove(self, _value: Secret, _label: str) -> None:
        """A ping is delivered and taken. Raises Refused if the receiver does not take it, Unavailable."""
        # Known before the ping, so that an older one, signed with the old secret, proves nothing.
        before = {str(one.get("guid")) for one in self._deliveries()}
        self._api.post(f"{self._path}/pings", {})
        for _ in range(_LOOKS):
            made = [
                one
                for one in self._deliveries()
                if str(one.get("guid")) not in before and one.get("event") == "ping"
            ]
            if made:
                code = int(made[0].get("status_code") or 0)
                if 200 <= code < 300:
                    return
                if code in (401, 403):
                    raise Refused("the receiver does not take the new signature", value=f"HTTP {code}")
                raise Unavailable("the receiver did not answer the ping", value=f"HTTP {code}")
            self._pause(_LOOK_SECONDS)
        raise Unavailable("GitHub has not delivered the ping yet", value=self._path)

    def revoke(self, _label: str, _valid: Secret) -> str:
        """Nothing to do: the home's final value does it."""
        return ""

    def _set_secret(self, secret: Secret) -> None:
        """All of the config: what is left out of it would fall back to GitHub's defaults."""
        config = {key: value for key, value in (self._hook().get("config") or {}).items() if key != "secret"}
        self._api.patch(f"{self._path}/config", {**config, "secret": secret.reveal()})

    def _hook(self) -> Mapping[str, Any]:
        hook = self._api.get(self._path)
        if not isinstance(hook, Mapping) or hook.get("active") is not True:
            raise Refused("the webhook is not active", value=self._path)
        return hook

    def _deliveries(self) -> list[Mapping[str, Any]]:
        deliveries = self._api.get(f"{self._path}/deliveries", {"per_page": "30"})
        return [one for one in deliveries if isinstance(one, Mapping)] if isinstance(deliveries, list) else []


def _label(secret: str) -> str:
    return f"secret {hashlib.sha256(secret.encode()).hexdigest()[:8]}"


def connect_webhook(
    repository: str, hook: str, tokens: TokenSource | AppKey, clock: Clock, *, url: str = PUBLIC_API
) -> WebhookSecret:
    """The hook `hook` of the repository. Imports requests. Raises UsageError."""
    return WebhookSecret(connect_api(repository, tokens, clock, url=url), repository, hook)
