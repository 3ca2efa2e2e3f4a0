"""Programs of ours in forks of one process: what they are to whoever begins them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.forks import ForkedProcess, Forks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    server = Forks()
    yield server
    server.stop()


def begin(forks: Forks, folder: Path, module: str, *arguments: str, **environment: str) -> ForkedProcess:
    with (folder / "log").open("ab") as log:
        return forks.spawn(module, arguments, {"PATH": os.defpath} | environment, folder, log)


def test_a_program_has_arguments_environment_folder_streams_and_an_exit_code_of_its_own(
    forks: Forks, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("timezone: Nowhere/Nowhere\n")
    for arguments, code, said in (
        (["--version"], 0, "groundcrew"),
        (["no-such-command"], 2, "Usage: groundcrew"),
        (["power", "plan"], 2, "Nowhere/Nowhere"),
    ):
        (tmp_path / "log").unlink(missing_ok=True)
        program = begin(forks, tmp_path, "cli", *arguments, GROUNDCREW_POLICY="mine.yaml")
        with program.stdin, program.stdout as output:
            told = output.read().decode() + (tmp_path / "log").read_text()
            assert program.wait(60) == code, told
        assert said in told


def test_a_server_is_in_a_session_of_its_own_and_ends_in_order_when_asked(
    forks: Forks, tmp_path: Path
) -> None:
    program = begin(forks, tmp_path, "local.mongodb", f"--storage={tmp_path / 'data'}")
    with program.stdin, program.stdout as output:
        assert json.loads(output.readline())["port"]
        assert program.poll() is None
        # Whoever kills its group ends what it has begun, and nobody else.
        assert os.getsid(program.pid) == program.pid
        program.terminate()
        assert program.wait(60) == 0
    assert program.poll() == 0


def test_one_that_is_killed_says_by_which_signal(forks: Forks, tmp_path: Path) -> None:
    program = begin(forks, tmp_path, "local.mongodb", f"--storage={tmp_path / 'data'}")
    with program.stdin, program.stdout as output:
        assert output.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.01)
        os.killpg(program.pid, signal.SIGKILL)
        assert program.wait(60) == -signal.SIGKILL


PARENT = """
import sys
from pathlib import Path
from local.mongodb import MongoServer
from local.forks import Forks
from local.process import start_in_forks
start_in_forks(Forks())
server = MongoServer(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="by the kernel's own signal")
def test_nothing_outlives_whoever_began_it(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        program = Path(f"/proc/{pid}")
        assert "State:\tZ" not in (program / "status").read_text()
        parent.kill()
        deadline = time.monotonic() + 60
        while program.exists():
            assert time.monotonic() < deadline, "it is still there"
            time.sleep(0.05)
