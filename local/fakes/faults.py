"""Makes any port fail at a chosen step, so that a test can kill a job at every step it takes.

    plan = Plan()
    job(with_faults(blobs, plan, "blobs"), with_faults(queues, plan, "queues"))  # counts the steps
    for step in range(len(plan.steps)):
        job(with_faults(..., Plan(Fault(Killed(), step=step, when="after")), ...)

One plan can serve several ports; it numbers their operations in the order in which they begin. What an
operation returns is watched too: each item of an iterator, entering and leaving a context manager, and the
operations of an upload or a lease are steps of their own (`blobs.upload.write`, `blobs.lease.exit`).
"""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, TypeVar, cast

from shared.kernel.secret import Secret

T = TypeVar("T")

_END = object()
_PLAIN = (str, bytes, int, float, tuple, list, dict, set, frozenset, datetime, Secret, type(None))


class Killed(BaseException):
    """The process died here. Not an `Exception`, so that no handler mistakes it for a failure."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Raise `error` at step number `step` (from 0), counting only `operation` if that is given.

    `before`: the operation did not happen; `after`: it did, but its answer was lost. `times` steps in a row.
    """

    error: BaseException
    step: int = 0
    operation: str = ""
    when: Literal["before", "after"] = "before"
    times: int = 1

    def is_step(self, operation: str, number: int, number_of_its_kind: int) -> bool:
        """Whether this is the step."""
        if self.operation:
            number = number_of_its_kind if self.operation == operation else -1
        return self.step <= number < self.step + self.times


class FaultPlan:
    """The faults to come and the steps that were begun, by name. Safe for threads.

    After a `Killed` every further step raises it too: a dead process cleans nothing up.
    """

    def __init__(self, *faults: Fault) -> None:
        self.steps: list[str] = []
        # Beside the list, since counting in it makes a long night's steps cost the square of their number.
        self._begun: Counter[str] = Counter()
        self._faults = faults
        self._lock = threading.Lock()
        self._death: BaseException | None = None

    @property
    def is_dead(self) -> bool:
        """Whether the process was killed."""
        return self._death is not None

    def count(self, operation: str) -> int:
        """How often the operation was begun."""
        return self._begun[operation]

    def run(self, operation: str, act: Callable[[], T]) -> T:
        """Do one step, or fail as planned."""
        faults = self._begin_step(operation)
        for fault in faults:
            if fault.when == "before":
                raise self._error_of(fault)
        try:
            answer = act()
        except Exception as error:
            for fault in faults:  # a refusal is an answer too, and may be lost like one
                raise self._error_of(fault) from error
            raise
        for fault in faults:
            raise self._error_of(fault)
        return answer

    def _begin_step(self, operation: str) -> list[Fault]:
        with self._lock:
            if self._death is not None:
                raise Killed("it is dead already") from self._death
            number, of_its_kind = len(self.steps), self._begun[operation]
            self.steps.append(operation)
            self._begun[operation] += 1
        return [fault for fault in self._faults if fault.is_step(operation, number, of_its_kind)]

    def _error_of(self, fault: Fault) -> BaseException:
        if isinstance(fault.error, Killed):
            self._death = fault.error
        return fault.error


def with_faults(inner: T, plan: FaultPlan, name: str) -> T:
    """The same port with the plan in between; its operations are named `name.method`."""
    return cast(T, _Faulty(inner, plan, name))


class _Faulty:
    def __init__(self, inner: Any, plan: FaultPlan, name: str) -> None:
        self._inner, self._plan, self._name = inner, plan, name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._inner, attribute)
        if not callable(value):
            return value
        operation = f"{self._name}.{attribute}"

        def step(*args: Any, **kwargs: Any) -> Any:
            answer = self._plan.run(operation, lambda: value(*args, **kwargs))
            return _wrap_answer(answer, self._plan, operation)

        return step


class _FaultyContext(_Faulty):
    def __enter__(self) -> Any:
        entered = self._plan.run(f"{self._name}.enter", self._inner.__enter__)
        return _wrap_answer(entered, self._plan, self._name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        return self._plan.run(f"{self._name}.exit", lambda: self._inner.__exit__(kind, error, trace))


def _wrap_answer(answer: Any, plan: FaultPlan, operation: str) -> Any:
    if isinstance(answer, _PLAIN) or dataclasses.is_dataclass(answer):
        return answer
    if isinstance(answer, Iterator):
        return _wrap_items(answer, plan, f"{operation}.next")
    wrapper = _FaultyContext if hasattr(answer, "__exit__") else _Faulty
    return wrapper(answer, plan, operation)


def _wrap_items(iterator: Iterator[Any], plan: FaultPlan, operation: str) -> Iterator[Any]:
    while True:
        item = plan.run(operation, lambda: next(iterator, _END))
        if item is _END:
            return
        yield item
