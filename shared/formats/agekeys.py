"""age's keys: recipients (public) that wrap a file key, and identities (secret) that unwrap it.

Two kinds: classic X25519 (`age1…`), and the post-quantum hybrid of ML-KEM-768 and X25519 (`age1pq1…`),
wrapped by HPKE. Source: https://c2sp.org/age, sections X25519 and mlkem768x25519.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.formats import bech32
from shared.kernel.errors import UsageError

_X25519_INFO = b"age-encryption.org/v1/X25519"
_HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
_HYBRID_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_MLKEM_KEY_BYTES, _MLKEM_SEED_BYTES = 1184, 64
_HYBRID_ENCAPSULATED_BYTES = 1120
_ZERO_NONCE = bytes(12)
_WRAPPED_BYTES = 32  # the 16 bytes of the file key and a tag


@dataclass(frozen=True, slots=True)
class Stanza:
    """One recipient's copy of the file key, as the header carries it."""

    kind: str
    arguments: Sequence[str]
    body: bytes


class Recipient(Protocol):
    """A public key to encrypt to."""

    post_quantum: bool

    def wrap(self, file_key: bytes) -> Stanza:
        """The file key for this recipient's eyes only."""
        ...


class Identity(Protocol):
    """A secret key."""

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """The file key, or None if no stanza is for this identity."""
        ...

    def recipient(self) -> str:
        """The public key that belongs to it."""
        ...


@dataclass(frozen=True, slots=True)
class X25519Recipient:
    """A classic recipient, `age1…`."""

    key: bytes
    post_quantum = False

    def wrap(self, file_key: bytes) -> Stanza:
        """Wrap under a key agreed with a fresh ephemeral key."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.key))
        body = ChaCha20Poly1305(_x25519_key(secret, share, self.key)).encrypt(_ZERO_NONCE, file_key, None)
        return Stanza("X25519", [_encode(share)], body)


@dataclass(frozen=True, slots=True)
class X25519Identity:
    """A classic identity, `AGE-SECRET-KEY-1…`."""

    secret: bytes = field(repr=False)

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Try every X25519 stanza."""
        private = X25519PrivateKey.from_private_bytes(self.secret)
        own_public = private.public_key().public_bytes_raw()
        for stanza in stanzas:
            share = _argument(stanza, "X25519", 32)
            if share is None:
                continue
            try:
                secret = private.exchange(X25519PublicKey.from_public_bytes(share))
                opener = ChaCha20Poly1305(_x25519_key(secret, share, own_public))
                return opener.decrypt(_ZERO_NONCE, stanza.body, None)
            except (InvalidTag, ValueError):  # not ours, or a share of low order
                continue
        return None

    def recipient(self) -> str:
        """`age1…`."""
        public = X25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw()
        return bech32.encode("age", public)


@dataclass(frozen=True, slots=True)
class HybridRecipient:
    """A post-quantum recipient, `age1pq1…`: safe as long as either ML-KEM-768 or X25519 is."""

    key: bytes
    post_quantum = True

    def wrap(self, file_key: bytes) -> Stanza:
        """Seal by HPKE in base mode; the first 1,120 bytes are the encapsulated key."""
        public = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.key[:_MLKEM_KEY_BYTES]),
            X25519PublicKey.from_public_bytes(self.key[_MLKEM_KEY_BYTES:]),
        )
        sealed = _HYBRID_SUITE.encrypt(file_key, public, _HYBRID_INFO)
        enc, body = sealed[:_HYBRID_ENCAPSULATED_BYTES], sealed[_HYBRID_ENCAPSULATED_BYTES:]
        return Stanza("mlkem768x25519", [_encode(enc)], body)


@dataclass(frozen=True, slots=True)
class HybridIdentity:
    """A post-quantum identity, `AGE-SECRET-KEY-PQ-1…`: the 32-byte seed of an X-Wing key."""

    seed: bytes = field(repr=False)

    def _keys(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        # https://datatracker.ietf.org/doc/draft-connolly-cfrg-xwing-kem/, section 5.2
        expanded = hashlib.shake_256(self.seed).digest(_MLKEM_SEED_BYTES + 32)
        return (
            MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES]),
            X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:]),
        )

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """Try every hybrid stanza."""
        private = hpke.MLKEM768X25519PrivateKey(*self._keys())
        for stanza in stanzas:
            enc = _argument(stanza, "mlkem768x25519", _HYBRID_ENCAPSULATED_BYTES)
            if enc is None:
                continue
            try:
                return _HYBRID_SUITE.decrypt(enc + stanza.body, private, _HYBRID_INFO)
            # Another person's stanza looks the same: whose it is, only the attempt tells.
            except (InvalidTag, ValueError):
                continue
        return None

    def recipient(self) -> str:
        """`age1pq1…`."""
        mlkem, x25519 = self._keys()
        public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return bech32.encode("age1pq", public)


@dataclass(frozen=True, slots=True)
class FileKeys:
    """File keys that are known already, by the header that wraps them: an `Identity` without a secret key.

    A wrong one opens nothing: the MAC of the header is made with the file key.
    """

    keys: Mapping[str, bytes] = field(repr=False)

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """The key of the file whose header has these stanzas."""
        return self.keys.get(identify_stanzas(stanzas))

    def recipient(self) -> str:
        """Nobody's public key."""
        return ""


def identify_stanzas(stanzas: Sequence[Stanza]) -> str:
    """By which a file's header is known again: SHA-256 over what wraps its key, in hexadecimal."""
    digest = hashlib.sha256()
    for stanza in stanzas:
        digest.update(hashlib.sha256(stanza.body).digest())
    return digest.hexdigest()


def generate_identity(*, post_quantum: bool) -> tuple[str, str]:
    """A new secret key and its recipient, as text."""
    secret = os.urandom(32)
    identity: Identity = HybridIdentity(secret) if post_quantum else X25519Identity(secret)
    prefix = "age-secret-key-pq-" if post_quantum else "age-secret-key-"
    return bech32.encode(prefix, secret).upper(), identity.recipient()


def parse_recipient(text: str) -> Recipient:
    """Raises UsageError naming what is wrong with the text."""
    try:
        prefix, data = bech32.decode(text.strip())
    except ValueError as error:
        _refuse_secret(text)
        raise UsageError(
            "not an age recipient", value=f"{text[:12]}… ({error})", hint=_RECIPIENT_CURE
        ) from error
    if prefix == "age" and len(data) == 32:
        return X25519Recipient(data)
    if prefix == "age1pq" and len(data) == _MLKEM_KEY_BYTES + 32:
        return HybridRecipient(data)
    _refuse_secret(text)
    raise UsageError("not an age recipient we know", value=f"{text[:24]}…", hint=_RECIPIENT_CURE)


def _refuse_secret(text: str) -> None:
    """Somebody pasted the key that must never be here; it is not repeated, mistyped or not."""
    if text.strip().upper().startswith("AGE-SECRET"):
        raise UsageError("a secret key was given where a recipient belongs", hint=_RECIPIENT_CURE)


def parse_identities(text: str) -> list[Identity]:
    """The identities of a key file: one per line, `#` begins a comment.

    Raises UsageError, which never holds the secret.
    """
    identities: list[Identity] = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        try:
            prefix, data = bech32.decode(entry)
        except ValueError as error:
            raise UsageError(f"line {number} is not an age identity", hint=_IDENTITY_CURE) from error
        if len(data) != 32 or prefix not in ("age-secret-key-", "age-secret-key-pq-"):
            raise UsageError(f"line {number} is not an age identity we know", hint=_IDENTITY_CURE)
        identities.append(HybridIdentity(data) if prefix == "age-secret-key-pq-" else X25519Identity(data))
    if not identities:
        raise UsageError("the key file holds no identity", hint=_IDENTITY_CURE)
    return identities


def parse_key_setting(text: str) -> list[Identity]:
    """The identities of a setting: a key file's content, or keys on one line separated by white space.

    Raises UsageError, which never holds the secret.
    """
    # App settings lose their line breaks in some portals, so that both are taken everywhere.
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return parse_identities("\n".join(" ".join(lines).split()))


_RECIPIENT_CURE = "A recipient begins with age1 and is printed by `groundcrew keys generate`."
_IDENTITY_CURE = "Expected lines that begin with AGE-SECRET-KEY-1 or AGE-SECRET-KEY-PQ-1."


def _x25519_key(secret: bytes, share: bytes, recipient: bytes) -> bytes:
    return HKDF(SHA256(), 32, share + recipient, _X25519_INFO).derive(secret)


def _argument(stanza: Stanza, kind: str, size: int) -> bytes | None:
    """The stanza's only argument, if the stanza is of that kind and well-formed."""
    if stanza.kind != kind or len(stanza.arguments) != 1 or len(stanza.body) != _WRAPPED_BYTES:
        return None
    text = stanza.arguments[0]
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) == size and _encode(data) == text else None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode()
