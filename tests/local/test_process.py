"""Child processes: when they are up, how they end, and that they never outlive their parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.process import Child
from shared.kernel.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]


def python(tmp_path: Path, code: str) -> Child:
    return Child("the child", [sys.executable, "-c", code], log=tmp_path / "child.log", cwd=ROOT)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_announcement_is_the_first_json_object_and_everything_is_in_the_log(tmp_path: Path) -> None:
    code = "import sys, time; print('hello'); print('[1]'); print('{\"url\": \"x\"}', flush=True); "
    code += "sys.stderr.write('warned\\n'); sys.stderr.flush(); sys.stdin.read()"
    with python(tmp_path, code) as child:
        assert child.wait_for_announcement(seconds=20) == {"url": "x"}
        until(lambda: "warned" in child.tail())
        assert "hello" in child.tail()


def test_a_child_that_ends_early_is_told_with_its_exit_code_and_last_words(tmp_path: Path) -> None:
    with (
        python(tmp_path, "import sys; sys.exit('no such luck')") as child,
        pytest.raises(Unavailable) as caught,
    ):
        child.wait_for_announcement(seconds=20)
    assert "ended with 1" in str(caught.value)
    assert "no such luck" in str(caught.value)


def test_a_child_that_stays_silent_is_stopped_and_told(tmp_path: Path) -> None:
    with python(tmp_path, "import time; time.sleep(60)") as child:
        with pytest.raises(Unavailable, match=r"silent for 0\.3 s"):
            child.wait_for_announcement(seconds=0.3)
        assert child.returncode == -signal.SIGTERM


def test_a_program_that_does_not_exist_is_one_clear_failure(tmp_path: Path) -> None:
    child = Child("nothing", ["/nonexistent/program"], log=tmp_path / "log")
    with pytest.raises(Unavailable):
        child.start()
        child.wait_for_announcement(seconds=10)


def test_a_child_that_does_not_heed_the_request_is_killed_with_all_it_started(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "print('{\"pid\": %d}' % other.pid, flush=True); other.wait()"
    )
    child = python(tmp_path, code)
    child.start()
    grandchild = child.wait_for_announcement(seconds=20)["pid"]
    assert isinstance(grandchild, int)
    assert is_running(grandchild)
    assert child.stop(seconds=0.2) == -signal.SIGKILL
    until(lambda: not is_running(grandchild))


def test_it_stops_in_order_and_stopping_twice_does_no_harm(tmp_path: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); print('{}', flush=True); "
    )
    with python(tmp_path, code + "signal.pause()") as child:
        child.wait_for_announcement(seconds=20)
        assert child.stop() == 3
    assert child.returncode == 3


PARENT = """
import sys, threading
from pathlib import Path
from local.process import Child
child = Child("grandchild", [sys.executable, "-c", {code!r}], log=Path(sys.argv[1]), cwd=Path({root!r}))
thread = threading.Thread(target=child.start)  # its end must not be the end of the child
thread.start(); thread.join()
child.wait_for_announcement(seconds=20)
print(child.pid, flush=True)
sys.stdin.read()
"""

SLEEPER = "import time; print('{}', flush=True); time.sleep(60)"
WATCHER = "from local.process import exit_with_parent; exit_with_parent(); " + SLEEPER


@pytest.mark.parametrize("setpriv", [True, False], ids=["by the kernel", "by the end of its input"])
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path, setpriv: bool) -> None:
    code = PARENT.format(code=SLEEPER if setpriv else WATCHER, root=str(ROOT))
    if setpriv and shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed here")
    env = {**os.environ, "PATH": os.environ["PATH"] if setpriv else ""}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        cwd=ROOT,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
        parent.wait()
        until(lambda: not is_running(pid))
