"""How many messages link to a path of the server. Their text is compared by MongoDB, and not read here."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Protocol

from pymongo import errors

from shared.upgrades.model import ProbeResult, ProbeSubject

# So many are found early in a database that has many, however large it is.
ENOUGH_LINKS = 1_000
# All messages have to be read: there is no index of what stands within a text.
_TIMEOUT_MS = 5_000
_LINK_FIELDS = (
    "msg", "urls.url", "attachments.title_link", "attachments.image_url", "attachments.video_url",
    "attachments.audio_url",
)  # fmt: skip


class CountDocuments(Protocol):
    """Counts what fits in a collection, to `limit` if one is given. Raises `ExecutionTimeout`."""

    def __call__(
        self, collection: str, query: dict[str, Any], *, most_ms: int, limit: int | None = None
    ) -> int:
        """The number of documents."""
        ...


def count_message_links(count: CountDocuments, path: str) -> ProbeResult:
    """How many messages have a link with `path` in it: all of them, or at least `ENOUGH_LINKS`.

    Raises `ExecutionTimeout` where not even so many were found in time: nothing can be said then.
    """
    pattern = {"$regex": re.escape(path)}
    query = {"$or": [{field: pattern} for field in _LINK_FIELDS]}
    count_links = partial(count, "rocketchat_message", query, most_ms=_TIMEOUT_MS)
    # The one that stops early comes first: a count of all may come to nothing, and what fires the rule is
    # that there are any.
    found = count_links(limit=ENOUGH_LINKS)
    if found < ENOUGH_LINKS:
        return ProbeResult((ProbeSubject(count=found),) if found else ())
    try:
        return ProbeResult((ProbeSubject(count=count_links()),))
    except errors.ExecutionTimeout:
        return ProbeResult((ProbeSubject(count=found),), at_least=True)
