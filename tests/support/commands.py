"""`groundcrew` for tests: each command in a process of its own, without paying for its imports each time.

For tests of what a command says and does. What a command imports, how it is installed, and what happens when
it is killed is tested with an interpreter of its own, `python -m cli`.
"""

from __future__ import annotations

import atexit
import os
import shlex
import signal
import subprocess
import sys
import tempfile
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
    command = ["groundcrew", *arguments]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open() as nobody:
        streams = [nobody.fileno(), out.fileno(), err.fileno()]
        report = forks.request_program(shared_forks().socket, "cli", arguments, env, str(cwd), streams)
        report.settimeout(timeout)
        with report, report.makefile() as lines:
            process = lines.readline()
            assert process, "the server of forks has ended: its error is above"
            try:
                code = int(lines.readline())
            except TimeoutError:
                os.kill(int(process), signal.SIGKILL)
                raise subprocess.TimeoutExpired(command, timeout) from None
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
    return subprocess.CompletedProcess(command, code, *texts)


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
