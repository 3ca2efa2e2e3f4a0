"""An endpoint that opens to a bearer token is closed without one, and to any other."""

from __future__ import annotations

import pytest

from shared.kernel.secret import Secret
from shared.web.bearer import has_valid_token, parse_tokens

OLD, NEW = "o" * 16, "n" * 32


@pytest.mark.parametrize("header", [f"Bearer {NEW}", f"bearer {OLD}", f"BEARER  {NEW} "])
def test_either_of_two_tokens_opens_it(header: str) -> None:
    assert has_valid_token(header, parse_tokens(f"{OLD}\n{NEW}"))


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", f"Basic {NEW}", NEW, f"Bearer {NEW[:-1]}", f"Bearer {NEW}x", "Bearer ü"],
)
def test_anything_else_does_not(header: str) -> None:
    assert not has_valid_token(header, parse_tokens(NEW))


@pytest.mark.parametrize("setting", ["", "  ", "short", "x" * 15])
def test_without_a_token_of_some_length_it_is_closed(setting: str) -> None:
    assert not has_valid_token(f"Bearer {setting}", parse_tokens(setting))
    assert not has_valid_token("Bearer ", parse_tokens(setting))


def test_a_request_without_a_token_does_not_fit_an_empty_one() -> None:
    for header in ("", "Bearer ", "Basic " + NEW):
        assert has_valid_token(header, [Secret("")]) is False
