"""Signing and verifying what is written about a set: Ed25519 over the canonical JSON without the signature.

One blob holds both, so that a record without its signature cannot exist. With stock tools:
`jq -cSj 'del(.signature)' manifest.json > m` and `openssl pkeyutl -verify -rawin -pubin -inkey signer.pem
-in m -sigfile s`, where `s` is `jq -r .signature manifest.json | base64 -d`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.formats.backupset import Manifest
from shared.formats.strict_json import canonical_json, decode_record, record_to_json
from shared.kernel.errors import Corrupt, Refused, UsageError

_SECRET_PREFIX, _PUBLIC_PREFIX = "groundcrew-sign-secret-", "groundcrew-sign-"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Signer:
    """The writer's signing key. Its text form begins with `groundcrew-sign-secret-`."""

    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Signer:
        """A new key."""
        return cls(os.urandom(32))

    @classmethod
    def parse(cls, text: str) -> Signer:
        """Raises UsageError, without the secret."""
        try:
            return cls(_decode_key(text, _SECRET_PREFIX))
        except ValueError as error:
            hint = f"Expected {_SECRET_PREFIX}…, as `groundcrew keys generate --signing` writes it."
            raise UsageError("not a signing key", hint=hint) from error

    def secret_text(self) -> str:
        """The secret, for a vault."""
        return _SECRET_PREFIX + base64.urlsafe_b64encode(self.seed).decode().rstrip("=")

    def public_text(self) -> str:
        """What readers pin."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return _PUBLIC_PREFIX + base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("=")

    def sign_bytes(self, data: bytes) -> bytes:
        """The bare signature, 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(data)

    def sign(self, record: object) -> bytes:
        """The blob of a plan, a receipt, a manifest or another record of `backupset`, with its signature."""
        body = {**record_to_json(record), "signer": self.public_text()}
        signature = self.sign_bytes(canonical_json(body))
        return canonical_json({**body, "signature": base64.b64encode(signature).decode()})


@dataclass(frozen=True, slots=True)
class VerifiedRecord(Generic[T]):
    """A record whose signature is valid."""

    record: T
    signer: str  # the public key, as text
    sha256: str  # of the whole blob, in hexadecimal


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """A manifest whose signature is valid."""

    manifest: Manifest
    signer: str
    sha256: str  # of the blob, for the chain


def parse_signer(text: str) -> str:
    """The public key, as it is compared with. Raises UsageError for what cannot be one."""
    try:
        _decode_key(text, _PUBLIC_PREFIX)
    except ValueError as error:
        hint = (
            f"Expected {_PUBLIC_PREFIX}…, the public half that `groundcrew keys generate --signing` prints."
        )
        if text.strip().startswith(_SECRET_PREFIX):
            raise UsageError("a secret signing key was given as a signer", hint=hint) from error
        raise UsageError("not the public key of a signer", value=f"{text.strip()[:60]}", hint=hint) from error
    return text.strip()


def verify_manifest(blob: bytes, *, name: str, trusted: Sequence[str]) -> VerifiedManifest:
    """Parse a manifest and verify its signature; see `verify_record`."""
    verified = verify_record(Manifest, blob, name=name, trusted=trusted)
    return VerifiedManifest(verified.record, verified.signer, verified.sha256)


def verify_record(kind: type[T], blob: bytes, *, name: str, trusted: Sequence[str]) -> VerifiedRecord[T]:
    """Parse a signed record of `backupset` and verify its signature.

    `trusted` are the signers to accept; empty accepts any, and then the caller must say that the signer is
    unknown. A record of one kind never passes for another, since their fields differ and reading is strict.
    Raises Corrupt for a broken signature, Refused for an unknown signer.
    """
    fields, signer = _verify_signature(blob, name)
    if trusted and signer not in trusted:
        raise Refused(
            f"{name} is signed by an unknown signer",
            value=signer,
            hint="If it is yours, add it to GROUNDCREW_TRUSTED_SIGNERS or give it with --signer.",
        )
    return VerifiedRecord(decode_record(kind, fields, name=name), signer, hashlib.sha256(blob).hexdigest())


def has_signature(public: str, data: bytes, signature: bytes) -> bool:
    """Whether the signer with that public key, as text, signed these bytes. Raises ValueError for no key."""
    try:
        Ed25519PublicKey.from_public_bytes(_decode_key(public, _PUBLIC_PREFIX)).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _verify_signature(blob: bytes, name: str) -> tuple[dict[str, Any], str]:
    """The signed fields and the signer's public key. Raises Corrupt."""
    try:
        fields = json.loads(blob)
        signature = base64.b64decode(fields.pop("signature"), validate=True)
        signer = str(fields["signer"])
        key = Ed25519PublicKey.from_public_bytes(_decode_key(signer, _PUBLIC_PREFIX))
        key.verify(signature, canonical_json(fields))
    except InvalidSignature as error:
        raise Corrupt(
            f"the signature of {name} is not valid", hint="It was changed after signing."
        ) from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise Corrupt(f"{name} is not signed", value=_describe(error)) from error
    # The rest is the record alone, which is parsed strictly: who signed is told beside it.
    del fields["signer"]
    return fields, signer


def _describe(error: Exception) -> str:
    """What is wrong with a blob, without quoting all of what somebody wrote there."""
    return f"{type(error).__name__}: {error}"[:200]


def _decode_key(text: str, prefix: str) -> bytes:
    body = text.strip()
    if not body.startswith(prefix):
        raise ValueError(f"does not begin with {prefix}")
    try:
        data = base64.b64decode(body.removeprefix(prefix) + "=", altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("not Base64") from error
    if len(data) != 32:
        raise ValueError("not 32 bytes")
    return data
