"""Modules whose bytecode is in the package's one file are taken from it, and what is not in it as ever."""

from __future__ import annotations

import compileall
from pathlib import Path

import pytest

from tests.support.fresh_python import Run, run_code, run_fresh_code

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


@pytest.mark.parametrize("run", [run_code, run_fresh_code])
def test_a_packed_module_is_not_looked_for_in_folders(packed: Path, run: Run) -> None:
    assert run(packed, SHOW) == "True []\n"


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


def test_the_packed_code_is_taken_and_who_asks_again_gets_the_files(packed: Path) -> None:
    show = """
import sys
from pathlib import Path
from shared.kernel.module_code import use_packed_modules
use_packed_modules(Path("packed"), Path.cwd())
loader = sys.meta_path[0].find_spec("thing.inner.model", [str(Path.cwd() / "thing" / "inner")]).loader
for written in ("VALUE = 'changed'", "VALUE = 'again'"):
    Path("thing/inner/model.py").write_text(written)
    print(*[one for one in loader.get_code("thing.inner.model").co_consts if isinstance(one, str)][:1])
print(sys.meta_path[0].find_spec("thing.inner.model", None))
"""
    assert run_code(packed, show) == "packed\nagain\nNone\n"


def test_a_file_that_is_not_used_is_not_kept_open(packed: Path) -> None:
    show = """
import os
from pathlib import Path
from shared.kernel.module_code import use_packed_modules
Path("packed").write_bytes(b"cut")
before = os.listdir("/dev/fd")
print(use_packed_modules(Path("packed"), Path.cwd()), os.listdir("/dev/fd") == before)
"""
    assert run_code(packed, show) == "False True\n"


def test_a_file_that_was_cut_after_it_was_opened_is_as_none(packed: Path) -> None:
    show = """
import importlib, sys
from pathlib import Path
from shared.kernel.module_code import use_packed_modules
print(use_packed_modules(Path("packed"), Path.cwd()))
import thing
cut = Path("packed").read_bytes()
Path("packed").write_bytes(cut[:-1])
import thing.inner.model
print(sorted(name for name, one in sys.modules.items()
    if name.startswith("thing.") and "Module" in type(one.__spec__.loader).__name__))
"""
    # The code that stands last is the one that is cut.
    assert run_code(packed, show) == "True\n['thing.inner']\n"


def test_modules_are_packed_below_packages_of_the_folder_where_these_look_for_them(packed: Path) -> None:
    far = packed / "elsewhere" / "far"
    far.mkdir(parents=True)
    for name in ("__init__.py", "inner.py"):
        (far / name).write_text("VALUE = 1\n")
    (packed / "top.py").write_text("VALUE = 1\n")
    # A module that stands elsewhere than where its package looks, and one that has another name, too.
    (packed / "thing" / "moved.py").write_text(f"""
import importlib.util, sys, thing.inner.model
spec = importlib.util.spec_from_file_location("thing.strange", {str(packed / "top.py")!r})
sys.modules["thing.strange"] = importlib.util.module_from_spec(spec)
sys.modules["thing.inner.renamed"] = thing.inner.model
# What has no package around it, and a library in C beside the module that it was made of.
for name, file in (("plain.inner", "top.py"), ("thing.native", "thing/native.so")):
    spec = importlib.util.spec_from_loader(name, None, origin={str(packed)!r} + "/" + file)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.modules[name].__file__ = spec.origin
sys.modules["plain"] = sys.modules["thing.strange"]
""")
    (packed / "thing" / "native.py").write_text("VALUE = 1\n")
    compileall.compile_dir(packed, quiet=1)
    show = f"""
import marshal, sys
from pathlib import Path
from shared.kernel.module_code import pack_modules
sys.path.append({str(far.parent)!r})
print(pack_modules("thing", ("far.inner", "top"), Path("packed"), Path.cwd()))
head = Path("packed").read_bytes()
print(*sorted(marshal.loads(head[12 : 12 + int.from_bytes(head[4:8])])))
print(pack_modules("thing", (), Path("packed"), Path.cwd() / "nothing"))
"""
    # `native` is imported as what it is, in C.
    (packed / "thing" / "native.py").unlink()
    names = "far.inner thing.alone thing.inner thing.inner.model thing.moved"
    assert run_code(packed, show) == f"5\n{names}\n0\n"


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
