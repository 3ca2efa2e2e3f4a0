"""Faults by chance: which, where and how often is drawn from a seed, so that a failure can be repeated."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.faults import Fault, FaultPlan, Killed
from shared.kernel.errors import AlreadyExists, Conflict, GroundcrewError, Unavailable

T = TypeVar("T")

# What may happen to any step that a job takes outside of itself: the error, and whether the step was done.
STEP_FAULTS: dict[str, Callable[[int], Fault]] = {
    "killed before a step": lambda step: Fault(Killed(), step=step),
    "killed after a step": lambda step: Fault(Killed(), step=step, when="after"),
    "no connection, once": lambda step: Fault(Unavailable("connection refused"), step=step),
    "no connection, five times": lambda step: Fault(Unavailable("connection refused"), step=step, times=5),
    "an answer that was lost": lambda step: Fault(Unavailable("timed out"), step=step, when="after"),
    "server busy (503)": lambda step: Fault(Unavailable("503 ServerBusy"), step=step, times=3),
    "too many requests (429)": lambda step: Fault(Unavailable("429 TooManyRequests"), step=step, times=2),
    "written by another in between": lambda step: Fault(Conflict("it was changed meanwhile"), step=step),
    "out of memory": lambda step: Fault(MemoryError("out of memory"), step=step),
    "disk full": lambda step: Fault(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), step=step),
}
_MOST_STRIKES = 3


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a job stands in: its clock, and the container of its records, locks and holds."""

    clock: ManualClock
    state: MemoryBlobs


class StorageClock:
    """The storage's own clock: a worker whose clock is put back does not put back that one."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock, self._latest = clock, clock.now()

    def now(self) -> datetime:
        """Never earlier than it was."""
        self._latest = max(self._latest, self._clock.now())
        return self._latest


def _steal_leases(around: Surroundings, _source: random.Random) -> None:
    """Whoever may break a lease may do so at any time; so may a platform that moves an account."""
    for blob in around.state.list():
        with contextlib.suppress(GroundcrewError):
            around.state.break_lease(blob.name)


def _put_foreign_blob(around: Surroundings, source: random.Random) -> None:
    """Somebody's file, in one of the folders that the job lists."""
    if names := [blob.name for blob in around.state.list()]:
        folder = source.choice(names).rpartition("/")[0]
        with contextlib.suppress(AlreadyExists):
            around.state.create(f"{folder}/{source.randrange(1000)}.json", source.randbytes(40))


def _put_half_blob(around: Surroundings, source: random.Random) -> None:
    """The first half of a record under another name: what a copy tool that died leaves behind."""
    names = [blob.name for blob in around.state.list() if not blob.name.startswith("locks/")]
    if names:
        name = source.choice(names)
        data = around.state.read(name)[0]
        folder, _, last = name.rpartition("/")
        with contextlib.suppress(AlreadyExists):
            around.state.create(f"{folder}/copy-of-{last}", data[: len(data) // 2])


def _let_pass(span: timedelta) -> Callable[[Surroundings, random.Random], None]:
    return lambda around, _source: void(around.clock.advance(span))


def void(_value: object) -> None:
    """Nothing: for what is done for its effect."""


# What may happen around a job right before any step of it; the step itself then goes on.
WORLD_FAULTS: dict[str, Callable[[Surroundings, random.Random], None]] = {
    "a lease stolen": _steal_leases,
    "a foreign blob": _put_foreign_blob,
    "half of a blob": _put_half_blob,
    "a slow answer": _let_pass(timedelta(seconds=90)),
    "the clock six hours ahead": _let_pass(timedelta(hours=6)),
    "the clock back by two minutes": _let_pass(timedelta(minutes=-2)),
}


class StormPlan(FaultPlan):
    """A fault at a step, or something that happens around the job right before that step."""

    def __init__(self, *faults: Fault, step: int, happen: Callable[[], object] = lambda: None) -> None:
        super().__init__(*faults)
        self._step, self._happen = step, happen
        self.has_struck = False

    def run(self, operation: str, act: Callable[[], T]) -> T:
        """See `FaultPlan.run`."""
        if len(self.steps) >= self._step and not self.has_struck:
            self.has_struck = True
            self._happen()
        return super().run(operation, act)


@dataclass
class Storm:
    """One run's faults, and how often each was tried."""

    seed: int
    tried: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def strikes(self) -> range:
        """How many faults there are in this run."""
        return range(self.random.randint(1, _MOST_STRIKES))

    def choose(self, *names: str, without: tuple[str, ...] = ()) -> str:
        """One of these faults, of a step's, or of the world's."""
        all_names = [*STEP_FAULTS, *WORLD_FAULTS, *names]
        return self.random.choice([name for name in all_names if name not in without])

    def note(self, name: str) -> None:
        """The fault has happened."""
        self.tried[name] += 1

    def strike(
        self,
        name: str,
        act: Callable[[FaultPlan], T],
        die: Callable[[], object],
        around: Surroundings,
        *,
        happen: Callable[[], object] | None = None,
        steps: range | None = None,
    ) -> None:
        """Run `act` with that fault at a step of it; a fault that it never came to counts for nothing.

        `happen` is a fault of the job's own; `steps` are those among which one is drawn, by default all.
        """
        step = self.random.choice(steps or range(self._expected_steps))
        if name in WORLD_FAULTS:
            happen = partial(WORLD_FAULTS[name], around, self.random)
        if happen is not None:
            plan = StormPlan(step=step, happen=happen)
        else:
            plan = StormPlan(STEP_FAULTS[name](step), step=step)
        with contextlib.suppress(Killed, GroundcrewError, MemoryError, OSError):
            act(plan)
        self._expected_steps = max(len(plan.steps), 10)
        if plan.has_struck:
            self.note(name)
        if plan.is_dead:
            die()

    _expected_steps = 100  # of the run before this one: a step is drawn from so many
