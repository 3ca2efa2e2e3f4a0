"""GitHub's answers of 400 and above in our words, so that only their kind decides whether to try again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.deploy.ports.forge import RateLimited
from shared.kernel.errors import (
    Conflict,
    GroundcrewError,
    NotFound,
    Refused,
    Unavailable,
    UsageError,
)
from shared.kernel.timestamps import from_unix_seconds

Headers = Mapping[str, str]
_LIMITED = (b"rate limit", b"abuse detection")  # the secondary limit's words, and those of before 2021


def to_error(status: int, headers: Headers, content: bytes, path: str, now: datetime) -> GroundcrewError:
    """GitHub's answer of 400 and above in our words. `path` names what was asked for."""
    detail, lowered = _error_message(content), {key.lower(): value for key, value in headers.items()}
    wait = parse_retry_after(status, lowered, content, now)
    if wait is not None:
        when = f"{path}, again in {int(wait.total_seconds())} s"
        return RateLimited("GitHub: too many requests", value=when, retry_after=wait)
    if status == 401:
        return Refused("GitHub does not accept the token", value=path, hint="Renew it, or the App's key")
    if status == 403:
        permissions = lowered.get("x-accepted-github-permissions", "")
        hint = f"Grant {permissions[:200]}" if permissions else "See which rights the token or the App has"
        return Refused("GitHub: not allowed", value=f"{path}: {detail}", hint=hint)
    # Before 404 is believed: GitHub answers 404 to what a token may not see, too, so the hint names both.
    # 422 "No commit found for SHA" is how a commit that is gone is told.
    if status in (404, 410, 451) or (status == 422 and "no commit found" in detail.lower()):
        return NotFound("GitHub: not found", value=path, hint="Does it exist, and may the token see it?")
    if status == 409:
        return Conflict("GitHub: conflict", value=f"{path}: {detail}")
    if status >= 500 or status == 408:
        return Unavailable("GitHub: server error", value=f"HTTP {status}", hint="It is tried again")
    return UsageError("GitHub: request rejected", value=f"{path}: HTTP {status}: {detail}")


def parse_retry_after(status: int, headers: Headers, content: bytes, now: datetime) -> timedelta | None:
    """How long a rate limit wants one to wait; None if it is no rate limit. `headers` in lower case.

    Both limits are told with 403 or 429; the secondary one by its words alone, now and then in HTML. A minute
    is the least where nothing says how long.
    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
    """
    if status not in (403, 429):
        return None
    after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
    if after.isdecimal():
        # A day at most: a proxy's header must not put a deploy off for a year.
        return timedelta(seconds=min(int(after), 86_400))
    remaining = headers.get("x-ratelimit-remaining")
    spent = remaining == "0"
    # Every answer says when the hour ends, which has nothing to do with the secondary limit.
    if reset.isdecimal() and (spent or (status == 429 and remaining is None)):
        ends = from_unix_seconds(int(reset[:12])) or now + timedelta(days=1)
        return min(max(ends - now, timedelta(seconds=1)), timedelta(days=1))
    if spent or status == 429 or any(words in content.lower() for words in _LIMITED):
        return timedelta(minutes=1)
    return None


def _error_message(content: bytes) -> str:
    """GitHub's sentence, cut; nothing of what is not its JSON."""
    try:
        detail = json.loads(content)
    except ValueError:
        return ""
    text = detail.get("message") if isinstance(detail, dict) else None
    return "".join(one for one in text if one.isprintable())[:200] if isinstance(text, str) else ""
