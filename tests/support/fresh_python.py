"""Code that imports: what it does to the interpreter is undone, or it has an interpreter of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import os
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from importlib.machinery import FileFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from local.stack import ROOT

_COMPILER: Any = importlib.import_module("re._compiler")
Run = Callable[[Path, str], str]
# Whose globals and attributes the code may change.
_CHANGED = (dataclasses, typing, _COMPILER, _COMPILER._parser)


def run_code(folder: Path, code: str) -> str:
    """What the code prints, run here in the folder with its modules, which are forgotten afterwards.

    An interpreter of its own takes half a second of the processor: see `run_fresh_code`.
    """
    with _undone(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "<code>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102 - the test's own
    return printed.getvalue()


@contextlib.contextmanager
def _undone(folder: Path) -> Iterator[None]:
    here, main, path, finders = Path.cwd(), sys.modules["__main__"], [*sys.path], [*sys.meta_path]
    names, find, writes_no_bytecode = (
        [dict(vars(module)) for module in _CHANGED],
        FileFinder.find_spec,
        sys.dont_write_bytecode,
    )
    # Where the names are looked up that an annotation in the code is made of.
    sys.modules["__main__"] = ModuleType("__main__")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    re.purge()
    try:
        yield
    finally:
        os.chdir(here)
        sys.path[:], sys.meta_path[:] = path, finders
        sys.modules["__main__"], sys.dont_write_bytecode = main, writes_no_bytecode
        FileFinder.find_spec = find  # type: ignore[method-assign]
        for module, before in zip(_CHANGED, names, strict=True):
            vars(module).clear()
            vars(module).update(before)
        for name, imported in list(sys.modules.items()):
            if str(getattr(imported, "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
        re.purge()


def run_fresh_code(folder: Path, code: str) -> str:
    """The same in an interpreter that has imported nothing. Raises CalledProcessError if it fails."""
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        cwd=folder, env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    return done.stdout
