"""Each kind of failure says what failed, with which value and what to do; and whether to try again."""

from __future__ import annotations

import pytest

from shared.kernel.errors import (
    AlreadyExists,
    Conflict,
    Corrupt,
    GroundcrewError,
    Inconsistent,
    Locked,
    NotFound,
    Refused,
    Unavailable,
    UsageError,
)


@pytest.mark.parametrize(
    ("kind", "permanent"),
    [
        (GroundcrewError, False),
        (UsageError, True),
        (Refused, True),
        (Corrupt, True),
        (Inconsistent, True),
        (Unavailable, False),
        (NotFound, True),
        (AlreadyExists, True),
        (Conflict, False),
        (Locked, False),
    ],
)
def test_a_permanent_failure_is_not_tried_again(kind: type[GroundcrewError], permanent: bool) -> None:
    assert kind("x").permanent is permanent
    assert issubclass(kind, GroundcrewError)


@pytest.mark.parametrize(
    ("value", "hint", "text"),
    [
        (None, "", "the blob is gone"),
        ("a/b", "", "the blob is gone: a/b"),
        (0, "", "the blob is gone: 0"),
        ("", "", "the blob is gone: "),
        (None, "Restore it.", "the blob is gone. Restore it."),
        ("a/b", "Restore it.", "the blob is gone: a/b. Restore it."),
    ],
)
def test_a_failure_is_a_sentence(value: object, hint: str, text: str) -> None:
    error = Corrupt("the blob is gone", value=value, hint=hint)
    assert str(error) == text
    assert error.args == (text,), "what a traceback shows"
    assert (error.message, error.value, error.hint) == ("the blob is gone", value, hint)


def test_an_anonymous_caller_reads_no_value() -> None:
    assert Refused("not allowed", value="secret/name", hint="Ask anna.").public == "not allowed"
