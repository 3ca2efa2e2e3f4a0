"""Objects in memory with one revision counter and a log of changes, as etcd keeps them.

Stored objects are never changed in place: whoever wants another state puts a new object. So a reference
that was handed out stays what it was, and only those who edit need to copy.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from local.kubernetes.errors import Object, expired_error
from local.kubernetes.resources import Bucket

ChangeKind = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Change:
    """One revision: what the object is since then, and what it was before."""

    revision: int
    kind: ChangeKind
    bucket: Bucket
    item: Object
    before: Object | None = None


class Store:
    """Thread-safe; `lock` is reentrant, so that a caller can read and write as one step."""

    def __init__(self, *, kept_changes: int = 20_000) -> None:
        self.lock = threading.RLock()
        self.revision = 1
        self._kept_changes = kept_changes
        self._items: dict[Bucket, dict[tuple[str, str], Object]] = {}
        self._log: list[Change] = []
        self._compacted = 0
        self._listeners: list[Callable[[], None]] = []

    def get(self, bucket: Bucket, namespace: str, name: str) -> Object | None:
        """The object, not to be changed, or None."""
        with self.lock:
            return self._items.get(bucket, {}).get((namespace, name))

    def items(self, bucket: Bucket, namespace: str = "") -> list[Object]:
        """All objects of a kind, in one namespace or in all, by namespace and name; not to be changed."""
        with self.lock:
            objects = self._items.get(bucket, {})
            return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def all(self) -> Iterator[tuple[Bucket, Object]]:
        """Every object there is, as of now."""
        with self.lock:
            return iter([(bucket, item) for bucket, items in self._items.items() for item in items.values()])

    def put(self, bucket: Bucket, item: Object) -> Object:
        """Keep this object under its namespace and name, with the next revision as its resourceVersion."""
        with self.lock:
            self.revision += 1
            item["metadata"]["resourceVersion"] = str(self.revision)
            meta = item["metadata"]
            items = self._items.setdefault(bucket, {})
            key = (meta.get("namespace", ""), meta["name"])
            before = items.get(key)
            items[key] = item
            self._record_change("ADDED" if before is None else "MODIFIED", bucket, item, before)
            return item

    def remove(self, bucket: Bucket, namespace: str, name: str) -> Object | None:
        """Take the object away; its last state carries the revision of the removal."""
        with self.lock:
            before = self._items.get(bucket, {}).pop((namespace, name), None)
            if before is None:
                return None
            self.revision += 1
            meta = {**before["metadata"], "resourceVersion": str(self.revision)}
            last = {**before, "metadata": meta}
            self._record_change("DELETED", bucket, last, before)
            return last

    def _record_change(self, kind: ChangeKind, bucket: Bucket, item: Object, before: Object | None) -> None:
        self._log.append(Change(self.revision, kind, bucket, item, before))
        if len(self._log) > self._kept_changes:
            self.compact(self._log[len(self._log) // 2].revision)
        for listener in self._listeners:
            listener()

    def compact(self, revision: int | None = None) -> None:
        """Forget the changes up to a revision (by default all), so that older watches get 410."""
        with self.lock:
            self._compacted = self.revision if revision is None else revision
            self._log = [change for change in self._log if change.revision > self._compacted]

    def list_changes(self, revision: int, bucket: Bucket | None = None) -> list[Change]:
        """The changes after a revision. Raises `ApiError` 410 if some of them are forgotten."""
        with self.lock:
            if revision < self._compacted:
                raise expired_error(f"too old resource version: {revision} ({self._compacted})")
            start = bisect.bisect_right(self._log, revision, key=lambda change: change.revision)
            return [change for change in self._log[start:] if bucket is None or change.bucket == bucket]

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each change, on the thread that made it; returns how to end that."""
        with self.lock:
            self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def load(self, revision: int, items: list[tuple[Bucket, Object]]) -> None:
        """Begin with what was kept by an earlier process; older watches get 410."""
        with self.lock:
            self.revision = self._compacted = revision
            for bucket, item in items:
                meta = item["metadata"]
                self._items.setdefault(bucket, {})[meta.get("namespace", ""), meta["name"]] = item
