"""`CredentialAuthority` of the key that signs backups, and of the key that drills decrypt them with.

Both have a public half, which `published` homes list; what is proven is proven against those lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.formats import age
from shared.formats.agekeys import HybridIdentity, generate_identity, parse_key_setting, parse_recipient
from shared.formats.manifest import Signer, has_signature
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.authorities.presented import PresentedByReaders
from shared.secrets_rotation.model import ChosenCredential
from shared.secrets_rotation.publish import public_half

_PROBE = b"groundcrew: proof of a rotation"


class SigningKeys(PresentedByReaders):
    """`published` reads the lists of trusted signers, as readers would now."""

    def __init__(self, published: Callable[[], Sequence[Secret]]) -> None:
        self._published = published

    def choose(self, current: Secret, _rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`. Raises Refused for a home that holds no signing key."""
        old = _checked("signing-key", current)
        new = Signer.generate()
        return ChosenCredential(old, new.public_text(), Secret(new.secret_text()))

    def issue(self, chosen: ChosenCredential, _current: Secret) -> Secret:
        """Nothing to do: it is valid once its public half is listed."""
        return chosen.secret

    def render(self, _current: Secret, _label: str, secret: Secret) -> Secret:
        """The new key alone: one signs."""
        return secret

    def prove(self, value: Secret, label: str) -> None:
        """Sign, and verify it by what every list of trusted signers holds."""
        signer = Signer.parse(value.reveal().strip())
        if signer.public_text() != label:
            raise Refused("the home holds another signing key", value=signer.public_text())
        signature = signer.sign_bytes(_PROBE)
        for listed in self._published():
            trusted = [word for word in _words(listed) if word == label]
            if not any(has_signature(word, _PROBE, signature) for word in trusted):
                raise Refused("a list of trusted signers lacks the key", value=label)

    def revoke(self, _label: str, valid: Secret) -> str:
        """Nothing: sets that were signed before are read by the old public half for as long as they stay."""
        public = public_half("signing-key", valid)
        return f"add {public} to GROUNDCREW_TRUSTED_SIGNERS of every laptop that restores"


class DrillKeys(PresentedByReaders):
    """The age key of restore drills; homes hold the new one first, and those before for older sets."""

    def __init__(self, published: Callable[[], Sequence[Secret]]) -> None:
        self._published = published

    def choose(self, current: Secret, _rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`. The new key is of the old one's sort: age takes no mix."""
        old = _checked("drill-key", current)
        first = parse_key_setting(current.reveal())[0]
        secret, public = generate_identity(post_quantum=isinstance(first, HybridIdentity))
        return ChosenCredential(old, public, Secret(secret))

    def issue(self, chosen: ChosenCredential, _current: Secret) -> Secret:
        """Nothing to do: sets are encrypted to it once it is listed."""
        return chosen.secret

    def render(self, current: Secret, _label: str, secret: Secret) -> Secret:
        """The new key before those that older sets need."""
        return Secret("\n".join([secret.reveal(), *current.reveal().split()]))

    def prove(self, value: Secret, label: str) -> None:
        """Encrypt to all that the lists name, as a backup does, and open it with the home's first key."""
        identities = parse_key_setting(value.reveal())[:1]
        if identities[0].recipient() != label:
            raise Refused("the home begins with another key", value=identities[0].recipient())
        for listed in self._published():
            sealed: list[bytes] = []
            encryptor = age.Encryptor(sealed.append, [parse_recipient(word) for word in _words(listed)])
            encryptor.write(_PROBE)
            encryptor.finish()
            if b"".join(age.decrypt(iter(sealed), identities, name="the proof")) != _PROBE:
                raise Refused("the key does not open what is encrypted to the list", value=label)

    def revoke(self, _label: str, _valid: Secret) -> str:
        """Nothing: it leaves the list, and stays in the home for the sets before."""
        return ""


def _checked(kind: str, current: Secret) -> str:
    """The public half of what the home holds. Raises Refused, quoting nothing."""
    try:
        return public_half(kind, current)
    except GroundcrewError as error:
        raise Refused(f"the home holds no {kind}", value=error.message, hint=error.hint) from None


def _words(listed: Secret) -> list[str]:
    return listed.reveal().replace(",", " ").split()
