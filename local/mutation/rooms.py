"""Which tests belong to which module: those of its name, else those that import it, else of its folder.

None that start programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# Adapters are tried by the contract of their port, as their fakes are.
_CONTRACTS = {
    "shared/adapters/blobs": ("tests/contract/test_blobs.py", "tests/contract/test_azure_blobs.py"),
    "shared/adapters/github": ("tests/contract/test_forge.py", "tests/contract/test_github.py"),
    "shared/adapters/kubernetes": ("tests/contract/test_cluster.py",),
    # A server with TLS in the same process, which takes milliseconds.
    "shared/kubernetes/api.py": ("tests/contract/test_kubeconfig.py",),
    "shared/kubernetes/kubeconfig.py": ("tests/contract/test_kubeconfig.py",),
}
_MANY = 10  # files; what more of them import is not what they are about
# What takes minutes a run, and asks the whole of a job rather than a module.
_TOO_LONG = ("test_killed.py", "test_weeks.py", "test_year.py")


def find_tests(module: Path, root: Path) -> list[str]:
    """The test files of a module, relative to `root`, in a stable order; empty if it has none of its own."""
    room = _find_room(module, root)
    named = _own_tests(room, module.stem) if room else []
    for folder, contract in _CONTRACTS.items():
        # A contract starts programs: a test of the module's own says the same in a thousandth of the time.
        if module.is_relative_to(folder) and not named:
            return list(contract)
    # Of each kind those that are quick: a module that only a slow test imports has the folder's.
    everything = room.rglob("test_*.py") if room else []
    chosen = (_relative(files, root) for files in (named, _importing_tests(module, root), everything))
    return next((files for files in chosen if files), [])


def find_neighbours(module: Path, root: Path) -> list[str]:
    """The other test files of the module's folder, and those that import it, for what its own let pass."""
    room, own = _find_room(module, root), set(find_tests(module, root))
    importing = _relative(_importing_tests(module, root), root)
    # Those that import it first: the time may not suffice for the others.
    names = [*importing, *_relative(room.glob("test_*.py") if room else (), root)]
    return [name for name in dict.fromkeys(names) if name not in own]


def _importing_tests(module: Path, root: Path) -> list[Path]:
    """Test files anywhere that import the module itself; none where everybody does."""
    package, _, name = ".".join(module.with_suffix("").parts).rpartition(".")
    imported = re.compile(
        rf"^\s*(?:from {re.escape(package)}\.{name} import|import {re.escape(package)}\.{name}\b"
        rf"|from {re.escape(package)} import (?:\w+(?: as \w+)?, )*{name}\b)",
        re.MULTILINE,
    )
    files = sorted(root.joinpath("tests").rglob("test_*.py"))
    # Those of commands and contracts start programs, which no change of a module is worth.
    quick = (path for path in files if not {"contract", "cli", "local"}.intersection(path.parts))
    importing = [path for path in quick if imported.search(path.read_text("utf-8"))]
    return importing if len(importing) <= _MANY else []


def _find_room(module: Path, root: Path) -> Path | None:
    """The nearest folder of the same name: shared/deploy/gates/decide.py → tests/deploy/gates, and of what is
    not shared that of its top: cli/sops.py → tests/cli."""
    parts = module.with_suffix("").parts
    parts = parts[1:] if parts[0] == "shared" else parts[:1]
    rooms = (root.joinpath("tests", *parts[:depth]) for depth in range(len(parts), 0, -1))
    return next((room for room in rooms if room.is_dir()), None)


def _relative(files: Iterable[Path], root: Path) -> list[str]:
    chosen = (path for path in files if "e2e" not in path.parts and path.name not in _TOO_LONG)
    return sorted(str(path.relative_to(root)) for path in chosen)


def _own_tests(room: Path, stem: str) -> list[Path]:
    """`test_oplog.py` and `test_oplog_laws.py` of `oplog`, `test_archive.py` of `archive_reader`."""
    words = stem.split("_")
    for count in range(len(words), 0, -1):
        name = "_".join(words[:count])
        if own := sorted({*room.glob(f"test_{name}.py"), *room.glob(f"test_{name}_*.py")}):
            return own
    return []
