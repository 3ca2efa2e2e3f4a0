"""Regular expressions that were compiled before are taken, and match what they always matched."""

from __future__ import annotations

import marshal
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from tests.support.fresh_python import Run, run_code, run_fresh_code

MODEL = r"""
import re

WORD = re.compile(r"(?P<first>\w+) (?P<rest>\w+)?", re.IGNORECASE)
BYTES = re.compile(rb"[0-9a-f]{2,4}")
"""
# Neither what prints while it is compiled is packed, nor what has no text.
LIBRARY = """
import re
TEXT = re.compile("lib-[0-9]")
re.compile("printed", re.DEBUG)
re._compiler.compile(re._parser.parse("parsed"))
"""
# What is not in the file (a text, its flags, bytes) is compiled, and counted.
SHOW = r"""
import re
from pathlib import Path
from re import _compiler
anew, parse = [], _compiler._parser.parse
def count(text, *rest):
    anew.append(text)
    return parse(text, *rest)
_compiler._parser.parse = count
from shared.kernel.pattern_code import use_compiled_patterns
used = use_compiled_patterns(Path("packed"))
del anew[:]
from thing.model import BYTES, WORD
match = WORD.fullmatch("\u00c4rger hier")
print(match.groupdict(), match.lastgroup, WORD.groupindex, WORD.pattern, int(WORD.flags))
print(BYTES.search(b"xyz0ab").group(), WORD.sub(r"\g<rest>", "a b"))
print(used, len(anew))
re.compile(WORD.pattern), re.compile(BYTES.pattern.decode())
print(re.compile("[0-9a-f]{2,4}").search("0ab").group(), len(anew))
"""
PACK = """
from pathlib import Path
from shared.kernel.pattern_code import pack_patterns
print(pack_patterns("thing", ["library"], Path("packed")))
"""
SAME = (
    r"{'first': 'Ärger', 'rest': 'hier'} rest {'first': 1, 'rest': 2} (?P<first>\w+) (?P<rest>\w+)? 34"
    "\nb'0ab' b\n"
)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A folder with the package `thing`, and the file of its expressions' code."""
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "__init__.py").touch()
    (tmp_path / "thing" / "model.py").write_text(MODEL)
    (tmp_path / "thing" / "foreign.py").write_text("raise ImportError('built for another system')\n")
    (tmp_path / "library.py").write_text(LIBRARY)
    assert run_code(tmp_path, PACK).splitlines()[-1] == "3"
    return tmp_path


@pytest.mark.parametrize("run", [run_code, run_fresh_code])
def test_expressions_come_from_the_file_and_match_as_they_did(packed: Path, run: Run) -> None:
    # Of the three that follow, two differ from what was packed in their flags or in their kind.
    assert run(packed, SHOW) == f"{SAME}True 0\n0ab 2\n"


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
    assert run_code(packed, SHOW) == f"{SAME}False 2\n0ab 4\n"


def test_an_expression_of_a_library_is_packed_too_and_none_that_prints(packed: Path) -> None:
    packed_codes = (packed / "packed").read_bytes()[len(MAGIC_NUMBER) :]
    codes = dict(marshal.loads(packed_codes))  # noqa: S302 - made above
    assert ("lib-[0-9]", 0) in codes
    assert len(codes) == 3


def test_a_module_that_cannot_be_imported_here_is_named_and_left_to_the_workers(
    packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_code(packed, PACK)
    assert capsys.readouterr().err == "thing.foreign is compiled by the workers: built for another system\n"


def test_packing_leaves_the_compiler_as_it_was(packed: Path) -> None:
    show = f"import re\nbefore = re._compiler.compile, re._compiler._sre\n{PACK}"
    show += "print(before == (re._compiler.compile, re._compiler._sre))"
    assert run_code(packed, show).splitlines()[-2:] == ["3", "True"]


def test_expressions_work_in_modules_while_they_are_packed(packed: Path) -> None:
    show = f"{PACK}import library; print(library.TEXT.findall('lib-1 lib-x'))"
    assert run_code(packed, show).splitlines()[-1] == "['lib-1']"


def test_what_is_no_text_is_compiled_as_ever(packed: Path) -> None:
    show = """
import re
from pathlib import Path
from shared.kernel.pattern_code import use_compiled_patterns
use_compiled_patterns(Path("packed"))
print(re._compiler.compile(re._parser.parse("a+")).findall("aab"), re._compiler.compile("a").flags == re.U)
"""
    assert run_code(packed, show) == "['aa'] True\n"
