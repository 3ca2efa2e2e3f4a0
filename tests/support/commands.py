"""`groundcrew` for tests: each command in a process of its own, without paying for its imports each time.

For tests of what a command says and does. What a command imports, how it is installed, and what happens when
it is killed is tested with an interpreter of its own, `python -m cli`.
"""

from __future__ import annotations

import atexit
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from local import forks
from local.stack import ROOT


@cache
def shared_forks() -> forks.Forks:
    """The server of this test process, which begins with its first program."""
    server = forks.Forks()
    atexit.register(server.stop)
    return server


def run_groundcrew(
    *arguments: str, env: Mapping[str, str], cwd: Path = ROOT, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` gives of `groundcrew` with nobody at its input. Raises TimeoutExpired."""
    return shared_forks().run("cli", arguments, environment=env, folder=cwd, timeout=timeout)


def run_python(code: str, *arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The same of `python -c` with this code: for what remembers what it was first asked in its process."""
    return shared_forks().run("-c", [code, *arguments], environment=env, folder=ROOT, timeout=120)


def run_script(
    script: str, *, env: Mapping[str, str], cwd: Path, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """What `bash` makes of a script with `groundcrew` in it, which runs as by `run_groundcrew`."""
    server = shared_forks().socket.fileno()
    # -S and -E: the client needs nothing installed, and starts in a tenth of the time.
    client = shlex.join([sys.executable, "-S", "-E", str(forks.__file__), "run", str(server)])
    return subprocess.run(
        ["bash", "-c", f'groundcrew() {{ {client} "$@"; }}\n{script}'],
        env=env, cwd=cwd, pass_fds=[server], capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
