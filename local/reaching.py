"""Which test files can run some packages: by what they import, directly or not, or begin as a program."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

_NAME = re.compile(r"\b(?:cli|functions|local|shared)(?:\.\w+)+")
_IMPORT = re.compile(r"\bfrom ((?:cli|functions|local|shared)(?:\.\w+)*) import (\w+)")
_ROOTS = ("tests", "local", "shared", "functions", "cli", "bench")


def find_reaching_tests(root: Path, packages: Collection[str]) -> list[str]:
    """The test files that lead to one of the packages (`shared.wiring`), sorted, relative to `root`.

    Lazy imports count, and so do modules that a file names in a text (`["-m", "cli"]`, code of a program).
    What is put together from pieces of text, or found by listing a folder, is not seen.
    """

    @cache
    def mentions(path: Path) -> frozenset[str]:
        return frozenset(_list_mentions(ast.parse(path.read_text("utf-8"))))

    def reaches(path: Path) -> bool:
        seen, waiting = set[Path](), [path, *_conftests(path, root)]
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            names = mentions(one)
            if any(f"{name}.".startswith(f"{package}.") for name in names for package in packages):
                return True
            waiting += [found for name in names if (found := _find_module(name, root))]
        return False

    files = sorted((root / "tests").rglob("test_*.py"))
    return [str(path.relative_to(root)) for path in files if reaches(path)]


def _list_mentions(tree: ast.AST) -> Iterable[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{one.name}" for one in names)
            case ast.Constant(value=str(text)):
                # What a program is begun with: the module's name, or code.
                yield from (text, *_NAME.findall(text))
                yield from (f"{module}.{name}" for module, name in _IMPORT.findall(text))


def _conftests(path: Path, root: Path) -> list[Path]:
    folders = [folder for folder in path.parents if folder.is_relative_to(root / "tests")]
    return [folder / "conftest.py" for folder in folders if (folder / "conftest.py").is_file()]


def _find_module(name: str, root: Path) -> Path | None:
    if name.partition(".")[0] not in _ROOTS:
        return None
    path = root.joinpath(*name.split("."))
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)
