"""The part of the MongoDB in memory that deletes by the ids that a field holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import bson


class MemoryEraser:
    """What `MemoryDatabase` has for erasures."""

    _documents: dict[str, dict[bytes, bytes]]

    def find_values(self, db: str, collection: str, wanted: str, field: str, ids: Sequence[str]) -> list[str]:
        """Paths go through lists, as the server's do."""
        matching = (document for _, document in self._matching(f"{db}.{collection}", field, ids))
        values = (value for document in matching for value in _walk(document, wanted.split(".")))
        return sorted({value for value in values if isinstance(value, str)})

    def delete_where(self, db: str, collection: str, field: str, ids: Sequence[str]) -> int:
        """How many there were."""
        name = f"{db}.{collection}"
        doomed = [key for key, _ in self._matching(name, field, ids)]
        for key in doomed:
            del self._documents[name][key]
        return len(doomed)

    def unset_where(self, db: str, collection: str, field: str, ids: Sequence[str], name: str) -> int:
        """How many had the field."""
        changed = [(k, d) for k, d in self._matching(f"{db}.{collection}", field, ids) if name in d]
        for key, document in changed:
            del document[name]
            self._documents[f"{db}.{collection}"][key] = bson.encode(document)
        return len(changed)

    def _matching(self, name: str, field: str, ids: Sequence[str]) -> list[tuple[bytes, dict[str, Any]]]:
        decoded = [(key, bson.decode(raw)) for key, raw in self._documents.get(name, {}).items()]
        return [(k, d) for k, d in decoded if any(value in ids for value in _walk(d, field.split(".")))]


def _walk(value: Any, steps: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _walk(each, steps)
    elif not steps:
        yield value
    elif isinstance(value, dict) and steps[0] in value:
        yield from _walk(value[steps[0]], steps[1:])
