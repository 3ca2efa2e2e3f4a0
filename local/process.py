"""Starts the processes of the embedded stack, knows when they are up, and sees to it that none outlives us.

A child dies with its parent in two ways, either of which is enough: on Linux the kernel kills it
(PR_SET_PDEATHSIG, set by util-linux's `setpriv`, which then becomes the child), and everywhere its standard
input is a pipe that reaches its end when the parent is gone (`exit_with_parent`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

from local.forks import PROGRAMS, ForkedProcess, Forks
from shared.kernel.errors import Unavailable

T = TypeVar("T")

STDIN_IS_PARENT = "GROUNDCREW_STDIN_IS_PARENT"
"""Set in a child's environment: the end of its standard input means that its parent is gone."""

_MAX_LINES = 500
_TAIL_BYTES = 8192

# PR_SET_PDEATHSIG fires when the thread that forked ends, not the process: so one thread, which lives as
# long as the process, starts all children.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

_forks: Forks | None = None


def start_in_forks(forks: Forks) -> None:
    """From now on have our own programs run in forks of one process that has imported them: for tests."""
    global _forks
    _forks = forks


class Child:
    """A process whose output goes to the file `log`, in a process group of its own, ended with its parent.

    A context manager; `start` and `stop` do the same by hand.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name, self.argv, self.log = name, list(argv), log
        self._env = {**(os.environ if env is None else env), STDIN_IS_PARENT: "1"}
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id, of the process in `argv` itself."""
        return self._running.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        return self._running.poll()

    @property
    def _running(self) -> subprocess.Popen[bytes] | ForkedProcess:
        if self._process is None:
            raise Unavailable(f"{self.name} was not started", hint="Call start() or use it in a with block.")
        return self._process

    def start(self) -> None:
        """Start the process; says nothing about whether it is ready. Raises `Unavailable`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered and appending, since the child writes its stderr to the same file.
        log = self.log.open("ab", buffering=0)
        try:
            self._process = _spawner.submit(self._spawn_process, log).result()
        except OSError as error:
            log.close()
            raise Unavailable(f"{self.name} could not be started", value=error) from error
        self._reader = threading.Thread(target=self._read, args=(log,), name=f"log:{self.name}", daemon=True)
        self._reader.start()

    def _spawn_process(self, log: IO[bytes]) -> subprocess.Popen[bytes] | ForkedProcess:
        interpreter, option, module = (*self.argv, "", "")[:3]
        if _forks is not None and (interpreter, option) == (sys.executable, "-m") and module in PROGRAMS:
            return _forks.spawn(module, self.argv[3:], self._env, self._cwd or Path.cwd(), log)
        return subprocess.Popen(
            [*_die_with_parent(), *self.argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,  # a Ctrl-C in the terminal is the parent's to handle, in order
        )

    def _read(self, log: IO[bytes]) -> None:
        stdout = self._running.stdout
        if stdout is None:
            return
        with stdout, log:
            for line in stdout:
                log.write(line)
                self._store_line(line.decode(errors="replace").rstrip("\r\n"))
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _store_line(self, line: str) -> None:
        with self._news:
            if len(self._lines) < _MAX_LINES:  # only the beginning is ever waited for
                self._lines.append(line)
                self._news.notify_all()

    def wait_for_line(self, match: Callable[[str], T | None], *, seconds: float = 60) -> T:
        """The first thing other than None that `match` makes of a line of standard output, in order.

        Raises `Unavailable`, with the end of the log, if the process ends or `seconds` pass before.
        """
        deadline = time.monotonic() + seconds
        checked = 0
        with self._news:
            while True:
                for line in self._lines[checked:]:
                    found = match(line)
                    if found is not None:
                        return found
                checked = len(self._lines)
                remaining = deadline - time.monotonic()
                if self._ended or remaining <= 0:
                    break
                self._news.wait(remaining)
        raise self._did_not_come_up(seconds)

    def _did_not_come_up(self, seconds: float) -> Unavailable:
        ended = self._ended
        if ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running.wait(2)  # its output ends a moment before it does
        returncode = self.stop()
        observed = f"ended with {returncode}" if ended else f"silent for {seconds:g} s"
        return Unavailable(
            f"{self.name} did not come up", value=observed, hint=f"The end of {self.log}:\n{self.tail()}"
        )

    def wait_for_announcement(self, *, seconds: float = 60) -> dict[str, object]:
        """What the child told by `announce`: the first line that is a JSON object."""
        return self.wait_for_line(_json_object, seconds=seconds)

    def tail(self) -> str:
        """The end of what the process has written, a few kilobytes at most."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return log.read().decode(errors="replace")

    def stop(self, *, seconds: float = 15) -> int:
        """Ask the process to end (SIGTERM) and wait; kill it after `seconds`. Returns its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()
        return self._reap_process()

    def kill(self) -> int:
        """End the process and all it has started at once (SIGKILL). Returns its exit code."""
        if self._running.poll() is None:
            os.killpg(self._running.pid, signal.SIGKILL)
        return self._reap_process()

    def _reap_process(self) -> int:
        process = self._running
        returncode = process.wait(10)
        if process.stdin is not None:
            process.stdin.close()
        if self._reader is not None:
            self._reader.join(10)
        return returncode


def exit_with_parent(*, grace_seconds: float = 10) -> None:
    """In a Python child: when the parent is gone, end as on SIGTERM, and hard after `grace_seconds`.

    Does nothing in a process that no `Child` started.
    """
    if os.environ.get(STDIN_IS_PARENT) != "1":
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="exit-with-parent", daemon=True).start()


def announce(**facts: object) -> None:
    """Tell the parent process that the server is up: one line of JSON on standard output."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _die_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _json_object(line: str) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
