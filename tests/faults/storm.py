"""Faults by chance: which, where and how often is drawn from a seed, so that a failure can be repeated."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from local.fakes.faults import Fault, FaultPlan, Killed
from shared.kernel.errors import Conflict, GroundcrewError, Unavailable

T = TypeVar("T")

# What may happen to any step that a job takes outside of itself: the error, and whether the step was done.
STEP_FAULTS: dict[str, Callable[[int], Fault]] = {
    "killed before a step": lambda step: Fault(Killed(), step=step),
    "killed after a step": lambda step: Fault(Killed(), step=step, when="after"),
    "no connection, once": lambda step: Fault(Unavailable("connection refused"), step=step),
    "no connection, five times": lambda step: Fault(Unavailable("connection refused"), step=step, times=5),
    "an answer that was lost": lambda step: Fault(Unavailable("timed out"), step=step, when="after"),
    "too many requests (429)": lambda step: Fault(Unavailable("429 TooManyRequests"), step=step, times=2),
    "written by another in between": lambda step: Fault(Conflict("it was changed meanwhile"), step=step),
    "out of memory": lambda step: Fault(MemoryError("out of memory"), step=step),
}
_MOST_STRIKES = 3


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

    def choose(self, *names: str) -> str:
        """One of these faults, or one of a step."""
        return self.random.choice([*STEP_FAULTS, *names])

    def note(self, name: str) -> None:
        """The fault has happened."""
        self.tried[name] += 1

    def strike(self, name: str, act: Callable[[FaultPlan], T], die: Callable[[], object]) -> None:
        """Run `act` with that fault at a step of it; a fault that it never came to counts for nothing."""
        fault = STEP_FAULTS[name](self.random.randrange(self._expected_steps))
        plan = FaultPlan(fault)
        with contextlib.suppress(Killed, GroundcrewError, MemoryError):
            act(plan)
        self._expected_steps = max(len(plan.steps), 10)
        if len(plan.steps) > fault.step:
            self.note(name)
        if plan.is_dead:
            die()

    _expected_steps = 100  # of the run before this one: a step is drawn from so many
