"""One embedded stack per directory, so that no two write into the same files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import ROOT, lock_state_dir
from shared.kernel.errors import Locked


def test_a_second_stack_on_the_same_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "local.stack", "--state", str(tmp_path), "--port", "0"]
    with lock_state_dir(tmp_path):
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert str(tmp_path) in line
    assert "--state" in line
    # Nothing was begun: no keys, no database.
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_directory_is_free_again_when_its_stack_is_over(tmp_path: Path) -> None:
    with lock_state_dir(tmp_path), pytest.raises(Locked), lock_state_dir(tmp_path):
        pass
    with lock_state_dir(tmp_path):
        pass
