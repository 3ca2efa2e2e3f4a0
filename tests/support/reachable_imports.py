"""Which libraries a function may import when it is called, by reading the sources: nothing is run.

A module's own imports count when it is loaded. What is imported inside functions counts if the function is
reached by its name: from the trigger's body through whatever functions and classes are named there. A method
that is called on a value is not followed; its class was named by whoever made the value.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ("shared", "functions")
Imported = tuple[str, str]  # a module, and the name taken from it, or an empty text


@dataclass(frozen=True)
class SourceModule:
    """What a module defines, what its names were imported as, and what loading it imports."""

    name: str
    defined: dict[str, ast.AST] = field(default_factory=dict)
    imported: dict[str, Imported] = field(default_factory=dict)


class ImportWalk:
    """Collects libraries; each module is loaded once, and each name followed once."""

    def __init__(self) -> None:
        self.libraries: set[str] = set()
        self._loaded: set[str] = set()
        self._followed: set[Imported] = set()

    def follow(self, module: str, name: str) -> None:
        """The function, class or constant of that name in one of our modules, and what it names."""
        self.load(module)
        if (module, name) in self._followed:
            return
        self._followed.add((module, name))
        source = read_module(module)
        if name in source.defined:
            loaded, named = list_edges(module, name)
            for one in loaded:
                self.load(one)
            for imported in named:
                self._resolve(*imported)
        elif name in source.imported:
            self._resolve(*source.imported[name])

    def load(self, module: str) -> None:
        """A module and the packages above it; of a library its name."""
        if not module.startswith(OURS):
            self._note(module)
            return
        parent = module.rpartition(".")[0]
        if module in self._loaded:
            return
        self._loaded.add(module)
        if parent:
            self.load(parent)
        for imported, name in read_module(module).imported.values():
            self.load(imported)
            if is_module(f"{imported}.{name}"):
                self.load(f"{imported}.{name}")

    def _note(self, module: str) -> None:
        top = module.partition(".")[0]
        if top not in sys.stdlib_module_names:
            # azure is nobody's: azure.core and azure.functions are different libraries.
            self.libraries.add(".".join(module.split(".")[:2]) if top == "azure" else top)

    def _resolve(self, module: str, name: str) -> None:
        if not module.startswith(OURS):
            self._note(module)
        elif is_module(f"{module}.{name}"):
            self.load(f"{module}.{name}")
        elif name:
            self.follow(module, name)


@cache
def list_edges(module: str, name: str) -> tuple[set[str], set[Imported]]:
    """What a definition imports when it runs, and what else it names."""
    source = read_module(module)
    node = source.defined[name]
    local = dict(list_imports(node, module))
    names = {**source.imported, **local}
    named = set(local.values())
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            owner = ".".join(filter(None, names.get(inner.value.id, ("", ""))))
            if is_module(owner):
                named.add((owner, inner.attr))
        elif isinstance(inner, ast.Name):
            if inner.id in names:
                named.add(names[inner.id])
            elif inner.id in source.defined:
                named.add((module, inner.id))
    return {imported for imported, _ in local.values()}, named


@cache
def find_file(module: str) -> Path | None:
    """The source of one of our modules."""
    path = ROOT.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


@cache
def is_module(name: str) -> bool:
    """Whether that is one of our modules."""
    return name.startswith(OURS) and find_file(name) is not None


@cache
def read_module(name: str) -> SourceModule:
    """Parse a module of ours; of one that is not there nothing is known."""
    source, path = SourceModule(name), find_file(name)
    for node in list_statements(ast.parse(path.read_text()).body) if path else ():
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            source.imported.update(list_imports(node, name))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            source.defined[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    source.defined[target.id] = node.value
    return source


def list_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those that run when a module is loaded: without what is for type checkers only."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from list_statements(node.orelse)
        elif isinstance(node, (ast.If, ast.Try)):
            yield from list_statements([*node.body, *node.orelse])
        else:
            yield node


def list_imports(node: ast.AST, module: str) -> Iterator[tuple[str, Imported]]:
    """(name here, what it is) of each import at or below the node."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            for alias in inner.names:
                yield alias.asname or alias.name, (alias.name, "")
        elif isinstance(inner, ast.ImportFrom) and inner.module and inner.level == 0:
            for alias in inner.names:
                yield alias.asname or alias.name, (inner.module, alias.name)


@cache
def list_triggers() -> dict[str, str]:
    """The module of each trigger, by the trigger's name."""
    found = {}
    for path in sorted((ROOT / "functions").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.decorator_list:
                found[node.name] = f"functions.{path.stem}"
    return found


def list_libraries(trigger: str) -> set[str]:
    """What the trigger's call may import, beside azure.functions, which the platform has."""
    walk = ImportWalk()
    walk.follow(list_triggers()[trigger], trigger)
    return walk.libraries - {"azure.functions"}
