"""What only end-to-end tests run is told from what others run too, and from what none does."""

from __future__ import annotations

from pathlib import Path

from local.coverage import (
    FileCoverage,
    compare_lines,
    count_by_function,
    format_lines,
    format_report,
    list_tests,
    summarize,
)
from local.reaching import find_reaching_tests
from local.tested import coverage_text

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


SOURCE = """
import os

class Command:
    def run(self):
        def inner():
            return 1
        return inner

def main():
    return 2
"""


def test_lines_are_named_by_the_innermost_function_they_are_in() -> None:
    assert count_by_function(SOURCE, [2, 4, 5, 6, 7, 8, 11]) == {
        "(module)": 1,
        "Command": 1,
        "Command.run": 2,
        "Command.run.inner": 2,
        "main": 1,
    }
    assert count_by_function(SOURCE, []) == {}


def test_what_only_end_to_end_tests_run_is_on_record_by_function_and_folder(tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli/a.py").write_text(SOURCE)
    files = {
        "cli/a.py": FileCoverage(statements=8, only_e2e=(8, 11), never=(7,)),
        "cli/whole.py": FileCoverage(statements=3, only_e2e=(), never=()),
        "shared/x.py": FileCoverage(statements=5, only_e2e=(1,), never=(2, 3)),
    }
    summary = summarize(files, tmp_path)
    shown = {"only_e2e": {"Command.run": 1, "main": 1}, "never": {"Command.run.inner": 1}}
    assert summary["files"] == {"cli/a.py": shown}
    assert summary["folders"]["cli"] == {"statements": 11, "only_e2e": 2, "never": 1}
    assert list(summary["folders"]) == ["functions", "shared/wiring", "cli"]
    text = coverage_text(summary)
    assert "| `cli/a.py` | `Command.run` 1, `main` 1 | `Command.run.inner` 1 |" in text
    assert "| `cli/` | 11 | 2 | 1 |" in text
    assert coverage_text({}) == "", "what was never measured is not shown as nought"


def test_lines_are_shown_as_spans() -> None:
    assert format_lines([9, 3, 7, 8, 12, 13]) == "3, 7-9, 12-13"
    assert format_lines([]) == ""


def test_end_to_end_tests_are_whole_folders_of_that_name() -> None:
    e2e = list_tests("e2e")
    assert "tests/deploy/e2e" in e2e
    assert all((ROOT / path).is_dir() and path.endswith("/e2e") for path in e2e)


def test_a_test_leads_to_a_package_by_imports_texts_and_its_conftest(tmp_path: Path) -> None:
    for name, text in {
        "cli/main.py": "",
        "local/tool.py": "def run():\n    import cli.main\n",
        "tests/a/test_import.py": "from cli import main\n",
        "tests/a/test_lazily_by_another.py": "from local.tool import run\n",
        "tests/a/test_program.py": 'COMMAND = ["-m", "cli"]\n',
        "tests/a/test_code.py": 'CODE = "import json; from cli import main"\n',
        "tests/a/test_none.py": "import climate\nTEXT = 'client'\n",
        "tests/b/conftest.py": "from cli import main\n",
        "tests/b/test_by_conftest.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = find_reaching_tests(tmp_path, ["cli"])
    names = [
        "a/test_code",
        "a/test_import",
        "a/test_lazily_by_another",
        "a/test_program",
        "b/test_by_conftest",
    ]
    assert found == [f"tests/{name}.py" for name in names]
