"""Deleting documents by the ids that a field of theirs holds, for what was erased on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from shared.adapters.mongodb.client import Client, translate_errors
from shared.adapters.mongodb.reading import Reader
from shared.adapters.mongodb.retrying import Retry


class Eraser(Reader):
    """The part of `TargetDatabase` that is about erasures; a repeated command finds less and does no harm."""

    def __init__(self, client: Client, retry: Retry | None = None) -> None:
        super().__init__(client)
        self._retry = retry or Retry()

    def find_values(self, db: str, collection: str, wanted: str, field: str, ids: Sequence[str]) -> list[str]:
        """See the port."""
        with translate_errors(f"looking for files in {db}.{collection}"):
            # Not `distinct`, whose answer is one document of 16 MiB at the most.
            batch: list[dict[str, Any]] = self._retry.run(
                lambda _: list(self._client[db][collection].find(_query(field, ids), {wanted: 1}))
            )
        values = {value for document in batch for value in _walk(document, wanted.split("."))}
        return sorted(value for value in values if isinstance(value, str))

    def delete_where(self, db: str, collection: str, field: str, ids: Sequence[str]) -> int:
        """See the port."""
        with translate_errors(f"deleting from {db}.{collection}"):
            return self._retry.run(
                lambda _: self._client[db][collection].delete_many(_query(field, ids)).deleted_count
            )

    def unset_where(self, db: str, collection: str, field: str, ids: Sequence[str], name: str) -> int:
        """See the port."""
        change = {"$unset": {name: ""}}
        with translate_errors(f"changing {db}.{collection}"):
            return self._retry.run(
                lambda _: self._client[db][collection].update_many(_query(field, ids), change).modified_count
            )


def _walk(value: Any, steps: Sequence[str]) -> Iterator[Any]:
    """What is at the end of the path, which leads through lists as a query's does."""
    if isinstance(value, list):
        for each in value:
            yield from _walk(each, steps)
    elif not steps and not isinstance(value, dict):
        yield value
    elif steps and isinstance(value, dict) and steps[0] in value:
        yield from _walk(value[steps[0]], steps[1:])


def _query(field: str, ids: Sequence[str]) -> dict[str, Any]:
    return {field: {"$in": list(ids)}}
