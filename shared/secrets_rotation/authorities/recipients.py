"""`CredentialAuthority` of a recipient of backups: its secret half is in somebody's safe, never here.

The new public key is given; sets are encrypted to both until a key drill has shown that the new key opens
one. The old one opens the sets before for as long as they are kept; `groundcrew keys rewrap` lets the new one
open them, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from shared.formats import age
from shared.formats.agekeys import parse_recipient
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.authorities.presented import PresentedByReaders
from shared.secrets_rotation.model import ChosenCredential, NotYet


class BackupRecipients(PresentedByReaders):
    """Homes hold the list of recipients.

    `drilled` gives the public keys that key drills have shown to open a set. `others` are public keys in the
    list that this secret is not: those of restore drills.
    """

    def __init__(self, drilled: Callable[[], Collection[str]], others: Collection[str] = ()) -> None:
        self._drilled, self._others = drilled, frozenset(others)

    def choose(self, current: Secret, rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`. Raises Refused where it is not clear which one is replaced."""
        own = [word for word in _words(current) if word not in self._others]
        if len(own) != 1:
            hint = "Put one of them into a home and a secret of its own, or exchange it by hand."
            raise Refused("the list does not hold one recipient of an owner", value=len(own), hint=hint)
        return ChosenCredential(own[0], f"recipient of {rotation}", Secret(""))

    def issue(self, chosen: ChosenCredential, current: Secret) -> Secret:
        """Whether it may stand beside the others: all of one sort, and new."""
        recipient = chosen.secret.reveal().strip()
        if recipient in _words(current):
            raise Refused("the recipient is in the list already", value=recipient)
        try:
            age.check_recipients([parse_recipient(word) for word in [*_words(current), recipient]])
        except GroundcrewError as error:
            raise Refused(error.message, value=error.value, hint=error.hint) from None
        return Secret(recipient)

    def render(self, current: Secret, _label: str, secret: Secret) -> Secret:
        """Both, so that either opens what is made meanwhile."""
        # The new one last: `prove` finds it there, and whoever reads the list sees what was added.
        return Secret(",".join([*_words(current), secret.reveal()]))

    def render_final(self, current: Secret, _label: str, secret: Secret) -> Secret:
        """The new one in the place of the old."""
        others = [word for word in _words(current) if word in self._others]
        return Secret(",".join([secret.reveal(), *others]))

    def prove(self, value: Secret, _label: str) -> None:
        """Wait for its owner's key drill. Raises `NotYet` until then."""
        own = [word for word in _words(value) if word not in self._others]
        # Of the old one alone nothing new has to be shown: the list is back to what it was.
        if len(own) > 1 and own[-1] not in self._drilled():
            raise NotYet(f"waiting for: groundcrew keys drill with the secret half of {own[-1][:24]}…")

    def revoke(self, label: str, _valid: Secret) -> str:
        """Nobody can take back what is encrypted; the list's final value ends it for what comes."""
        return f"keep the secret half of {label[:24]}… as long as sets from before are kept"


def _words(value: Secret) -> list[str]:
    return value.reveal().replace(",", " ").split()
