"""Modules whose bytecode is in the package's one file are taken from it, and what is not in it as ever."""

from __future__ import annotations

import compileall
from pathlib import Path

import pytest

from tests.support.fresh_python import run_code

# What is read from a file of its own is listed; a top-level name is always looked for by the others.
SHOW = """
import sys
from importlib.machinery import FileFinder
from pathlib import Path
looked = []
find = FileFinder.find_spec
def count(self, name, *rest):
    looked.append(name)
    return find(self, name, *rest)
FileFinder.find_spec = count
from shared.kernel.module_code import use_packed_modules
used = use_packed_modules(Path("packed"), Path.cwd())
import thing.inner.model as model, thing.alone as alone
print(used, sorted(n for n in set(looked) if n.startswith("thing.")))
"""
WHAT = """
print(model.VALUE, model.__file__.removeprefix(str(Path.cwd())), model.__package__, alone.VALUE)
print(sys.modules["thing.inner"].__path__ == [str(Path.cwd() / "thing" / "inner")], alone.__spec__.origin)
import inspect, importlib
print(inspect.getsource(model).strip(), importlib.reload(model).VALUE)
try:
    model.fail()
except ValueError as error:
    import traceback
    print("raise ValueError" in traceback.format_exc())
"""


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A folder with the package `thing`, of which `alone` has no source, and the file with its code."""
    inner = tmp_path / "thing" / "inner"
    inner.mkdir(parents=True)
    (inner / "__init__.py").touch()
    (tmp_path / "thing" / "__init__.py").touch()
    (inner / "model.py").write_text('VALUE = "packed"\n\n\ndef fail():\n    raise ValueError\n')
    alone = tmp_path / "thing" / "alone.py"
    alone.write_text("VALUE = 7\n")
    compileall.compile_dir(tmp_path / "thing", quiet=1)
    compileall.compile_file(alone, quiet=1, legacy=True)
    alone.unlink()
    pack = "from pathlib import Path; from shared.kernel.module_code import pack_modules\n"
    run_code(tmp_path, f"{pack}print(pack_modules('thing', (), Path('packed'), Path.cwd()))")
    return tmp_path


def test_a_packed_module_is_not_looked_for_in_folders(packed: Path) -> None:
    assert run_code(packed, SHOW) == "True []\n"


def test_a_packed_module_is_what_it_always_was(packed: Path) -> None:
    shown = run_code(packed, SHOW + WHAT).splitlines()[1:]
    (packed / "packed").unlink()
    assert shown == run_code(packed, SHOW + WHAT).splitlines()[1:]
    assert shown[0] == "packed /thing/inner/model.py thing.inner 7"


def test_without_the_file_or_with_a_damaged_one_modules_are_found_as_ever(packed: Path) -> None:
    whole = (packed / "packed").read_bytes()
    found = "False ['thing.alone', 'thing.inner', 'thing.inner.model']\n"
    for content in (b"", b"\0\0\0\0" + whole[4:], whole[:-1], whole[:12], whole[:3]):
        (packed / "packed").write_bytes(content)
        assert run_code(packed, SHOW) == found
    (packed / "packed").unlink()
    assert run_code(packed, SHOW) == found


def test_another_copy_of_the_library_that_comes_first_keeps_its_own_modules(packed: Path) -> None:
    other = packed / "other" / "thing"
    (other / "inner").mkdir(parents=True)
    for name in ("__init__.py", "alone.py", "inner/__init__.py", "inner/model.py"):
        (other / name).write_text("VALUE = 'theirs'\n")
    shown = run_code(
        packed, f"import sys; sys.path.insert(0, {str(packed / 'other')!r})\n{SHOW}print(model.VALUE)"
    )
    assert shown.splitlines()[1] == "theirs"


def test_a_module_whose_bytecode_is_not_compiled_is_left_out(packed: Path) -> None:
    for cached in (packed / "thing" / "inner" / "__pycache__").iterdir():
        cached.unlink()
    pack = "import sys; sys.dont_write_bytecode = True\nfrom pathlib import Path\n"
    pack += "from shared.kernel.module_code import pack_modules\n"
    count = run_code(packed, f"{pack}print(pack_modules('thing', (), Path('packed'), Path.cwd()))")
    assert count == "1\n"
    assert run_code(packed, SHOW) == "True ['thing.inner', 'thing.inner.model']\n"
