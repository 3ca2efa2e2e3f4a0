"""Regular expressions that were compiled before are taken, and match what they always matched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import ROOT

MODEL = r"""
import re

WORD = re.compile(r"(?P<first>\w+) (?P<rest>\w+)?", re.IGNORECASE)
BYTES = re.compile(rb"[0-9a-f]{2,4}")
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
SAME = (
    r"{'first': 'Ärger', 'rest': 'hier'} rest {'first': 1, 'rest': 2} (?P<first>\w+) (?P<rest>\w+)? 34"
    "\nb'0ab' b\n"
)


def run(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        cwd=folder, env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A folder with the package `thing`, and the file of its expressions' code."""
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "__init__.py").touch()
    (tmp_path / "thing" / "model.py").write_text(MODEL)
    (tmp_path / "thing" / "foreign.py").write_text("raise ImportError('built for another system')\n")
    pack = "from pathlib import Path; from shared.kernel.pattern_code import pack_patterns\n"
    assert int(run(tmp_path, f"{pack}print(pack_patterns('thing', ['yaml'], Path('packed')))")) > 2
    return tmp_path


def test_expressions_come_from_the_file_and_match_as_they_did(packed: Path) -> None:
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
    assert run(packed, SHOW) == f"{SAME}False 2\n0ab 4\n"


def test_an_expression_of_a_library_is_packed_too(packed: Path) -> None:
    show = (
        "from pathlib import Path; import marshal\n"
        "codes = dict(marshal.loads(Path('packed').read_bytes()[4:]))\n"
        "import yaml.reader\nprint((yaml.reader.Reader.NON_PRINTABLE.pattern, 0) in codes)"
    )
    assert run(packed, show) == "True\n"
