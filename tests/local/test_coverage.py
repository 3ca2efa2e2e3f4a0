"""What only end-to-end tests run is told from what others run too, and from what none does."""

from __future__ import annotations

from pathlib import Path

from local.coverage import FileCoverage, compare_lines, format_lines, format_report, list_tests

ROOT = Path(__file__).resolve().parents[2]


def test_each_line_is_of_one_kind() -> None:
    e2e = {
        "cli/a.py": (frozenset({1, 2, 3}), frozenset({4, 5, 6})),
        "cli/b.py": (frozenset({1}), frozenset()),
    }
    rest = {
        "cli/a.py": (frozenset({1, 4}), frozenset({2, 3, 5, 6})),
        "cli/b.py": (frozenset({1}), frozenset()),
    }
    files = compare_lines(e2e, rest)
    assert files["cli/a.py"] == FileCoverage(statements=6, only_e2e=(2, 3), never=(5, 6))
    assert compare_lines(e2e, {})["cli/a.py"].only_e2e == (1, 2, 3), "a file that the others never import"
    first, *sums = format_report(files).splitlines()
    assert first == "cli/a.py: 2 of 6 by end-to-end tests only; none: 5-6"
    assert "cli/: 7 statements, 2 by end-to-end tests only, 2 by none" in sums


def test_lines_are_shown_as_spans() -> None:
    assert format_lines([9, 3, 7, 8, 12, 13]) == "3, 7-9, 12-13"
    assert format_lines([]) == ""


def test_both_kinds_together_are_all_tests_once() -> None:
    e2e, rest = list_tests("e2e"), list_tests("rest")
    assert {f"--ignore={path}" for path in e2e} < set(rest)
    assert all((ROOT / path).is_dir() and path.endswith("/e2e") for path in e2e)
