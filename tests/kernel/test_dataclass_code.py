"""Methods of dataclasses that were compiled before are taken, and never matter for what a class does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fresh_python import Run, run_code, run_fresh_code

# A package with a class, and one that this Python cannot import.
MODEL = '''
from __future__ import annotations
from dataclasses import dataclass, field

@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A point."""
    x: int
    y: int = 2
    tags: tuple[str, ...] = field(default=(), repr=False)
'''
SHOW = """
from pathlib import Path
from shared.kernel.dataclass_code import use_compiled_methods
print(use_compiled_methods(Path("packed")))
from thing.model import Point
from dataclasses import FrozenInstanceError, dataclass
print(Point(1), Point(1) == Point(1, 2, ()), hash(Point(1)) == hash(Point(1)), Point(1) < Point(2))
try:
    Point(1).x = 2
except FrozenInstanceError:
    print("frozen")
@dataclass
class Other:
    name: str
print(Other("new"))
print(Point.__init__.__code__.co_filename)
"""
PACK = """
from pathlib import Path
from shared.kernel.dataclass_code import pack_methods
print(pack_methods("thing", Path("packed")))
"""
SAME = "Point(x=1, y=2) True True True\nfrozen\nOther(name='new')\n"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A folder with the package `thing`, and the file of its classes' methods."""
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "__init__.py").touch()
    (tmp_path / "thing" / "model.py").write_text(MODEL)
    (tmp_path / "thing" / "foreign.py").write_text("raise ImportError('built for another system')\n")
    assert int(run_code(tmp_path, PACK)) > 0
    return tmp_path


@pytest.mark.parametrize("run", [run_code, run_fresh_code])
def test_methods_come_from_the_file_and_do_what_they_did(packed: Path, run: Run) -> None:
    assert run(packed, SHOW) == f"True\n{SAME}<dataclass>\n"


@pytest.mark.parametrize("fault", ["absent", "empty", "cut", "of another Python", "of another shape"])
def test_a_file_that_cannot_be_used_is_as_none(packed: Path, fault: str) -> None:
    file = packed / "packed"
    content = file.read_bytes()
    file.unlink()
    faulty = {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "of another Python": b"\0\0\0\0" + content[4:],
        "of another shape": content[:4] + b"N",
    }
    if fault in faulty:
        file.write_bytes(faulty[fault])
    assert run_code(packed, SHOW) == f"False\n{SAME}<string>\n"


def test_a_class_that_changed_since_is_compiled_anew(packed: Path) -> None:
    # Of another size: within one second a file of the same size is taken for the one that was compiled.
    (packed / "thing" / "model.py").write_text(MODEL.replace("y: int = 2", "other: int = 3"))
    assert run_code(packed, SHOW).startswith("True\nPoint(x=1, other=3) ")


def test_a_module_that_cannot_be_imported_here_is_named_and_left_to_the_workers(
    packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_code(packed, PACK)
    assert capsys.readouterr().err == "thing.foreign is compiled by the workers: built for another system\n"


def test_packing_leaves_the_library_as_it_was(packed: Path) -> None:
    shown = run_code(packed, f"{PACK}import dataclasses; print('exec' in vars(dataclasses))")
    assert shown.splitlines()[1] == "False"


def test_an_annotation_is_compiled_once_and_means_what_it_says(tmp_path: Path) -> None:
    code = """
from __future__ import annotations
import typing
from shared.kernel.dataclass_code import compile_annotations_once
compile_annotations_once()
class One(typing.NamedTuple):
    name: Text
    rest: Text = ""
class Text: ...
first, second = One.__annotations__.values()
print(first.__forward_code__ is second.__forward_code__, typing.get_type_hints(One)["rest"].__name__)
try:
    typing.ForwardRef("not a type")
except SyntaxError:
    print("refused")
"""
    assert run_code(tmp_path, code) == "True Text\nrefused\n"
