"""`CredentialAuthority` of a GitHub App's private key: made and deleted in GitHub's page only.

An App may have several keys at once, and the setting takes several: readers use the first that GitHub takes.
https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/managing-private-keys-for-github-apps
"""

from __future__ import annotations

import re
from collections.abc import Callable

from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.model import ChosenCredential

_PEM = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)


class AppPrivateKeys:
    """`signs_in` asks GitHub whether it takes a key; `fingerprint` names one as GitHub's page does."""

    def __init__(self, signs_in: Callable[[Secret], bool], fingerprint: Callable[[Secret], str]) -> None:
        self._signs_in, self._fingerprint = signs_in, fingerprint

    def choose(self, current: Secret, rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`. Raises Refused for a home without a key."""
        return ChosenCredential(self._fingerprint(split_keys(current)[0]), f"key of {rotation}", Secret(""))

    def issue(self, chosen: ChosenCredential, current: Secret) -> Secret:
        """Ask GitHub before the key goes anywhere. Raises Refused for one that it does not take."""
        keys = split_keys(chosen.secret)
        # Compared by text: the same key given again would be "rotated", and the old one deleted by hand on
        # our word.
        if len(keys) != 1 or any(one.reveal() == keys[0].reveal() for one in split_keys(current)):
            raise Refused("what was given is not one new private key", value=f"{len(keys)} keys")
        if not self._signs_in(keys[0]):
            raise Refused("GitHub does not take the key that was given", value=self._fingerprint(keys[0]))
        return keys[0]

    def render(self, current: Secret, _label: str, secret: Secret) -> Secret:
        """Both, the new one first: a reader goes on with the next one if GitHub takes it no more."""
        return Secret("\n".join([secret.reveal(), split_keys(current)[0].reveal()]) + "\n")

    def render_final(self, _current: Secret, _label: str, secret: Secret) -> Secret:
        """The new one alone."""
        return Secret(secret.reveal() + "\n")

    def activate(self, _secret: Secret) -> None:
        """Nothing to do: readers present it."""

    def deactivate(self, _before: Secret) -> None:
        """Nothing to do: readers present it."""

    def prove(self, value: Secret, label: str) -> None:
        """Sign in anew with the first key of the home."""
        if not self._signs_in(split_keys(value)[0]):
            raise Refused("GitHub does not take the home's key", value=label)

    def revoke(self, label: str, _valid: Secret) -> str:
        """No interface deletes a key, so a person does."""
        return f"delete the key {label} in the GitHub App's page"


def split_keys(value: Secret) -> list[Secret]:
    """The PEM keys of a text, whose line breaks may be written as `\\n`. Raises Refused, quoting nothing."""
    keys = [Secret(match[0]) for match in _PEM.finditer(value.reveal().replace("\\n", "\n"))]
    if not keys:
        raise Refused("there is no private key in PEM", hint="GitHub's page lets one download it once.")
    return keys


def takes_key(sign_in: Callable[[], object]) -> bool:
    """Whether the sign-in works: a refusal or a key that cannot be read is a no; raises Unavailable."""
    try:
        sign_in()
    except GroundcrewError as error:
        # An outage is no answer about the key: undoing a rotation for it would lose the one that GitHub shows
        # once.
        if error.permanent:
            return False
        raise
    return True
