"""Keys put together from shares: any that are enough, in any order; and what does not belong together."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formats.shamir import _invert, _multiply, combine_shares, split_secret
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


@given(st.binary(min_size=1, max_size=40), st.data())
def test_what_is_split_comes_together_from_any_shares_that_are_enough(
    secret: bytes, data: st.DataObject
) -> None:
    count = data.draw(st.integers(2, 6))
    needed = data.draw(st.integers(2, count))
    shares = split_secret(secret, count, needed)
    assert len({share[-1] for share in shares}) == count
    assert all(share[-1] for share in shares)  # at zero is the secret itself
    chosen = data.draw(st.permutations(shares))
    assert combine_shares(chosen[:needed]) == secret
    if needed > 2:
        # One too few fits every secret equally well; that it is this one is chance.
        assert len(secret) < 4 or combine_shares(chosen[: needed - 1]) != secret


def test_the_same_secret_is_split_otherwise_each_time() -> None:
    first, second = (split_secret(bytes(32), 3, 2) for _ in range(2))
    assert {share[:-1] for share in first}.isdisjoint({share[:-1] for share in second})
    # A share alone is as random as the polynomial: of 32 zero bytes hardly one shows.
    assert all(share[:-1].count(0) < 8 for share in (*first, *second))


def test_there_are_as_many_shares_as_a_byte_has_places() -> None:
    shares = split_secret(b"s", 255, 2)
    assert sorted(share[-1] for share in shares) == [*range(1, 256)]
    assert combine_shares(shares[100:102]) == b"s"
    with pytest.raises(ValueError, match="2 of 2 shares"):
        split_secret(b"", 2, 2)


@pytest.mark.parametrize(("count", "needed"), [(1, 1), (2, 1), (2, 3), (256, 2)])
def test_a_split_that_hides_nothing_or_cannot_be_is_none(count: int, needed: int) -> None:
    with pytest.raises(ValueError, match="shares"):
        split_secret(b"secret", count, needed)


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
