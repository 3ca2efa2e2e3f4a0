"""Processes of their own for what may never end, crash, or leave the module changed."""

from __future__ import annotations

import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MEMORY_BYTES = 4 << 30  # a loop that a mutant never ends must not take the machine's memory


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a forked process ended: its exit code, None if a signal or the time ended it."""

    code: int | None
    by_time: bool = False


def run_forked(
    child: Callable[[], int], *, cpu_seconds: float, wall_seconds: float, output: Path | None = None
) -> Outcome:
    """Run `child` in a process of its own, and end it with all it had begun when its time is over.

    The processor's time counts: on a machine that others use too, the clock says nothing of a loop. The
    clock's is for what waits without end; what it waited for a processor is not counted. What it prints goes
    into the file `output`, or nowhere.
    """
    pid = os.fork()
    if pid == 0:
        _become(child, cpu_seconds, output)
    began, status, pause = time.monotonic(), None, 0.002
    while time.monotonic() - began - _seconds_in_queue(pid) < wall_seconds:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    else:
        status = None
    # The group, since a test may have begun processes; it is the child's own.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if status is None:
        os.waitpid(pid, 0)
        return Outcome(None, by_time=True)
    code = os.waitstatus_to_exitcode(status)
    return Outcome(None, by_time=code == -signal.SIGXCPU) if code < 0 else Outcome(code)


def _seconds_in_queue(pid: int) -> float:
    """How long the process was ready to run, and others ran; nought where the system does not say.

    https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _become(child: Callable[[], int], cpu_seconds: float, output: Path | None) -> None:
    """Never returns: the forked process does nothing of what its parent would."""
    code = 3
    try:
        os.setsid()
        # Not the address space: Node, which some tests begin, reserves far more of that than it uses.
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
        # The soft limit's signal ends it, and is told from other ends; a nested one may have less, not more.
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (max(1, round(cpu_seconds)), hard))
        with open(os.devnull, "r+b") as nowhere, open(output or os.devnull, "ab") as told:  # noqa: PTH123
            for number, file in enumerate((nowhere, told, told)):
                os.dup2(file.fileno(), number)
        code = child()
    except BaseException:  # noqa: BLE001 - whatever it was, it is said
        # The process ends below without a word of the interpreter's.
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)
