"""What a real cluster can be told of how its nodes and controllers behave: to stop, and to go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

Skip = Callable[[str], NoReturn]
"""Ends a test with the reason why it cannot be run."""


@dataclass
class RealBehaviour:
    """As `local.kubernetes.behaviour`, as far as a real cluster can be told."""

    _pids: list[int]
    _skip: Skip
    _paused: bool = False

    @property
    def paused(self) -> bool:
        """Whether controllers, scheduler and node are stopped."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        if paused and not self._pids:
            self._skip("the controllers of this cluster cannot be stopped")
        for pid in self._pids if paused != self._paused else ():
            os.kill(pid, signal.SIGSTOP if paused else signal.SIGCONT)
        self._paused = paused

    def __getattr__(self, name: str) -> NoReturn:
        self._skip(f"only the stand-in can be told its {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("_pids", "_skip", "_paused", "paused"):
            self._skip(f"only the stand-in can be told its {name}")
        object.__setattr__(self, name, value)
