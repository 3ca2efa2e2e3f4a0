"""What `make test` runs is what pytest would run: no test, failure or file that cannot be read is lost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from local.stack import ROOT

FILES = {
    "test_good.py": "def test_one(): pass\ndef test_two(): pass\n",
    "test_bad.py": "import no_such_module\n",
    "test_mixed.py": """
import pytest

@pytest.fixture(scope="module", params=["a", "b"])
def world(request, shared):
    shared.append(request.param)
    return request.param

def test_first(world, shared): assert shared[-1] == world
def test_second(world, shared): assert shared == ["a", "b"]
""",
    "conftest.py": """
import pytest

@pytest.fixture(scope="session")
def shared(): return []
""",
}


def test_each_test_is_run_once_and_each_fault_is_told(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    argv = [sys.executable, "-m", "pytest", "-n", "1", "--dist", "loadfile", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*argv, "-p", "tests.support.late_collection", "-c", "/dev/null", "-p", "no:cacheprovider", tmp_path],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    # Of the module's two worlds each is made once: the tests of one come together.
    assert "1 failed, 5 passed, 1 error" in done.stdout, done.stdout
    assert "test_mixed.py::test_second[a]" in done.stdout
    assert re.search(r"(?m)^ERROR \S*test_bad.py", done.stdout)
    assert "No module named 'no_such_module'" in done.stdout
    assert "[3 of 3 files]" in done.stdout
