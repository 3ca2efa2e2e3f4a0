"""Holding a database still for the moment in which its disks are copied."""

from __future__ import annotations

from typing import Protocol


class Freezable(Protocol):
    """A MongoDB server whose writes can be held back.

    https://www.mongodb.com/docs/manual/reference/command/fsync
    """

    def lock(self) -> None:
        """Flush everything and hold writes back until `unlock`; the lock outlives the connection.

        Raises `Refused` if the server did not lock, `Unavailable` if nobody knows whether it did.
        """
        ...

    def unlock(self) -> bool:
        """Take one lock back; whether there was one. Raises `Unavailable`."""
        ...

    def is_locked(self) -> bool:
        """Whether anybody's lock is held. Raises `Unavailable`, `Refused`."""
        ...
