"""Signing and checking manifests: Ed25519 over the canonical JSON of everything but the signature.

One blob holds both, so that a manifest without its signature cannot exist. With stock tools:
`jq -cSj 'del(.signature)' manifest.json > m` and `openssl pkeyutl -verify -rawin -pubin -inkey signer.pem
-in m -sigfile s`, where `s` is `jq -r .signature manifest.json | base64 -d`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.formats.backupset import Manifest, canonical_json, decode_record, record_to_json
from shared.kernel.errors import Corrupt, Refused, UsageError

_SECRET_PREFIX, _PUBLIC_PREFIX = "groundcrew-sign-secret-", "groundcrew-sign-"


@dataclass(frozen=True, slots=True)
class Signer:
    """The writer's signing key. Its text form begins with `groundcrew-sign-secret-`."""

    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Signer:
        """A new key."""
        return cls(os.urandom(32))

    @classmethod
    def parse(cls, secret_text: str) -> Signer:
        """Raises UsageError, without the secret."""
        try:
            return cls(_decode_key(secret_text, _SECRET_PREFIX))
        except ValueError as error:
            hint = f"Expected {_SECRET_PREFIX}…, as `groundcrew keys generate` prints it."
            raise UsageError("not a signing key", hint=hint) from error

    def secret_text(self) -> str:
        """The secret, for a vault."""
        return _SECRET_PREFIX + base64.urlsafe_b64encode(self.seed).decode().rstrip("=")

    def public_text(self) -> str:
        """What readers pin."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return _PUBLIC_PREFIX + base64.urlsafe_b64encode(key.public_bytes_raw()).decode().rstrip("=")

    def sign(self, manifest: Manifest) -> bytes:
        """The manifest's blob."""
        body = {**record_to_json(manifest), "signer": self.public_text()}
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(canonical_json(body))
        return canonical_json({**body, "signature": base64.b64encode(signature).decode()})


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """A manifest whose signature holds."""

    manifest: Manifest
    signer: str
    sha256: str  # of the blob, for the chain


def verify_manifest(blob: bytes, *, name: str, trusted: tuple[str, ...]) -> VerifiedManifest:
    """Parse a manifest and check its signature.

    `trusted` are the signers to accept; empty accepts any, and then the caller must say that nobody
    vouches for the signer. Raises Corrupt for a broken signature, Refused for an unknown signer.
    """
    try:
        fields = json.loads(blob)
        signature = base64.b64decode(fields.pop("signature"), validate=True)
        signer = str(fields["signer"])
        key = Ed25519PublicKey.from_public_bytes(_decode_key(signer, _PUBLIC_PREFIX))
        key.verify(signature, canonical_json(fields))
    except InvalidSignature as error:
        raise Corrupt(f"the signature of {name} does not hold", hint="The manifest was changed.") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise Corrupt(f"{name} is not a signed manifest", value=error) from error
    if trusted and signer not in trusted:
        raise Refused(
            f"{name} is signed by somebody else",
            value=signer,
            hint="Give that signer by --signer or GROUNDCREW_TRUSTED_SIGNERS if you know whose it is.",
        )
    del fields["signer"]
    return VerifiedManifest(
        decode_record(Manifest, fields, name=name), signer, hashlib.sha256(blob).hexdigest()
    )


def _decode_key(secret_text: str, prefix: str) -> bytes:
    body = secret_text.strip()
    if not body.startswith(prefix):
        raise ValueError(f"does not begin with {prefix}")
    try:
        data = base64.b64decode(body.removeprefix(prefix) + "=", altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not Base64") from error
    if len(data) != 32:
        raise ValueError("not 32 bytes")
    return data
