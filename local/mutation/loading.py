"""One module of ours compiled from a changed tree, in this process only."""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, ModuleType


class _TreeLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType:
        """Never from or into the cache of compiled files: that is shared with everybody."""
        return compile(self._tree, self.get_filename(fullname), "exec")


class _TreeFinder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self._name, self._path, self._tree = name, path, tree

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _TreeLoader(fullname, str(self._path), self._tree)
        inside = [str(self._path.parent)] if self._path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self._path, loader=loader, submodule_search_locations=inside
        )


def load_instead(module: Path, tree: ast.Module) -> None:
    """From now on the module at that path, relative to the root, is imported as the tree says.

    Raises RuntimeError if it was imported before, as it was: the change would not be seen.
    """
    name = module_name(module)
    if name in sys.modules:
        raise RuntimeError(f"{name} was imported already")
    sys.meta_path.insert(0, _TreeFinder(name, module.resolve(), tree))


def module_name(module: Path) -> str:
    """`shared/web/html.py` → `shared.web.html`."""
    return ".".join(module.with_suffix("").parts).removesuffix(".__init__")


_OURS = ("shared.", "local.", "functions.", "cli.")


class _Blocker(importlib.abc.MetaPathFinder):
    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == self._name:
            raise ImportError(f"{fullname} is not to be imported yet")
        return None


def preload_others(module: Path, names: Sequence[str]) -> None:
    """Import those of the modules that can be without the one at that path.

    What needs it fails to import, and is imported anew with the change.
    """
    blocker = _Blocker(module_name(module))
    sys.meta_path.insert(0, blocker)
    for name in names:
        # Whatever a module may raise when something of it is missing.
        with suppress(Exception):
            importlib.import_module(name)
    sys.meta_path.remove(blocker)
    # A module whose package could not be imported would not be an attribute of the package imported later.
    for name in list(sys.modules):
        parent = name.rpartition(".")[0]
        if name.startswith(_OURS) and parent not in sys.modules:
            del sys.modules[name]
