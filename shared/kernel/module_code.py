"""The bytecode of modules in one file, made with the package, instead of one file for each module.

A first call imports up to 700 modules: to look for each in folders, open its file and read it was a fifth of
its CPU. Who finds a module is not changed: a top-level name is looked for as ever, and only below a package
that came from this folder is the file asked. What is not in it is found as ever.
"""

from __future__ import annotations

import importlib
import marshal
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType, ModuleType

from shared.kernel.dataclass_code import import_modules

PACKED = Path(__file__).with_name("module_code.bin")  # in the package only
# As the import system knows it, links and all: what it finds is compared with this.
ROOT = Path(__file__).parent.parent.parent
# What is imported inside functions.
LIBRARIES = (
    "azure.core.pipeline.policies", "azure.core.pipeline.transport", "azure.core.rest", "bson.json_util",
    "cryptography.fernet", "cryptography.hazmat.primitives.asymmetric.mlkem",
    "cryptography.hazmat.primitives.hpke", "cryptography.hazmat.primitives.serialization",
    "cryptography.x509", "jsonschema.validators", "pymongo", "requests", "urllib3.contrib", "yaml",
)  # fmt: skip
_HEAD_BYTES = 12  # the magic number, the length of the index, the length of all
_PYC_HEAD_BYTES = 16  # https://peps.python.org/pep-0552/


class PackedModuleFinder(MetaPathFinder):
    """Finds modules of packages that came from `root`, by an index instead of the file system."""

    def __init__(self, root: str, path: Path) -> None:
        self._root = root
        self._index, self._file, self._start = _open_packed(path)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module, if its package is the one that was packed; None leaves it to the others."""
        entry = self._index.get(fullname)
        if entry is None or not path:
            return None
        searched, file, is_package, start, length = entry
        folder = f"{self._root}/{searched}"
        # Another copy of the same library may have come first, with modules that fit to it alone.
        if next(iter(path)) != folder:
            return None
        if is_package:
            folder = f"{folder}/{fullname.rpartition('.')[2]}"
        origin = f"{folder}/{file}"
        # Read and not mapped: pages of a mapped file stay in the process's memory, eleven megabytes of them.
        try:
            code = os.pread(self._file, length, self._start + start)
        except OSError:
            return None
        if len(code) != length:
            return None
        kind = _SourcelessModule if file.endswith(".pyc") else _SourceModule
        spec = ModuleSpec(fullname, kind(fullname, origin, code), origin=origin, is_package=is_package)
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(folder)
        spec.has_location = True
        spec.cached = origin  # as without sources: to make the other name costs as much as all else here
        return spec


class _PackedCode:
    """In front of a loader: the module's code is here already, and is kept until it is asked for."""

    def __init__(self, fullname: str, path: str, code: bytes) -> None:
        super().__init__(fullname, path)  # type: ignore[call-arg]  # the loader's
        self._packed = code

    def get_code(self, fullname: str) -> CodeType | None:
        """The module's code, unmarshalled; who asks again gets the file's."""
        packed, self._packed = self._packed, b""
        if packed:
            return _unmarshal(packed)
        code: CodeType | None = super().get_code(fullname)  # type: ignore[misc]
        return code


class _SourceModule(_PackedCode, SourceFileLoader):  # type: ignore[misc]  # typeshed's, of its own bases
    """A module beside whose code there is its source, for tracebacks."""


class _SourcelessModule(_PackedCode, SourcelessFileLoader):
    """A module of which there is the bytecode alone."""


def _unmarshal(packed: bytes) -> CodeType:
    code: CodeType = marshal.loads(packed)  # noqa: S302 - a file as trusted as the bytecode beside it
    return code


def use_packed_modules(path: Path = PACKED, root: Path = ROOT) -> bool:
    """Take the code of modules that are imported from now on from the file; whether that could be done.

    A file that is absent, cut, or of another Python is no fault: everything works without, and later.
    """
    try:
        # First, since the name of a module below one of ours is nobody else's.
        sys.meta_path.insert(0, PackedModuleFinder(str(root), path))
    except (OSError, ValueError, EOFError, TypeError):
        return False
    return True


def _open_packed(path: Path) -> tuple[Mapping[str, tuple[str, str, bool, int, int]], int, int]:
    """The index, the file, which stays open, and where in it the codes begin.

    Raises OSError, and ValueError, EOFError or TypeError for what is no such file.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(file, _HEAD_BYTES, 0)
        length, size = (int.from_bytes(head[start : start + 4]) for start in (4, 8))
        if head[:4] != MAGIC_NUMBER or os.fstat(file).st_size != size:
            raise ValueError("of another Python, or cut")
        # S302: a file as trusted as the bytecode beside it.
        return marshal.loads(os.pread(file, length, _HEAD_BYTES)), file, _HEAD_BYTES + length  # noqa: S302
    except BaseException:
        os.close(file)
        raise


def pack_modules(
    package: str, libraries: Iterable[str] = LIBRARIES, path: Path = PACKED, root: Path = ROOT
) -> int:
    """Import the package's modules and the libraries, and write the bytecode of all that came from `root`
    meanwhile; how many there were. What cannot be imported here is left to the worker.
    """
    for name in libraries:
        importlib.import_module(name)
    import_modules(package)
    index: dict[str, tuple[str, str, bool, int, int]] = {}
    codes = bytearray()
    for name, module in sorted(sys.modules.items()):
        if (place := _find_place(name, module, root)) is not None and (code := _read_bytecode(module)):
            index[name] = (*place, len(codes), len(code))
            codes += code
    head = marshal.dumps(index)
    size = _HEAD_BYTES + len(head) + len(codes)
    path.write_bytes(MAGIC_NUMBER + len(head).to_bytes(4) + size.to_bytes(4) + head + codes)
    return len(index)


def _read_bytecode(module: ModuleType) -> bytes:
    """As it is compiled already, since to marshal it anew gives other bytes each time; empty without it."""
    origin = str(module.__file__)
    try:
        cached = origin if origin.endswith(".pyc") else importlib.util.cache_from_source(origin)
        return Path(cached).read_bytes()[_PYC_HEAD_BYTES:]
    except OSError:
        return b""


def _find_place(name: str, module: ModuleType, root: Path) -> tuple[str, str, bool] | None:
    """The folder where its package looks, from `root`; the file's name; whether it is a package itself.

    None for what the file is not asked for: top-level names, other folders, libraries in C."""
    spec = getattr(module, "__spec__", None)
    if spec is None or spec.name != name or not spec.origin:
        return None
    origin = Path(spec.origin)
    parent = sys.modules.get(name.rpartition(".")[0])
    searched = next(iter(getattr(parent, "__path__", ())), None)
    if searched is None or origin.suffix not in (".py", ".pyc") or not Path(searched).is_relative_to(root):
        return None
    is_package = spec.submodule_search_locations is not None
    if (origin.parent.parent if is_package else origin.parent) != Path(searched):
        return None
    return Path(searched).relative_to(root).as_posix(), origin.name, is_package


if __name__ == "__main__":
    pack_modules("shared")
