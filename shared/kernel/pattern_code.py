"""The code of regular expressions, compiled with the package instead of by each worker.

A function and its libraries compile up to 180 expressions while they are imported, in Python: a tenth of the
CPU of a first call. The text and its flags decide alone about the code, so that they are the key: what is not
found here is compiled as ever.
"""

from __future__ import annotations

import importlib
import importlib.util
import marshal
import re
from collections.abc import Iterable, Mapping
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

from shared.kernel.dataclass_code import import_modules

PACKED = Path(__file__).with_name("pattern_code.bin")  # in the package only
# What is imported inside functions, and compiles expressions when it is.
LIBRARIES = (
    "azure.functions", "azure.identity", "certifi", "email.header", "email.utils", "html", "http.cookies",
    "http.cookiejar", "json", "pydantic", "pymongo", "requests", "tarfile", "tomllib", "urllib3", "xml.etree",
    "xml.etree.ElementTree", "yaml", "zoneinfo",
)  # fmt: skip

_Key = tuple[str | bytes, int]  # the text, and its flags as a number


def use_compiled_patterns(path: Path = PACKED) -> bool:
    """Take the code of expressions that are compiled from now on from the file; whether that could be done.

    A file that is absent, cut, or of another Python is no fault: everything works without, and later.
    """
    try:
        packed = path.read_bytes()
        if not packed.startswith(MAGIC_NUMBER):
            return False
        codes: Mapping[_Key, bytes] = dict(marshal.loads(packed[len(MAGIC_NUMBER) :]))  # noqa: S302
        # Inner parts of the standard library, the same in 3.11 to 3.13: where they differ, nothing is done.
        engine, compiler = importlib.import_module("_sre"), importlib.import_module("re._compiler")
        compile_anew = compiler.compile
    except (OSError, ValueError, EOFError, TypeError, ImportError, AttributeError):
        return False

    def compile_pattern(pattern: Any, flags: int = 0) -> Any:
        code = codes.get((pattern, int(flags))) if isinstance(pattern, (str, bytes)) else None
        if code is None:
            return compile_anew(pattern, flags)
        # S302: a file as trusted as the bytecode beside it.
        return engine.compile(pattern, *marshal.loads(code))  # noqa: S302

    compiler.compile = compile_pattern  # type: ignore[attr-defined]
    return True


def pack_patterns(package: str, libraries: Iterable[str] = LIBRARIES, path: Path = PACKED) -> int:
    """Import the package's modules and the libraries, and write the code of every expression compiled
    meanwhile; how many there were.
    """
    codes: dict[_Key, bytes] = {}
    compiler: Any = importlib.import_module("re._compiler")
    engine, compile_anew = compiler._sre, compiler.compile

    class Recorder:
        """The engine, which notes what it was given for one expression."""

        arguments: tuple[Any, ...] = ()

        def __getattr__(self, name: str) -> Any:
            return getattr(engine, name)

        def compile(self, pattern: Any, flags: int, code: list[int], *groups: Any) -> Any:
            # Named numbers are none that marshal writes.
            self.arguments = (int(flags), [int(number) for number in code], *groups)
            return engine.compile(pattern, *self.arguments)

    recorder = Recorder()

    def compile_pattern(pattern: Any, flags: int = 0) -> Any:
        compiled = compile_anew(pattern, flags)
        # DEBUG prints, and an expression that is given as a parsed one has no text.
        if isinstance(pattern, (str, bytes)) and not flags & re.DEBUG:
            codes[pattern, int(flags)] = marshal.dumps(recorder.arguments)
        return compiled

    compiler._sre, compiler.compile = recorder, compile_pattern
    try:
        for name in libraries:
            importlib.import_module(name)
        import_modules(package)
    finally:
        compiler._sre, compiler.compile = engine, compile_anew
    path.write_bytes(MAGIC_NUMBER + marshal.dumps(sorted(codes.items(), key=repr)))
    return len(codes)


if __name__ == "__main__":
    pack_patterns("shared")
