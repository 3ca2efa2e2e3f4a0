"""The changes that are made to a module: each is one node of its syntax tree replaced by another."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}
_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
# Whose answers nobody relies on: a log that says less is not what these tests are about.
_UNWATCHED = ("log", "_LOG", "_LOGGER", "logging")
_SAME_SITE = " #"
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module.

    - `key`: names it in reports and in the list of equivalent ones, whatever its line: the function, the code
      before and after, and a number where the same change is possible twice.
    - `scope`: the dotted name of the function or class around it; empty at the top of the module.
    - `line`: where it is now.
    - `node`, `variant`: where it is in the tree, for `apply_mutant`.
    - `statement`: the probe before the statement around it; empty outside of functions.
    """

    key: str
    scope: str
    line: int
    node: int
    variant: int
    statement: str = ""


def list_mutants(source: str) -> list[Mutant]:
    """All mutants of a module, in the order of the tree. Raises SyntaxError."""
    tree = ast.parse(source)
    scopes, skipped = _scan_scopes(tree)
    statements = _name_statements(tree)
    mutants, numbers = [], dict[str, int]()
    for index, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        for variant, changed in enumerate(_variants(node)):
            scope = scopes.get(id(node), "")
            key = f"{scope or '<module>'}: {_one_line(node)} → {_one_line(changed)}"
            numbers[key] = numbers.get(key, 0) + 1
            if numbers[key] > 1:
                key = f"{key}{_SAME_SITE}{numbers[key]}"
            line, statement = getattr(node, "lineno", 1), statements.get(id(node), "")
            mutants.append(Mutant(key, scope, line, index, variant, statement))
    return mutants


def apply_mutant(source: str, mutant: Mutant) -> ast.Module:
    """The changed module, ready to be compiled."""
    tree = ast.parse(source)
    target = list(ast.walk(tree))[mutant.node]
    replacement = list(_variants(target))[mutant.variant]
    _Replace(target, replacement).visit(tree)
    return ast.fix_missing_locations(tree)


def add_probes(source: str, call: str) -> ast.Module:
    """The module with calls of the built-in name `call`: in each function with its scope, and before each of
    its statements with scope and line."""
    tree = ast.parse(source)
    _insert_probes(tree, call, "", inside=False)
    return ast.fix_missing_locations(tree)


def _insert_probes(node: ast.AST, call: str, scope: str, *, inside: bool) -> None:
    scope, inside = _enter(node, scope, inside=inside)
    for child in ast.iter_child_nodes(node):
        _insert_probes(child, call, scope, inside=inside)
    for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
        if not inside or not isinstance(body, list):
            continue
        # What a function is documented by stays its first statement.
        start = int(isinstance(node, _FUNCTIONS) and ast.get_docstring(node, clean=False) is not None)
        probed = [one for old in body[start:] for one in (_probe(call, f"{scope}@{old.lineno}"), old)]
        body[start:] = [_probe(call, scope), *probed] if isinstance(node, _FUNCTIONS) else probed


def _name_statements(tree: ast.Module) -> dict[int, str]:
    """By node the probe before the innermost statement of a function that it is in; empty outside of them."""
    names: dict[int, str] = {}

    def visit(node: ast.AST, scope: str, statement: str, *, inside: bool) -> None:
        if inside and isinstance(node, ast.stmt):
            statement = f"{scope}@{node.lineno}"
        names[id(node)] = statement
        scope, inside = _enter(node, scope, inside=inside)
        for child in ast.iter_child_nodes(node):
            visit(child, scope, statement, inside=inside)

    visit(tree, "", "", inside=False)
    return names


def _enter(node: ast.AST, scope: str, *, inside: bool) -> tuple[str, bool]:
    """The scope within a node, and whether that is a function's."""
    if isinstance(node, _FUNCTIONS | ast.ClassDef):
        return f"{scope}.{node.name}".lstrip("."), isinstance(node, _FUNCTIONS)
    return scope, inside


def _probe(call: str, name: str) -> ast.stmt:
    return ast.parse(f"{call}({name!r})").body[0]


class _Replace(ast.NodeTransformer):
    def __init__(self, target: ast.AST, replacement: ast.AST) -> None:
        self._target, self._replacement = target, replacement

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._target:
            return ast.copy_location(self._replacement, node)
        visited: ast.AST = self.generic_visit(node)
        return visited


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """What a node can be replaced by; always in the same order."""
    if isinstance(node, ast.expr):
        yield from _expression_variants(node)
    elif isinstance(node, ast.If):
        if not node.orelse and isinstance(node.body[-1], ast.Raise | ast.Return | ast.Continue):
            yield _with(node, test=ast.Constant(False))  # the guard away
    elif isinstance(node, ast.Return):
        if node.value is not None and not isinstance(node.value, ast.Constant):
            yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


def _expression_variants(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=operators):
            for index, operator in enumerate(operators):
                changed = _COMPARISONS[type(operator)]()
                yield _with(node, ops=[*operators[:index], changed, *operators[index + 1 :]])
        case ast.BoolOp(values=values):
            # Each clause away: a test must show that it decides.
            for index in range(len(values)):
                rest = [*values[:index], *values[index + 1 :]]
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC and not _is_text(node):
            yield _with(node, op=_ARITHMETIC[type(operator)]())
        case ast.Call(func=ast.Name(id=name)) if name in _SWAPPED:
            yield _with(node, func=ast.Name(_SWAPPED[name], ast.Load()))
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _is_text(node: ast.BinOp) -> bool:
    """Texts and lists cannot be subtracted: such a mutant dies of a TypeError, and shows nothing."""
    kinds = (ast.JoinedStr, ast.List, ast.ListComp, ast.Tuple)
    return any(
        isinstance(side, kinds) or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in (node.left, node.right)
    )


def _scan_scopes(tree: ast.Module) -> tuple[dict[int, str], set[int]]:
    """By node the function or class around it, and the nodes of which no mutant says anything."""
    scopes: dict[int, str] = {}
    skipped: set[int] = set()

    def visit(node: ast.AST, scope: str) -> None:
        scopes[id(node)] = scope
        for unwatched in _unwatched_parts(node):
            skipped.update(id(inner) for inner in ast.walk(unwatched))
        is_scope = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        inner = f"{scope}.{node.name}".lstrip(".") if is_scope else scope  # type: ignore[attr-defined]
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(tree, "")
    return scopes, skipped


def _unwatched_parts(node: ast.AST) -> Iterator[ast.AST]:
    """Decorators, annotations, logs and imports for types: what they say, no test is to hold.

    And `strict=True` of a `zip`, which says of lists that they are of one length where they always are; and
    what `python -m` does, which with the opposite condition is done at each import, and writes into the tree.
    """
    match node:
        case ast.Call(func=ast.Name(id="zip"), keywords=keywords):
            yield from (one for one in keywords if one.arg == "strict")
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from node.decorator_list
            if node.returns is not None:
                yield node.returns
        case ast.ClassDef():
            yield from node.decorator_list
        case ast.arg(annotation=ast.expr()) | ast.AnnAssign(annotation=ast.expr()):
            yield node.annotation  # type: ignore[misc]
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))) if name in _UNWATCHED:
            yield node
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            yield node
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            yield node


def _one_line(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    if isinstance(node, ast.If):
        # The test and the first words of what it guards.
        text = f"if {ast.unparse(node.test)}: {ast.unparse(node.body[0])}"
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:117]}..."
