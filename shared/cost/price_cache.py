"""Answers of the Retail Prices API, kept in the state with their age: prices change about once a month."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_timestamp

FRESH = timedelta(days=7)


class PriceCache:
    """Keeps answers by key under `prices/`. With `accept_stale` old ones will do; `oldest` says how old."""

    def __init__(self, blobs: Blobs, clock: Clock, *, fresh: timedelta = FRESH) -> None:
        self._blobs, self._clock, self._fresh = blobs, clock, fresh
        self.accept_stale = False
        self.oldest: datetime | None = None  # of the answers that were given since

    def read(self, key: str) -> str | None:
        """What was kept and is still fresh, else None."""
        name = _cache_name(key)
        try:
            data = decode_json(self._blobs.read(name)[0], name)
            at, text = parse_timestamp(data["at"]), str(data["text"])
        # Asked for anew: a cache is no record, whose damage somebody would have to know of.
        except (NotFound, Corrupt, ValueError, TypeError, KeyError):
            return None
        if not self.accept_stale and self._clock.now() - at >= self._fresh:
            return None
        self.oldest = at if self.oldest is None else min(self.oldest, at)
        return text

    def write(self, key: str, text: str) -> None:
        """Keep it, as of now."""
        data = {"at": self._clock.now().isoformat(), "key": key, "text": text}
        self._blobs.replace(_cache_name(key), encode_json(data), etag=None)


def _cache_name(key: str) -> str:
    # The key is a query with quotes and spaces, which a blob's name had better not have.
    return f"prices/{sha256(key.encode()).hexdigest()[:40]}.json"
