"""What is changed in a module, and that the change is the one that was named."""

from __future__ import annotations

import ast

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


def test_probes_name_each_function_by_its_place() -> None:
    source = (
        "class C:\n    def f(self):\n        def g():\n            pass\n        g()\ndef h():\n    pass\n"
    )
    entered: list[str] = []
    names = {"probe": entered.append}
    exec(compile(add_probes(source, "probe"), "probed", "exec"), names)  # noqa: S102 - it is ours
    names["C"]().f()  # type: ignore[operator]
    names["h"]()  # type: ignore[call-arg]
    assert entered == ["C.f", "C.f.g", "h"]
