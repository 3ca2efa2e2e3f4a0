"""Bech32 as age uses it for keys: BIP 173's checksum, without its limit of 90 characters.

Source: https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki and https://c2sp.org/age
(age's post-quantum recipients are 1,959 characters long, hence no limit).
"""

from __future__ import annotations

from collections.abc import Iterable

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
# BIP 173's, found by search: they catch any four wrong characters in ninety.
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def encode(prefix: str, data: bytes) -> str:
    """`prefix` (lower case) + "1" + data + checksum, in lower case."""
    words = list(_regroup(data, 8, 5, pad=True))
    check = _polymod([*_expand(prefix), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [(check >> 5 * (5 - i)) & 31 for i in range(6)]
    return prefix + "1" + "".join(_ALPHABET[word] for word in words)


def decode(text: str) -> tuple[str, bytes]:
    """The lower-case prefix and the data. Raises ValueError for a bad checksum, letter, case or padding."""
    if text not in (text.lower(), text.upper()):
        raise ValueError("upper and lower case are mixed")
    prefix, separator, payload = text.lower().rpartition("1")
    if not separator or not prefix or len(payload) < 6:
        raise ValueError("not a Bech32 string")
    unknown = set(payload) - _VALUES.keys()
    if unknown:
        raise ValueError(f"{min(unknown)!r} is not a Bech32 character")
    words = [_VALUES[letter] for letter in payload]
    if _polymod([*_expand(prefix), *words]) != 1:
        raise ValueError("the checksum does not match: a character is wrong or missing")
    return prefix, bytes(_regroup(words[:-6], 5, 8, pad=False))


def _expand(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _polymod(words: Iterable[int]) -> int:
    check = 1
    for word in words:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ word
        for i, generator in enumerate(_GENERATORS):
            if (top >> i) & 1:
                check ^= generator
    return check


def _regroup(words: Iterable[int], source: int, target: int, *, pad: bool) -> Iterable[int]:
    """Bits in groups of `source` as groups of `target`; without `pad`, what is left over must be zero."""
    held, bits = 0, 0
    for word in words:
        held = (held << source | word) & 0xFFF
        bits += source
        while bits >= target:
            bits -= target
            yield held >> bits & ((1 << target) - 1)
    rest = held & ((1 << bits) - 1)
    if pad and bits:
        yield rest << (target - bits)
    elif not pad and (bits >= source or rest):
        raise ValueError("the padding is not zero")
