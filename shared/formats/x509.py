"""Certificates as facts: what a PEM text or a TLS server shows, without any trust in it.

Nothing here says that a certificate may be trusted: that is OpenSSL's to say, with the host that showed it.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from shared.kernel.errors import Corrupt

if TYPE_CHECKING:
    from cryptography import x509

_MAX_CERTIFICATES = 300  # a bundle of public roots has about 150
_MIN_RSA_BITS, _MIN_EC_BITS = (
    2048,
    256,
)  # https://cabforum.org/working-groups/server/baseline-requirements/ 6.1.5


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says of itself.

    - `names`: DNS names and IP addresses of the subjectAltName; the common name names no host (RFC 9525).
    - `serial`, `fingerprint` (SHA-256 of the DER form): lower case hex.
    - `key`: for people, `RSA 2048`.
    - `weakness`: why clients refuse the key or the signature; empty if they do not.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    serial: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    key: str
    weakness: str = ""

    @property
    def self_issued(self) -> bool:
        """Whether it names itself as its issuer, as roots and self-signed certificates do."""
        return self.subject == self.issuer


def parse_pem_certificates(data: bytes, name: str) -> tuple[CertificateFacts, ...]:
    """The certificates in a PEM text, in its order. Raises Corrupt, which names `name` and quotes nothing."""
    from cryptography import x509

    with _no_parser_errors(f"{name} has no readable certificate"):
        certificates = x509.load_pem_x509_certificates(data)
        if len(certificates) > _MAX_CERTIFICATES:
            raise Corrupt(f"{name} has more than {_MAX_CERTIFICATES} certificates")
        return tuple(map(_read, certificates))


def parse_der_certificate(data: bytes, name: str) -> CertificateFacts:
    """One certificate in DER form. Raises Corrupt."""
    from cryptography import x509

    with _no_parser_errors(f"{name} is not a readable certificate"):
        return _read(x509.load_der_x509_certificate(data))


def is_key_of(key: bytes, certificate: bytes, name: str) -> bool:
    """Whether the private key (PEM, without a password) is that of the first certificate. Raises Corrupt."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    with _no_parser_errors(f"{name} has no readable private key"):
        private = serialization.load_pem_private_key(key, None)
        public = x509.load_pem_x509_certificates(certificate)[0].public_key()
        return bool(private.public_key().public_bytes(*form) == public.public_bytes(*form))


@contextmanager
def _no_parser_errors(message: str) -> Iterator[None]:
    """Whatever `cryptography` raises or warns of while it reads foreign bytes is Corrupt."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of certificates that are read but should not have been made
            yield
    except (
        ValueError, TypeError, OverflowError, UnsupportedAlgorithm,
        x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
    ) as error:  # fmt: skip
        # Not chained: a parser may quote what it could not read, a key among it.
        raise Corrupt(message, value=type(error).__name__) from None


def names_host(facts: CertificateFacts, host: str) -> bool:
    """Whether the certificate is for the host: an exact name, or a wildcard for its first label.

    https://www.rfc-editor.org/rfc/rfc9525#section-6.3
    """
    hostname = host.lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(hostname)) in facts.names
    except ValueError:
        pass
    parent = hostname.partition(".")[2]
    # Never `*.com`: public authorities must not issue it, and clients refuse it.
    return hostname in facts.names or ("." in parent and f"*.{parent}" in facts.names)


def _read(certificate: x509.Certificate) -> CertificateFacts:
    from cryptography.hazmat.primitives import hashes

    key, weakness = _judge_key(certificate)
    return CertificateFacts(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=_subject_names(certificate),
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=key,
        weakness=weakness or _judge_signature(certificate),
    )


def _subject_names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = [one.lower() for one in names.get_values_for_type(x509.DNSName)]
    return (*hosts, *(str(one) for one in names.get_values_for_type(x509.IPAddress)))


def _judge_key(certificate: x509.Certificate) -> tuple[str, str]:
    """The key's name, and why it is too weak."""
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        name = f"RSA {key.key_size}"
        return name, f"{name} is too short a key" if key.key_size < _MIN_RSA_BITS else ""
    if isinstance(key, ec.EllipticCurvePublicKey):
        name = f"ECDSA {key.curve.name}"
        return name, f"{name} is too short a key" if key.key_size < _MIN_EC_BITS else ""
    if isinstance(key, dsa.DSAPublicKey):
        return f"DSA {key.key_size}", "DSA keys are no longer accepted"
    return type(key).__name__.removesuffix("PublicKey"), ""


def _judge_signature(certificate: x509.Certificate) -> str:
    """Why the signature is too weak; that of a root does not matter, since nobody verifies it."""
    from cryptography.hazmat.primitives import hashes

    algorithm = certificate.signature_hash_algorithm
    if certificate.subject != certificate.issuer and isinstance(algorithm, hashes.SHA1 | hashes.MD5):
        return f"signed with {algorithm.name.upper()}, which is broken"
    return ""
