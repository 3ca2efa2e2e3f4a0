"""The age file format, version 1: encryption to people, for streams of any length in constant memory.

Written over `cryptography` (OpenSSL) because no Python library reads and writes age's post-quantum
recipients; docs/adr/0003 weighs it. Interoperability is tested against the `age` command and against
age's own TypeScript implementation. Format: https://c2sp.org/age

Layout: a text header with one stanza per recipient, each wrapping the same random file key; a MAC over
the header; a nonce; then 64 KiB chunks, each sealed with ChaCha20-Poly1305 under a counter and a flag
that marks the last one, so that truncation and reordering are noticed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Callable, Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.formats.agekeys import Identity, Recipient, Stanza, identify_stanzas
from shared.kernel.buffers import GrowingBuffer
from shared.kernel.errors import Corrupt, UsageError

_INTRO = b"age-encryption.org/v1\n"
_CHUNK = 64 * 1024
_TAG = 16
_SEALED = _CHUNK + _TAG
_HEADER_LIMIT = 1 << 20  # a header of twenty post-quantum recipients is 32 KiB
_COLUMNS = 64
_STANZA_ARGUMENT = re.compile(rb"[\x21-\x7e]+")

Write = Callable[[bytes], object]


class Encryptor:
    """Encrypts what is written and passes it to `write`; `finish` seals the last chunk.

    A stream that was not finished does not decrypt, so a crash cannot look like a short file.
    """

    def __init__(self, write: Write, recipients: Sequence[Recipient]) -> None:
        check_recipients(recipients)
        self._write = write
        # A file key of its own for each file: the chunk counter may begin at zero in each.
        file_key, nonce = os.urandom(16), os.urandom(16)
        header = _INTRO + b"".join(_format_stanza(r.wrap(file_key)) for r in recipients) + b"---"
        write(header + b" " + _b64(_header_mac(file_key, header)) + b"\n" + nonce)
        self._seal = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload")).encrypt_into
        self._counter = 0
        self._held = bytearray()  # at most one chunk: the last one is only known at `finish`
        self._sealed = GrowingBuffer()

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt and pass on every whole chunk that is surely not the last."""
        view = memoryview(data)
        whole = max(len(self._held) + len(view) - 1, 0) // _CHUNK
        # Memory that is used again, copied once: chunks in memory of their own, joined, took twice the time.
        sealed = self._sealed.reserve(whole * _SEALED)
        position = 0
        for start in range(0, len(sealed), _SEALED):
            into = sealed[start : start + _SEALED]
            if self._held:
                position = _CHUNK - len(self._held)
                self._seal_next(bytes(self._held + view[:position]), into, last=False)
                self._held.clear()
            else:
                self._seal_next(view[position : position + _CHUNK], into, last=False)
                position += _CHUNK
        self._held += view[position:]
        if sealed:
            self._write(bytes(sealed))

    def finish(self) -> None:
        """Seal and pass on the last chunk. Nothing may be written afterwards."""
        sealed = self._sealed.reserve(len(self._held) + _TAG)
        self._seal_next(bytes(self._held), sealed, last=True)
        self._held.clear()
        self._write(bytes(sealed))

    def _seal_next(self, chunk: bytes | memoryview, into: memoryview, *, last: bool) -> None:
        nonce = self._counter.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
        self._counter += 1
        self._seal(nonce, chunk, None, into)


def check_recipients(recipients: Sequence[Recipient]) -> None:
    """Raises UsageError for none at all, and for a mix of classic and post-quantum ones.

    age refuses such a mix, since the file would only be as strong as the weaker kind.
    """
    if not recipients:
        raise UsageError("no recipients to encrypt to", hint="Give at least one age1… public key.")
    if len({recipient.post_quantum for recipient in recipients}) > 1:
        raise UsageError(
            "classic and post-quantum recipients are mixed",
            hint="Use only age1pq1… keys, or none: a file is as strong as its weakest recipient.",
        )


def decrypt(chunks: Iterator[bytes], identities: Sequence[Identity], *, name: str) -> Iterator[bytes]:
    """The plaintext of an age stream, each piece authenticated before it is given out.

    `name` is the blob's, for the errors: Corrupt for anything malformed, truncated, tampered with, or not
    encrypted to any of the identities.
    """
    source = _Source(chunks, name)
    payload_key = _open_header(source, identities)
    opener = ChaCha20Poly1305(payload_key).decrypt
    counter = 0
    while True:
        sealed = source.take(_CHUNK + _TAG)
        last = source.exhausted()
        # An empty last chunk is allowed in an empty file only: else it could be appended to a file that was
        # cut at a chunk's end.
        if len(sealed) < _TAG or (last and counter and len(sealed) == _TAG):
            raise Corrupt(f"{name} is truncated", value=f"{len(sealed)} bytes in its last chunk")
        try:
            chunk = opener(counter.to_bytes(11, "big") + (b"\x01" if last else b"\x00"), sealed, None)
        except InvalidTag as error:
            raise Corrupt(
                f"{name} does not authenticate", value=f"chunk {counter}", hint="It was changed or cut short."
            ) from error
        counter += 1
        if chunk:
            yield chunk
        if last:
            return


def can_open(start: bytes, identities: Sequence[Identity], *, name: str) -> bool:
    """Whether one of the identities opens the file that begins so (its whole header). Raises Corrupt."""
    source = _Source(iter([start]), name)
    try:
        _open_header(source, identities)
    except NotForUs:
        return False
    return True


def read_file_key(chunks: Iterator[bytes], identities: Sequence[Identity], *, name: str) -> tuple[str, bytes]:
    """By what the header of this file is known again, and its file key. Raises Corrupt."""
    header, stanzas, mac = _read_header(_Source(chunks, name))
    return identify_stanzas(stanzas), _unwrap(header, stanzas, mac, identities, name)


class NotForUs(Corrupt):
    """None of the identities opens the file: the key is of another person, or of another time."""


def _open_header(source: _Source, identities: Sequence[Identity]) -> bytes:
    """The payload key."""
    header, stanzas, mac = _read_header(source)
    file_key = _unwrap(header, stanzas, mac, identities, source.name)
    nonce = source.take(16)
    if len(nonce) != 16:
        raise Corrupt(f"{source.name} is truncated", value="in its header")
    return _hkdf(file_key, nonce, b"payload")


def _unwrap(
    header: bytes, stanzas: Sequence[Stanza], mac: bytes, identities: Sequence[Identity], name: str
) -> bytes:
    """The file key. Raises NotForUs, and Corrupt for a header that was changed."""
    file_key = next((k for i in identities if (k := i.unwrap(stanzas)) is not None), None)
    if file_key is None:
        kinds = ", ".join(sorted({stanza.kind for stanza in stanzas}))
        raise NotForUs(
            f"{name} is not encrypted to the key given",
            value=f"recipients of kind {kinds}",
            hint="Give the identity whose recipient was in GROUNDCREW_AGE_RECIPIENTS when it was made.",
        )
    if not hmac.compare_digest(mac, _header_mac(file_key, header)):
        raise Corrupt(f"the header of {name} was changed")
    return file_key


def _read_header(source: _Source) -> tuple[bytes, list[Stanza], bytes]:
    """The bytes under the MAC, the stanzas, the MAC."""
    if source.take(len(_INTRO)) != _INTRO:
        raise Corrupt(f"{source.name} is not an age file", hint="It was not made by Groundcrew.")
    header = bytearray(_INTRO)
    stanzas: list[Stanza] = []
    while True:
        line = source.line()
        if line.startswith(b"---"):
            header += b"---"
            return bytes(header), stanzas, _unb64(line[4:] if line[3:4] == b" " else b"?", source.name)
        header += line + b"\n"
        arguments = line.split(b" ")
        if (
            arguments[0] != b"->"
            or len(arguments) < 2
            or not all(_STANZA_ARGUMENT.fullmatch(a) for a in arguments)
        ):
            raise Corrupt(f"the header of {source.name} is malformed", value=line[:80].decode("latin-1"))
        body = bytearray()
        while True:
            line = source.line()
            header += line + b"\n"
            if len(header) > _HEADER_LIMIT or len(line) > _COLUMNS:
                raise Corrupt(f"the header of {source.name} is malformed", value="a line is too long")
            body += _unb64(line, source.name)
            # A body ends with a line that is not full, an empty one if need be: so two bodies cannot be one.
            if len(line) < _COLUMNS:
                break
        stanzas.append(Stanza(arguments[1].decode(), [a.decode() for a in arguments[2:]], bytes(body)))


class _Source:
    """Exact reads over an iterator of byte strings."""

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self.name, self._chunks, self._held, self._position = name, chunks, b"", 0

    def _read_more(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._held, self._position = self._held[self._position :] + chunk, 0
                return True
        return False

    def take(self, size: int) -> bytes:
        """`size` bytes, or fewer at the end."""
        while len(self._held) - self._position < size and self._read_more():
            pass
        start = self._position
        self._position = min(start + size, len(self._held))
        return self._held[start : self._position]

    def exhausted(self) -> bool:
        return self._position == len(self._held) and not self._read_more()

    def line(self) -> bytes:
        """Up to and without the next newline."""
        while (end := self._held.find(b"\n", self._position)) < 0:
            if len(self._held) - self._position > _HEADER_LIMIT or not self._read_more():
                raise Corrupt(f"{self.name} is truncated", value="in its header")
        start, self._position = self._position, end + 1
        return self._held[start:end]


def _format_stanza(stanza: Stanza) -> bytes:
    body = _b64(stanza.body)
    lines = [body[i : i + _COLUMNS] for i in range(0, len(body) + 1, _COLUMNS)]
    return b"\n".join([" ".join(["->", stanza.kind, *stanza.arguments]).encode(), *lines]) + b"\n"


def _header_mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.digest(_hkdf(file_key, b"", b"header"), header, "sha256")


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(secret)


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _unb64(text: bytes, name: str) -> bytes:
    """Canonical Base64 without padding, as the format demands."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise Corrupt(f"the header of {name} is malformed", value="not Base64") from error
    if _b64(data) != text:
        raise Corrupt(f"the header of {name} is malformed", value="not canonical Base64")
    return data
