"""The bytecode of dataclasses' methods, compiled with the package instead of by each worker.

`dataclasses` writes the methods of each class as source and compiles it when the class is made. What a
function loads has up to 340 classes, and compiling was a third of the CPU of loading it. The source decides
alone about the code, so that it is the key: what is not found here is compiled as ever.
"""

from __future__ import annotations

import dataclasses
import importlib
import marshal
import pkgutil
import sys
import typing
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

PACKED = Path(__file__).with_name("dataclass_code.bin")  # in the package only


def use_compiled_methods(path: Path = PACKED) -> bool:
    """Take the methods of all classes that are made from now on from the file; whether that could be done.

    A file that is absent, cut, or of another Python is no fault: everything works without, and later.
    """
    try:
        packed = path.read_bytes()
        if not packed.startswith(MAGIC_NUMBER):
            return False
        codes: Mapping[bytes, bytes] = dict(marshal.loads(packed[len(MAGIC_NUMBER) :]))  # noqa: S302
    except (OSError, ValueError, EOFError, TypeError):
        return False

    def execute(source: str, *scopes: Any) -> None:
        code = codes.get(_key(source))
        # S102, S302: it is what the standard library does, with a file as trusted as the bytecode beside it.
        exec(source if code is None else marshal.loads(code), *scopes)  # noqa: S102, S302

    # A global of that module comes before the builtin of the same name, which is all that it calls.
    dataclasses.exec = execute  # type: ignore[attr-defined]
    return True


def compile_annotations_once() -> None:
    """Have `typing` compile each text of an annotation once: 800 fields of named tuples have 240."""
    # As above. The code is evaluated in the namespace of whoever asks: that it is shared shows nowhere.
    typing.compile = cache(compile)  # type: ignore[attr-defined]


def pack_methods(package: str, path: Path = PACKED) -> int:
    """Import the package's modules, and write the code of every dataclass made meanwhile; how many texts.

    What cannot be imported here, such as a library of another platform, is left to the worker.
    """
    codes: dict[bytes, bytes] = {}

    def execute(source: str, *scopes: Any) -> None:
        code = compile(source, "<dataclass>", "exec")
        codes[_key(source)] = marshal.dumps(code)
        exec(code, *scopes)  # noqa: S102

    dataclasses.exec = execute  # type: ignore[attr-defined]
    try:
        import_modules(package)
    finally:
        del dataclasses.exec  # type: ignore[attr-defined]
    path.write_bytes(MAGIC_NUMBER + marshal.dumps(sorted(codes.items())))
    return len(codes)


def import_modules(package: str) -> None:
    """Import the package and every module in it; what cannot be imported here is named on standard error."""
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            sys.stderr.write(f"{module.name} is compiled by the workers: {error}\n")


def _key(source: str) -> bytes:
    return blake2b(source.encode(), digest_size=16).digest()


if __name__ == "__main__":
    pack_methods("shared")
