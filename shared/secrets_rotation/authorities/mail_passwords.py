"""`CredentialAuthority` of a mail server's user and password, in a `smtp://` address as Rocket.Chat reads it.

The provider makes passwords, two valid at once where it has two keys; which ones, only its page says.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from shared.kernel.errors import Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.authorities.presented import PresentedByReaders
from shared.secrets_rotation.model import ChosenCredential


class MailPasswords(PresentedByReaders):
    """`signs_in` opens a new connection to the server of an address. Raises Refused, Unavailable."""

    def __init__(self, signs_in: Callable[[Secret], None]) -> None:
        self._signs_in = signs_in

    def choose(self, current: Secret, rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`. Raises Refused for a home that holds no address."""
        user, host = _parse_address(current)
        return ChosenCredential(f"{user}@{host}", f"what was given at {rotation}", Secret(""))

    def issue(self, chosen: ChosenCredential, current: Secret) -> Secret:
        """Sign in before it goes anywhere. A whole address is given, or a password alone."""
        password = Secret(chosen.secret.reveal().strip())
        # Providers show a password, and people paste it as it is.
        new = password if "://" in password.reveal() else _with_password(current, password)
        if new.reveal() == current.reveal().strip():
            raise Refused("what was given is what the home holds", value=chosen.old_label)
        self._signs_in(new)
        return new

    def render(self, _current: Secret, _label: str, secret: Secret) -> Secret:
        """The new address."""
        return secret

    def prove(self, value: Secret, _label: str) -> None:
        """Sign in anew."""
        self._signs_in(value)

    def revoke(self, label: str, _valid: Secret) -> str:
        """Only the provider's page can."""
        return f"delete the old password of {label} at the mail provider"


def _parse_address(value: Secret) -> tuple[str, str]:
    """User and host. Raises Refused, quoting nothing."""
    try:
        parts = urlsplit(value.reveal().strip())
        user, host = unquote(parts.username or ""), parts.hostname or ""
        if parts.scheme not in ("smtp", "smtps") or not (user and host and parts.password):
            raise ValueError("no such address")
    except ValueError:
        hint = "It has to be smtp://USER:PASSWORD@HOST:PORT, as MAIL_URL is."
        raise Refused("the home holds no address of a mail server", hint=hint) from None
    return user, host


def _with_password(current: Secret, password: Secret) -> Secret:
    from urllib.parse import quote

    _parse_address(current)
    head, _, rest = current.reveal().strip().partition("://")
    credential, _, place = rest.rpartition("@")
    user = credential.partition(":")[0]
    return Secret(f"{head}://{user}:{quote(password.reveal(), safe='')}@{place}")
