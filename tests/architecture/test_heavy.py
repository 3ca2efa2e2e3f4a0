"""Heavy tests have their reasons, of files that are there, and are begun first."""

from __future__ import annotations

from pathlib import Path

from tests import heavy

TESTS = Path(__file__).resolve().parents[1]


def test_each_reason_is_of_a_file_that_is_there_and_a_line_long() -> None:
    assert [name for name in heavy.REASONS if not (TESTS / name).is_file()] == []
    assert [name for name, reason in heavy.REASONS.items() if not 10 < len(reason) < 120] == []


def test_heavy_files_are_begun_in_their_order_then_end_to_end_tests_then_the_others() -> None:
    first, second = list(heavy.REASONS)[:2]
    names = [first, second, "x/e2e/test_other.py", "contract/test_other.py", "x/test_other.py"]
    order = [heavy.start_order(TESTS / name) for name in names]
    assert order == sorted(set(order))


def test_a_slow_file_without_a_reason_is_named_by_its_slowest_test() -> None:
    seconds = heavy.sum_seconds(
        [
            ("tests/x/test_a.py::test_one", 15.0), ("tests/x/test_a.py::test_one", 6.0),
            ("tests/x/test_a.py::test_two", 1.0), ("tests/x/test_b.py::test_one", 19.0),
            ("tests/x/test_c.py::test_one", 30.0), (f"tests/{next(iter(heavy.REASONS))}::test_one", 99.0),
        ]
    )  # fmt: skip
    assert heavy.find_unexplained(seconds) == ["tests/x/test_c.py: 30 s", "tests/x/test_a.py: 21 s"]
