"""Deterministic randomness at the speed a benchmark needs: ids, numbers and Zipf-weighted picks in bulk."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeVar

from bson.datetime_ms import DatetimeMS

T = TypeVar("T")

# The alphabet of Meteor's Random.id(); 256 bytes fold onto its 55 signs, a bias that harms nobody here.
ID_SIGNS = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
_FOLD = bytes(ord(ID_SIGNS[i % len(ID_SIGNS)]) for i in range(256))
_SLOTS = 1 << 16
_POOL = 1 << 15


class Dice:
    """One stream of chance, named by the seed and its purpose, so that streams do not disturb each other."""

    def __init__(self, seed: int, purpose: str) -> None:
        self.rng = random.Random(f"{seed}:{purpose}")
        self.random = self.rng.random
        self._ids = self._make_ids()

    def _make_ids(self) -> Iterator[str]:
        while True:
            text = self.rng.randbytes(17 * 1024).translate(_FOLD).decode("ascii")
            for start in range(0, len(text), 17):
                yield text[start : start + 17]

    def make_id(self) -> str:
        """Like Meteor's `Random.id()`: 17 signs."""
        return next(self._ids)

    def make_object_id(self) -> str:
        """An ObjectId's 24 hex digits as a string."""
        return self.rng.randbytes(12).hex()

    def bytes(self, count: int) -> bytes:
        """Incompressible bytes."""
        return self.rng.randbytes(count)

    def draw_below(self, end: int) -> int:
        """A whole number from 0 up to `end`, exclusive; faster than `randrange`."""
        return int(self.random() * end)

    def draw_between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both inclusive."""
        return low + int(self.random() * (high - low + 1))

    def draw_bool(self, probability: float) -> bool:
        """True with that probability."""
        return self.random() < probability

    def pick_one(self, things: Sequence[T]) -> T:
        """One of them, all equally likely."""
        return things[int(self.random() * len(things))]

    def pick_some(self, things: Sequence[T], count: int) -> list[T]:
        """At most `count` different ones, in random order; several times as fast as `sample` for a few."""
        end = len(things)
        size = min(count, end)
        if size > 5:
            return self.rng.sample(things, size)
        chosen: dict[int, None] = {}
        while len(chosen) < size:
            chosen[int(self.random() * end)] = None
        return [things[index] for index in chosen]

    def lognormal(self, median: float, spread: float, *, low: int, high: int) -> int:
        """A whole number with a long tail, such as a file's size."""
        return max(low, min(high, int(self.rng.lognormvariate(0.0, spread) * median)))

    def zipf(self, things: Sequence[T], *, flat: float = 2.7, power: float = 1.0) -> Iterator[T]:
        """Endless picks where the n-th thing comes with weight 1/(n+flat)^power.

        Works by a table of 65,536 slots, at about 60 ns a pick; each thing has at least one slot.
        """
        return self.from_table(zipf_table(things, flat=flat, power=power))

    def pick_forever(self, things: Sequence[T]) -> Iterator[T]:
        """Endless picks, all (nearly) equally likely; four times as fast as `pick_one`."""
        return self.from_table(even_table(things))

    def from_table(self, table: Sequence[T]) -> Iterator[T]:
        """Endless picks from a table of 65,536 slots, made by `zipf_table` or `even_table`."""
        numbers = iter(lambda: array("H", self.rng.randbytes(2 * _POOL)), None)
        return map(table.__getitem__, chain.from_iterable(numbers))


def split_words(text: str) -> tuple[str, ...]:
    """A long list of words, readable as a text."""
    return tuple(text.split())


def even_table(things: Sequence[T]) -> list[T]:
    """A table in which all things have (nearly) as many slots."""
    return [things[slot * len(things) >> 16] for slot in range(_SLOTS)]


def zipf_table(things: Sequence[T], *, flat: float = 2.7, power: float = 1.0) -> list[T]:
    """A table in which the n-th thing has slots in proportion to 1/(n+flat)^power, but one at least."""
    weights = [(rank + flat) ** -power for rank in range(len(things))]
    scale = (_SLOTS - len(things)) / sum(weights)
    table: list[T] = []
    for message, weight in zip(things, weights, strict=True):
        table.extend([message] * (1 + int(weight * scale)))
    return table + [things[0]] * (_SLOTS - len(table))


def bson_date(milliseconds: int) -> DatetimeMS:
    """A BSON date from milliseconds since 1970; several times cheaper to make and encode than a datetime."""
    return DatetimeMS(milliseconds)
