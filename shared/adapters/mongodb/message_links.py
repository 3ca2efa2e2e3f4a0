"""How many messages link to a path of the server. Their text is compared by MongoDB, and not read here."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pymongo import errors

from shared.upgrades.model import ProbeResult, ProbeSubject

_COLLECTION = "rocketchat_message"
_LINK_FIELDS = (
    "msg", "urls.url", "attachments.title_link", "attachments.image_url", "attachments.video_url",
    "attachments.audio_url",
)  # fmt: skip
# All messages have to be read: there is no index of what stands within a text. That may take longer than
# there is time for, so the newest come first, a window of time after the other, by the index of `ts` that
# Rocket.Chat makes (packages/models/src/models/Messages.ts). A window is widened while it is quick to count.
_WINDOW_SECONDS, _QUICK_SECONDS = 1.0, 0.3
_FIRST_WINDOW, _SHORTEST_WINDOW = timedelta(days=1), timedelta(minutes=1)
# No message is older than Rocket.Chat, whose first release is of that year.
_BEGINNING = datetime(2015, 1, 1, tzinfo=UTC)


class CountDocuments(Protocol):
    """Counts what fits in a collection. Raises `ExecutionTimeout`, at once where no time is left at all."""

    def __call__(
        self, collection: str, query: dict[str, Any], *, within: dict[str, Any], seconds: float
    ) -> int:
        """The number of documents that fit, of those `within` which an index finds."""
        ...


def count_message_links(count: CountDocuments, path: str, now: datetime) -> ProbeResult:
    """How many messages have a link with `path` in it.

    All of them if there is time. Otherwise at least those among the newest, with the time before which none
    was counted. Raises `ExecutionTimeout` where not even those of the last minute were: nothing can be said.
    """
    pattern = {"$regex": re.escape(path)}
    query: dict[str, Any] = {"$or": [{field: pattern} for field in _LINK_FIELDS]}
    links, counted_to = _count_newest(count, query, now)
    if counted_to > _BEGINNING:
        return _build_result(links, f"before {counted_to:%Y-%m-%d %H:%M} UTC")
    try:
        # What is in no window: without a time, of before all times, or with something else in its place.
        rest = count(
            _COLLECTION, query, within={"ts": {"$not": {"$gte": _BEGINNING}}}, seconds=_WINDOW_SECONDS
        )
    except errors.ExecutionTimeout:
        return _build_result(links, "without a time")
    return _build_result(links + rest)


def _count_newest(count: CountDocuments, query: dict[str, Any], now: datetime) -> tuple[int, datetime]:
    """Window by window into the past, until there is no time left; how many, and since when they are."""
    counted_to, window, links = now, _FIRST_WINDOW, 0
    while counted_to > _BEGINNING and window >= _SHORTEST_WINDOW:
        # By subtraction of times, not of a width that may go below what a time can hold.
        since = counted_to - window if counted_to - _BEGINNING > window else _BEGINNING
        # Nothing ends the first one: a sender's clock may be ahead.
        times = {"$gte": since} if counted_to == now else {"$gte": since, "$lt": counted_to}
        begin = time.monotonic()
        try:
            links += count(_COLLECTION, query, within={"ts": times}, seconds=_WINDOW_SECONDS)
        except errors.ExecutionTimeout:
            # Too many messages for one query, or no time left: then the shorter ones are refused at once.
            window /= 4
            continue
        counted_to = since
        if time.monotonic() - begin < _QUICK_SECONDS:
            window *= 2
    if counted_to == now:
        raise errors.ExecutionTimeout("not even the newest messages were counted in time")
    return links, counted_to


def _build_result(links: int, missing: str = "") -> ProbeResult:
    subjects = (ProbeSubject(count=links),) if links else ()
    unknown = f"MongoDB took too long for those {missing}" if missing else ""
    return ProbeResult(subjects, unknown, at_least=bool(unknown))
