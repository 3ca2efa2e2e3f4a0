"""`CredentialAuthority` of a certificate that cert-manager issues: asked to issue anew, and then looked at.

cert-manager writes certificate and key together and keeps the old pair until the new one is there, so there
is nothing to journal, and no way back: what is proven is that the new one is valid, and that readers have it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from shared.formats.x509 import parse_pem_certificates
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.authorities.presented import PresentedByReaders
from shared.secrets_rotation.model import ChosenCredential, NotYet

_ISSUED = "certificate of"


class ClusterCertificates(PresentedByReaders):
    """The Certificate `name`. `renew` asks for a new one; `read` gives what its Secret holds now."""

    def __init__(
        self, name: str, renew: Callable[[], object], read: Callable[[], Secret], now: Callable[[], datetime]
    ) -> None:
        self._name, self._renew, self._read, self._now = name, renew, read, now

    def choose(self, current: Secret, rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`."""
        return ChosenCredential(self._describe(current), f"{_ISSUED} {rotation}", Secret(""))

    def issue(self, _chosen: ChosenCredential, current: Secret) -> Secret:
        """The new certificate. Raises `NotYet` until it is there; asks once, and not while it is issued."""
        issued = self._read()
        # Looked at before asking: a run that was killed after it asked must not have one issued a second
        # time.
        if issued.reveal() != current.reveal():
            return issued
        self._renew()
        raise NotYet(f"waiting for: cert-manager to issue {self._name}")

    def render(self, current: Secret, _label: str, secret: Secret) -> Secret:
        """What cert-manager wrote."""
        return secret or current

    def prove(self, value: Secret, _label: str) -> None:
        """Whether it is valid now."""
        certificate = parse_pem_certificates(value.reveal().encode(), self._name)[0]
        if not certificate.not_before <= self._now() < certificate.not_after:
            raise Refused("the certificate is not valid now", value=f"until {certificate.not_after:%Y-%m-%d}")

    def revoke(self, label: str, _valid: Secret) -> str:
        """An old one ends by itself; one whose key leaked is revoked at its authority."""
        undone = label.startswith(_ISSUED)
        return "the new certificate stays in its Secret: cert-manager has no way back" if undone else ""

    def _describe(self, value: Secret) -> str:
        try:
            certificate = parse_pem_certificates(value.reveal().encode(), self._name)[0]
        except GroundcrewError as error:
            raise Refused("the home holds no certificate", value=error.message) from None
        return f"certificate valid until {certificate.not_after:%Y-%m-%d}"
