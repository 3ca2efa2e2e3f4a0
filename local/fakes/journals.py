"""Journals of restores in memory."""

from __future__ import annotations


class MemoryJournals:
    """`JournalStore` in a dictionary."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def read(self, key: str) -> bytes | None:
        """None if there is none."""
        return self.stored.get(key)

    def write(self, key: str, data: bytes) -> None:
        """Replace it."""
        self.stored[key] = data

    def remove(self, key: str) -> None:
        """Removing one that does not exist is fine."""
        self.stored.pop(key, None)
