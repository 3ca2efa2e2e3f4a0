"""`CredentialAuthority` of a user's personal access token: a new name, proven, then the old one removed.

`users.regeneratePersonalAccessToken` removes before it generates, and leaves readers without one meanwhile.
"""

from __future__ import annotations

import re

from shared.adapters.chat_admin.rest import ChatApi
from shared.kernel.errors import Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.model import ChosenCredential

# What Meteor's Random.secret makes; it may stand in an address as `rockets://<id>/<token>@host`.
_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
_PREFIX = "groundcrew-"


class AccessTokens:
    """The tokens of the user of `api`, whose own token is taken from the homes."""

    def __init__(self, api: ChatApi) -> None:
        self._api = api

    def choose(self, current: Secret, rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`. The name in use is found by the last letters of its token."""
        token = _find_token(current)
        known = self._as(token).get("users.getPersonalAccessTokens").get("tokens") or ()
        names = [
            str(one["name"])
            for one in known
            if token.reveal().endswith(str(one.get("lastTokenPart") or "\n"))
        ]
        # The last letters are six: two tokens that end alike cannot be told apart, and revoking the wrong one
        # locks readers out.
        if len(names) != 1:
            hint = "It may be the token of a sign-in; make a personal access token and put it there."
            raise Refused("the home's token is none of the user's personal ones", value=len(names), hint=hint)
        return ChosenCredential(names[0], f"{_PREFIX}{rotation.lower()}", Secret(""))

    def issue(self, chosen: ChosenCredential, current: Secret) -> Secret:
        """Generate it. One of that name is of a run that died before it could keep it: nobody has it."""
        api = self._as(_find_token(current))
        known = api.get("users.getPersonalAccessTokens").get("tokens") or ()
        before = next((one for one in known if one.get("name") == chosen.new_label), None)
        # Its value was told once, to a process that is gone: it can only be made anew.
        if before is not None:
            api.post("users.removePersonalAccessToken", {"tokenName": chosen.new_label})
        old: dict[str, object] = next((dict(one) for one in known if one.get("name") == chosen.old_label), {})
        # As the old one: without it a reader without a second factor would be locked out, with it by default
        # one more could bypass it.
        body = {"tokenName": chosen.new_label, "bypassTwoFactor": old.get("bypassTwoFactor") is True}
        token = str(api.post("users.generatePersonalAccessToken", body).get("token") or "")
        if not _TOKEN.fullmatch(token):
            raise Refused("Rocket.Chat made no token", value=chosen.new_label)
        return Secret(token)

    def render(self, current: Secret, _label: str, secret: Secret) -> Secret:
        """The same text with the new token in the old one's place."""
        return Secret(current.reveal().replace(_find_token(current).reveal(), secret.reveal()))

    def render_final(self, current: Secret, label: str, secret: Secret) -> Secret:
        """The same: the home holds one token at a time."""
        return self.render(current, label, secret)

    def activate(self, _secret: Secret) -> None:
        """Nothing to do: readers present it."""

    def deactivate(self, _before: Secret) -> None:
        """Nothing to do: readers present it."""

    def prove(self, value: Secret, label: str) -> None:
        """Ask over a fresh connection who one is."""
        who = self._as(_find_token(value)).get("me")
        # The id of the header is only believed if the token is of that user, but a proxy may answer for it.
        if who.get("_id") != self._api.user_id:
            raise Refused("the token is of another user", value=label)

    def revoke(self, label: str, valid: Secret) -> str:
        """Remove it by its name, with another one that stays valid; one that is gone is fine."""
        api = self._as(_find_token(valid))
        known = api.get("users.getPersonalAccessTokens").get("tokens") or ()
        if any(one.get("name") == label for one in known):
            api.post("users.removePersonalAccessToken", {"tokenName": label})
        return ""

    def _as(self, token: Secret) -> ChatApi:
        return self._api.with_token(token)


def _find_token(value: Secret) -> Secret:
    """The token in a home's value. Raises Refused, quoting nothing."""
    tokens = set(_TOKEN.findall(value.reveal()))
    if len(tokens) != 1:
        raise Refused("the home does not hold one token of Rocket.Chat", value=f"{len(tokens)} found")
    return Secret(tokens.pop())
