"""GitHub's refusals in our words: whether it is tried again, and when, is decided by nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from shared.adapters.github.errors import parse_retry_after, to_error
from shared.deploy.ports.forge import RateLimited
from shared.kernel.errors import (
    Conflict,
    GroundcrewError,
    NotFound,
    Refused,
    Unavailable,
    UsageError,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOON = int(NOW.timestamp()) + 600
DAY = timedelta(days=1)


def error_of(status: int, message: str = "", **headers: str) -> GroundcrewError:
    spelled = {name.replace("_", "-"): value for name, value in headers.items()}
    content = json.dumps({"message": message}).encode() if message else b""
    return to_error(status, spelled, content, "GET /repos/a/b", NOW)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "", UsageError),
        (401, "Bad credentials", Refused),
        (403, "Resource not accessible by integration", Refused),
        (404, "Not Found", NotFound),
        (408, "", Unavailable),
        (409, "is at 1 but expected 2", Conflict),
        (410, "", NotFound),
        (422, "Validation Failed", UsageError),
        (422, "No commit found for SHA: abc", NotFound),
        (451, "", NotFound),
        (500, "", Unavailable),
        (503, "", Unavailable),
        (499, "No commit found for SHA: abc", UsageError),
    ],
)
def test_each_answer_is_of_one_kind(status: int, message: str, kind: type[GroundcrewError]) -> None:
    error = error_of(status, message)
    assert type(error) is kind


def test_what_was_asked_and_what_github_says_are_told() -> None:
    assert str(error_of(409, "is at 1")) == "GitHub: conflict: GET /repos/a/b: is at 1"
    assert str(error_of(400, "no")) == "GitHub: request rejected: GET /repos/a/b: HTTP 400: no"
    assert "HTTP 502" in str(error_of(502))
    assert "Renew it, or the App's key" in str(error_of(401))
    assert "may the token see it?" in str(error_of(404))


def test_a_missing_right_is_named_where_github_names_it() -> None:
    told = error_of(403, "not accessible", X_Accepted_GitHub_Permissions="checks=write")
    assert told.hint == "Grant checks=write"
    assert error_of(403, "x").hint == "See which rights the token or the App has"
    assert error_of(403, X_Accepted_GitHub_Permissions="x" * 300).hint == f"Grant {'x' * 200}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", ""),
        (b"<html>Not Found</html>", ""),
        (b"[]", ""),
        (b'{"message": 5}', ""),
        (b'{"message": "a\\nb\\u001b[31mc"}', "ab[31mc"),
        (json.dumps({"message": "x" * 300}).encode(), "x" * 200),
        (b"\xff", ""),
    ],
)
def test_of_an_answer_only_githubs_own_sentence_is_shown_and_cut(content: bytes, told: str) -> None:
    error = to_error(409, {}, content, "path", NOW)
    assert error.value == f"path: {told}"


def test_a_limit_is_told_with_when_it_ends() -> None:
    error = error_of(429, Retry_After="90")
    assert isinstance(error, RateLimited)
    assert error.retry_after == timedelta(seconds=90)
    assert str(error) == "GitHub: too many requests: GET /repos/a/b, again in 90 s"


@pytest.mark.parametrize(
    ("status", "headers", "content", "wait"),
    [
        (429, {"retry-after": "5"}, b"", timedelta(seconds=5)),
        (403, {"retry-after": "5"}, b"", timedelta(seconds=5)),
        (403, {"retry-after": "86400"}, b"", DAY),
        (403, {"retry-after": "999999999"}, b"", DAY),
        (403, {"retry-after": "0"}, b"", timedelta(0)),
        (429, {"retry-after": "soon"}, b"", timedelta(minutes=1)),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(SOON)}, b"", timedelta(minutes=10)),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, b"", timedelta(seconds=1)),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * 40}, b"", DAY),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(SOON + 90_000)}, b"", DAY),
        (403, {"x-ratelimit-remaining": "0"}, b"", timedelta(minutes=1)),
        (429, {"x-ratelimit-reset": str(SOON)}, b"", timedelta(minutes=10)),
        # Every answer says when the hour ends, which has nothing to do with the secondary limit.
        (429, {"x-ratelimit-remaining": "7", "x-ratelimit-reset": str(SOON)}, b"", timedelta(minutes=1)),
        (403, {"x-ratelimit-remaining": "7", "x-ratelimit-reset": str(SOON)}, b"", None),
        (403, {"x-ratelimit-reset": str(SOON)}, b"", None),
        (403, {}, b"You have exceeded a secondary Rate Limit", timedelta(minutes=1)),
        (403, {}, b"triggered an abuse detection mechanism", timedelta(minutes=1)),
        (403, {}, b"not allowed", None),
        (429, {}, b"", timedelta(minutes=1)),
        (404, {"retry-after": "5"}, b"rate limit", None),
        (503, {"retry-after": "5"}, b"", None),
    ],
)
def test_how_long_a_limit_wants_one_to_wait(
    status: int, headers: dict[str, str], content: bytes, wait: timedelta | None
) -> None:
    assert parse_retry_after(status, headers, content, NOW) == wait
