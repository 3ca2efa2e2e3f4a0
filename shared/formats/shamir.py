"""A secret split by Shamir's scheme over GF(2^8), and put together again, as HashiCorp Vault and SOPS do.

A share has one byte for each byte of the secret, and its place on the curve as the last byte.
https://github.com/getsops/sops/tree/main/shamir; the field is AES' own, x^8 + x^4 + x^3 + x + 1 (FIPS 197).
Of our own: PyCryptodome's is over GF(2^128), whose shares SOPS cannot read, and the ports of Vault's have one
author and hardly a user. The real `sops` is asked in tests/real, both ways.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import reduce

from shared.kernel.errors import Corrupt

MOST_SHARES = 255  # the places of a curve over a byte, without zero, where the secret is


def split_secret(secret: bytes, count: int, needed: int) -> list[bytes]:
    """`count` shares of which any `needed` give the secret, and fewer say nothing of it.

    `needed` is from 2 to `count`, which is at most `MOST_SHARES`; else raises ValueError.
    """
    if not 2 <= needed <= count <= MOST_SHARES or not secret:
        raise ValueError(f"{needed} of {count} shares")
    # Not 1, 2, 3…: where a share lies must not tell whose it is, or how many there are.
    places = secrets.SystemRandom().sample(range(1, MOST_SHARES + 1), count)
    polynomials = [bytes([byte, *secrets.token_bytes(needed - 1)]) for byte in secret]
    return [bytes([*(_evaluate(one, place) for one in polynomials), place]) for place in places]


def combine_shares(shares: Sequence[bytes]) -> bytes:
    """The secret, from as many shares as it takes; from fewer comes something else, which nothing tells.

    Raises Corrupt for shares that do not belong together.
    """
    places = [share[-1] for share in shares if len(share) > 1]
    same_size = len({len(share) for share in shares}) == 1
    if len(places) < 2 or len(places) != len(shares) or not same_size or len({*places}) != len(places):
        raise Corrupt("the shares of a key do not belong together", value=f"{len(shares)} shares")
    weights = [_weight(place, places) for place in places]
    return bytes(
        reduce(
            int.__xor__, (_multiply(weight, share[at]) for weight, share in zip(weights, shares, strict=True))
        )
        for at in range(len(shares[0]) - 1)
    )


def _evaluate(polynomial: bytes, place: int) -> int:
    """By Horner's scheme; the secret's byte is the first coefficient."""
    return reduce(lambda value, factor: _multiply(value, place) ^ factor, reversed(polynomial), 0)


def _weight(place: int, places: Sequence[int]) -> int:
    """Lagrange's basis polynomial of the place, at zero; subtraction is XOR here."""
    weight = 1
    for other in places:
        if other != place:
            weight = _multiply(weight, _multiply(other, _invert(other ^ place)))
    return weight


def _multiply(left: int, right: int) -> int:
    product = 0
    while right:
        if right & 1:
            product ^= left
        left = (left << 1) ^ (0x11B if left & 0x80 else 0)
        right >>= 1
    return product


def _invert(value: int) -> int:
    """a^254, which is the inverse, since a^255 is 1."""
    power = 1
    for _ in range(254):
        power = _multiply(power, value)
    return power
