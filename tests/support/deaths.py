"""The deaths of a process that differ: killed at two points between which nothing was written is the same.

Memory is gone with the process, so that what it leaves behind is the world outside, and a death after a step
is a death before the next one. A job that reads a lot has four steps for one that matters.
"""

from __future__ import annotations

import copyreg
import hashlib
import io
import pickle
import threading
from collections import Counter
from collections.abc import Callable
from types import FunctionType
from typing import TypeVar

from pydantic import BaseModel

from local.fakes.faults import Fault, FaultPlan, Killed

T = TypeVar("T")

# Locks are nothing that a process leaves behind: a copy gets a new one.
copyreg.pickle(type(threading.Lock()), lambda _lock: (threading.Lock, ()))
copyreg.pickle(type(threading.RLock()), lambda _lock: (threading.RLock, ()))


class _Fingerprint(pickle.Pickler):
    def persistent_id(self, value: object) -> str | None:
        """Functions by their names; policies, and counts of calls, which reading changes too, not at all."""
        if isinstance(value, FunctionType):
            return value.__qualname__
        return type(value).__name__ if isinstance(value, (Counter, BaseModel)) else None


def fingerprint_of(world: object) -> bytes:
    """The same for two states of a world between which nothing has changed."""
    written = io.BytesIO()
    _Fingerprint(written).dump(world)
    return hashlib.sha256(written.getvalue()).digest()


class WatchedSteps(FaultPlan):
    """No faults: notes what the world was like before each step."""

    def __init__(self, world: object) -> None:
        super().__init__()
        self._world = world
        self._before: list[bytes] = []

    def run(self, operation: str, act: Callable[[], T]) -> T:
        self._before.append(fingerprint_of(self._world))
        return super().run(operation, act)

    def list_deaths(self) -> list[Fault]:
        """A death in each of the worlds that the steps went through, the last one included."""
        pairs = zip([b"", *self._before], self._before, strict=False)
        steps = [number for number, (earlier, now) in enumerate(pairs) if earlier != now]
        return [*(Fault(Killed(), step=step) for step in steps),
                Fault(Killed(), step=len(self.steps) - 1, when="after")]  # fmt: skip
