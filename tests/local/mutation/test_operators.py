"""What is changed in a module, and that the change is the one that was named."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from local.mutation.operators import add_probes, apply_mutant, list_mutants


def changes(source: str) -> list[str]:
    return [mutant.key.partition(": ")[2] for mutant in list_mutants(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a < b → a <= b"]),
        ("a == b", ["a == b → a != b"]),
        ("a in b", ["a in b → a not in b"]),
        ("a is b", ["a is b → a is not b"]),
        ("a <= b < c", ["a <= b < c → a < b < c", "a <= b < c → a <= b <= c"]),
        ("a and b", ["a and b → b", "a and b → a"]),
        ("a or b or c", ["a or b or c → b or c", "a or b or c → a or c", "a or b or c → a or b"]),
        ("not a", ["not a → a"]),
        ("a + b", ["a + b → a - b"]),
        ("min(a)", ["min(a) → pass", "min(a) → max(a)"]),
        ("any(a)", ["any(a) → pass", "any(a) → all(a)"]),
        ("x = True", ["True → False"]),
        ("x = 7", ["7 → 8"]),
        ("work()", ["work() → pass"]),
        ("f'{a}' + b", []),
        ("'a' + b", []),
        ("x = 'text'", []),
    ],
)
def test_each_kind_of_change_is_made(source: str, expected: list[str]) -> None:
    assert changes(source) == expected


def test_a_guard_is_switched_off_and_a_condition_with_an_else_is_not() -> None:
    guard = "def f(a):\n    if a:\n        raise E\n    return b\n"
    assert changes(guard) == ["if a: raise E → if False: raise E", "return b → return None"]
    assert changes("if a:\n    x = y\n") == []
    assert changes("if a:\n    raise E\nelse:\n    x = y\n") == []


@pytest.mark.parametrize(
    "source",
    [
        "log.info('a.b', extra={'n': 1})",
        "@cache(size=3)\ndef f(): ...",
        "@dataclass(frozen=True)\nclass C: ...",
        "def f(a: Literal[1]) -> Literal[2]: ...",
        "x: Literal[1]",
        "if TYPE_CHECKING:\n    import_this(1)",
        "if __name__ == '__main__':\n    write_files(1)",
        "x = zip(a, b, strict=True)",
    ],
)
def test_what_no_test_is_to_hold_is_left_alone(source: str) -> None:
    assert changes(source) == []


def test_a_change_is_named_by_its_function_and_by_a_number_where_it_is_possible_twice() -> None:
    source = "class C:\n    def f(self):\n        x = 1\n        y = 1\n"
    assert [mutant.key for mutant in list_mutants(source)] == ["C.f: 1 → 2", "C.f: 1 → 2 #2"]
    moved = [mutant.key for mutant in list_mutants("import os\n\n\n" + source)]
    assert moved == ["C.f: 1 → 2", "C.f: 1 → 2 #2"], "names outlive a move to another line"


def test_a_mutant_changes_its_one_place_and_nothing_else() -> None:
    source = "def f(a, b):\n    return a < b and b < 3\n"
    texts = [ast.unparse(apply_mutant(source, mutant)) for mutant in list_mutants(source)]
    assert texts == [
        "def f(a, b):\n    return None",
        "def f(a, b):\n    return b < 3",
        "def f(a, b):\n    return a < b",
        "def f(a, b):\n    return a <= b and b < 3",
        "def f(a, b):\n    return a < b and b <= 3",
        "def f(a, b):\n    return a < b and b < 4",
    ]


def test_probes_name_each_function_by_its_place_and_each_statement_by_its_line() -> None:
    source = """
class C:
    limit = 1
    def f(self, most=2):
        'What it does.'
        def g():
            pass
        g()
        if most > 3:
            return 4
        elif most:
            most = 5
def h():
    pass
"""
    entered: list[str] = []
    names: dict[str, Any] = {"probe": entered.append}
    exec(compile(add_probes(source, "probe"), "probed", "exec"), names)  # noqa: S102 - it is ours
    names["C"]().f()
    names["h"]()
    statements = ["C.f@6", "C.f@8", "C.f.g", "C.f.g@7", "C.f@9", "C.f@11", "C.f@12"]
    assert entered == ["C.f", *statements, "h", "h@14"], "and not the line that was not reached"
    assert names["C"].f.__doc__ == "What it does."
    places = {mutant.key.partition(": ")[2]: mutant.statement for mutant in list_mutants(source)}
    assert places["1 → 2"] == "", "a class is made at the import"
    assert places["2 → 3"] == "", "and so is a default"
    assert (places["3 → 4"], places["4 → 5"], places["5 → 6"]) == ("C.f@9", "C.f@10", "C.f@12")
