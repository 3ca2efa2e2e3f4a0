"""A gigabyte of Rocket.Chat-like BSON, made once, in the batches that MongoDB would give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from local.rocketchat.generate import generate_batches

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".local" / "bench"


class Data:
    """Batches in a file, with an index of (collection, length); reading them costs no memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: list[tuple[str, int]] = json.loads(path.with_suffix(".json").read_text())
        self.total_bytes = sum(length for _, length in self._index)

    def read_batches(self, megabytes: float = float("inf")) -> Iterator[tuple[str, bytes]]:
        """(collection, concatenated raw documents), up to `megabytes`; batches of one follow each other."""
        with self.path.open("rb") as file:
            for collection, length in self._index:
                if file.tell() >= megabytes * 1e6:
                    return
                yield collection, file.read(length)

    @property
    def collections(self) -> list[str]:
        """In the order in which they come."""
        return list(dict.fromkeys(collection for collection, _ in self._index))


def prepare(megabytes: int) -> Data:
    """Generate the data, or take what an earlier run generated."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"batches-{megabytes}.bson"
    if not path.with_suffix(".json").exists():
        index = []
        with path.open("wb") as file:
            for collection, batch in sorted_batches(megabytes):
                file.write(batch)
                index.append((collection, len(batch)))
        path.with_suffix(".json").write_text(json.dumps(index))
    return Data(path)


def sorted_batches(megabytes: int) -> Iterator[tuple[str, bytes]]:
    """The generator gives a collection's batches one after the other already; say so if it ever does not."""
    seen: set[str] = set()
    current = ""
    for collection, batch in generate_batches(megabytes, 1):
        if collection != current:
            if collection in seen:
                raise RuntimeError(f"{collection} came twice")
            seen.add(collection)
            current = collection
        yield collection, batch
