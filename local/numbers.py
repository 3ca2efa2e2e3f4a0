"""Numbers in turn, for stand-ins that a test copies as they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RisingNumbers:
    """`next` gives the following one. `itertools.count` warns when it is copied, from Python 3.12 on."""

    following: int = 1

    def __next__(self) -> int:
        self.following += 1
        return self.following - 1
