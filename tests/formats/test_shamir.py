"""Keys put together from shares: any that are enough, in any order; and what does not belong together."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.shamir import _invert, _multiply, combine_shares
from shared.kernel.errors import Corrupt


def split(secret: bytes, places: Sequence[int], needed: int) -> list[bytes]:
    """By the definition: a random polynomial for each byte, of which the byte is the value at zero."""
    polynomials = [[byte, *os.urandom(needed - 1)] for byte in secret]

    def value(polynomial: list[int], x: int) -> int:
        result = 0
        for coefficient in reversed(polynomial):
            result = _multiply(result, x) ^ coefficient
        return result

    return [bytes([*(value(one, x) for one in polynomials), x]) for x in places]


@given(st.binary(min_size=32, max_size=32), st.data())
def test_any_shares_that_are_enough_give_the_secret_in_any_order(secret: bytes, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(1, 255), min_size=2, max_size=6, unique=True))
    needed = data.draw(st.integers(2, len(places)))
    shares = data.draw(st.permutations(split(secret, places, needed)))
    assert combine_shares(shares[:needed]) == secret
    assert combine_shares(shares) == secret


def test_the_field_is_that_of_aes() -> None:
    # FIPS 197, section 4.2: {57} x {83} = {c1}, and {57} x {13} = {fe}
    assert (_multiply(0x57, 0x83), _multiply(0x57, 0x13)) == (0xC1, 0xFE)
    assert all(_multiply(value, _invert(value)) == 1 for value in range(1, 256))


@pytest.mark.parametrize(
    "shares", [[], [b"a\x01"], [b"a\x01", b"b\x01"], [b"a\x01", b"bb\x02"], [b"\x01", b"\x02"]]
)
def test_shares_that_do_not_belong_together_are_refused(shares: list[bytes]) -> None:
    with pytest.raises(Corrupt):
        combine_shares(shares)
