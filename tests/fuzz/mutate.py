"""Bytes of a corpus, changed as damage and ill will change them: repeatable from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

_ODD = (0, 1, 5, 0x7F, 0x80, 0xFF)
_ODD_LENGTHS = (0, 1, 4, 5, 2**31 - 1, 2**31, 2**32 - 1)
_WORDS = (
    b"\x00",
    b"{}",
    b"[]",
    b"null",
    b"..",
    b"\xef\xbb\xbf",
    "\u202e".encode(),
    b"*",
    b"&a *a",
    b"1e999",
    b"9" * 30,
)
_MOST_CHANGES = 4


def mutate(source: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One of the corpus with a few changes; now and then with none."""
    data = bytearray(source.choice(corpus))
    for _ in range(source.randint(0, _MOST_CHANGES)):
        source.choice(_CHANGES)(source, data, corpus)
    return bytes(data)


def _flip_bit(source: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def _put_odd_byte(source: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[source.randrange(len(data))] = source.choice(_ODD)


def _put_odd_length(source: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """What many formats begin with; little-endian as in BSON, or not."""
    at, order = source.randrange(len(data) + 1), source.choice(("little", "big"))
    data[at : at + 4] = source.choice(_ODD_LENGTHS).to_bytes(4, order)  # type: ignore[arg-type]


def _cut(source: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[source.randrange(len(data) + 1) :]


def _remove(source: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    begin = source.randrange(len(data) + 1)
    del data[begin : begin + source.randint(1, 40)]


def _repeat(source: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    begin = source.randrange(len(data) + 1)
    data[begin:begin] = data[begin : begin + source.randint(1, 60)] * source.randint(1, 30)


def _splice(source: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    """The end of another one of the corpus."""
    other = source.choice(corpus)
    data[source.randrange(len(data) + 1) :] = other[source.randrange(len(other) + 1) :]


def _put_word(source: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = source.randrange(len(data) + 1)
    data[at:at] = source.choice(_WORDS)


_CHANGES = (_flip_bit, _put_odd_byte, _put_odd_length, _cut, _remove, _repeat, _splice, _put_word)
