"""Puts a changed function's code into the functions that exist already: no import, no collecting anew."""

from __future__ import annotations

import ast
import gc
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType

# A function by its dotted name and first line: a property's getter and setter share the name.
FunctionPlace = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Patch:
    """Code to put into each of some functions."""

    functions: tuple[FunctionType, ...]
    code: CodeType

    def apply(self) -> None:
        """From now on they do what the code says, whoever holds them."""
        for function in self.functions:
            function.__code__ = self.code


@dataclass(frozen=True)
class LiveModule:
    """A module that was imported as it is: its functions by their place, and their code."""

    functions: Mapping[FunctionPlace, tuple[FunctionType, ...]]
    codes: Mapping[FunctionPlace, CodeType]

    def plan_patches(self, tree: ast.Module) -> list[Patch] | None:
        """What makes the module do as the tree says; None if only an import can.

        So it is for what is done at the import (constants, defaults, classes), for a function that is held
        nowhere, and for one that no longer closes over what it did.
        """
        patches = []
        for key, code in _function_codes(tree):
            if code == self.codes.get(key):
                continue
            functions = self.functions.get(key, ())
            if not functions or any(one.__code__.co_freevars != code.co_freevars for one in functions):
                return None
            patches.append(Patch(functions, code))
        return patches or None


def read_live_module(name: str, source: str) -> LiveModule:
    """The module of that name, imported before, as its source says."""
    functions = dict[FunctionPlace, tuple[FunctionType, ...]]()
    # Not by attribute: decorators, properties and registers hold functions where no name leads to them.
    for one in gc.get_objects():
        if type(one) is FunctionType and one.__module__ == name:
            key = (one.__code__.co_qualname, one.__code__.co_firstlineno)
            functions[key] = (*functions.get(key, ()), one)
    return LiveModule(functions, dict(_function_codes(ast.parse(source))))


def _function_codes(tree: ast.Module) -> Iterator[tuple[FunctionPlace, CodeType]]:
    """The functions of a module and of its classes; those within functions are part of these."""
    waiting = [compile(tree, "mutant", "exec", dont_inherit=True)]
    while waiting:
        for one in waiting.pop().co_consts:
            if not isinstance(one, CodeType):
                continue
            if one.co_flags & inspect.CO_OPTIMIZED:
                yield (one.co_qualname, one.co_firstlineno), one
            else:
                waiting.append(one)  # the body of a class
