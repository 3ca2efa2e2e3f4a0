"""A mutant that a test notices is told from one that none does, without touching a file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from local.mutation.operators import Mutant, list_mutants
from local.mutation.report import (
    ModuleScore,
    format_table,
    least_percent,
    read_equivalents,
    read_scores,
    write_score,
)
from local.mutation.rooms import find_neighbours, find_tests
from local.mutation.selecting import TestRun, select_tests
from local.tested import mutation_text

ROOT = Path(__file__).resolve().parents[3]
MODULE = """
def is_full(count: int, most: int) -> bool:
    return count >= most


def never_entered(count: int) -> int:
    return count
"""
TESTS = """
from shared.room.decide import is_full


def test_more_than_fit_are_too_many() -> None:
    assert is_full(3, 2)


def test_fewer_fit() -> None:
    assert not is_full(1, 2)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A tree of one module with one room of tests."""
    for name, text in (("shared/room/decide.py", MODULE), ("tests/room/test_decide.py", TESTS)):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    for folder in ("shared", "shared/room"):
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\nfilterwarnings = error\n")
    return tmp_path


def judge(
    project: Path, *, least: float = 60, files: Sequence[str] = ("tests/room/test_decide.py",)
) -> tuple[dict[str, bool], list[str]]:
    """By mutant whether it was noticed, and those that did not end; in a process without this tree's code."""
    code = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from local.mutation.operators import list_mutants
from local.mutation.running import try_mutants
import hypothesis, pytest
del sys.modules["local"]; sys.path.remove({str(ROOT)!r}); sys.path.insert(0, ".")
module = Path("shared/room/decide.py"); source = module.read_text()
verdicts = try_mutants(module, source, list_mutants(source), {list(files)!r}, least={least})
print(json.dumps([verdicts.killed, sorted(verdicts.late)]))
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=110
    )
    assert shown.returncode == 0, shown.stderr
    killed, late = json.loads(shown.stdout)
    return killed, late


def test_what_no_test_tells_apart_survives_and_what_is_never_entered_too(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*.py")}
    killed, late = judge(project)
    assert killed == {
        "is_full: return count >= most → return None": True,
        "is_full: count >= most → count > most": False,
        "never_entered: return count → return None": False,
    }
    assert late == []
    assert {path: path.read_bytes() for path in project.rglob("*.py")} == before


def test_folders_with_a_conftest_of_their_own_are_tried_together(project: Path) -> None:
    other = project / "tests/other"
    other.mkdir()
    (other / "conftest.py").write_text("def pytest_runtest_logstart(): pass\n")
    (other / "test_other.py").write_text("def test_other() -> None: pass\n")
    killed, _ = judge(project, files=("tests/other/test_other.py", "tests/room/test_decide.py"))
    assert killed["is_full: return count >= most → return None"]


def test_a_test_of_the_border_notices(project: Path) -> None:
    path = project / "tests/room/test_decide.py"
    path.write_text(path.read_text() + "\n\ndef test_full_is_full() -> None:\n    assert is_full(2, 2)\n")
    assert judge(project)[0]["is_full: count >= most → count > most"]


def test_a_mutant_that_never_ends_is_ended_and_counts_as_noticed(project: Path) -> None:
    path = project / "shared/room/decide.py"
    path.write_text(
        "def is_full(count: int, most: int) -> bool:\n"
        "    stop = True\n    while not stop:\n        pass\n    return count >= most\n"
    )
    killed, late = judge(project, least=1)
    assert killed["is_full: True → False"]
    assert killed["is_full: not stop → stop"]
    assert set(late) == {"is_full: True → False", "is_full: not stop → stop"}


AT_IMPORT = """
from dataclasses import dataclass
from functools import cache

LIMIT = 3
UNUSED = 3


def double(count: int) -> int:
    return count + count


ROWS = tuple(double(count) for count in (2, 3))


@dataclass(frozen=True)
class Room:
    places: int = 2

    @property
    def is_small(self) -> bool:
        return self.places < LIMIT

    @classmethod
    @cache
    def smallest(cls, most: int = 1) -> int:
        return min([most, 9])
"""
TESTS_AT_IMPORT = """
import shared.room.decide as decide
from shared.room.decide import ROWS, Room

FIRST = ROWS[0]


def test_rows() -> None:
    assert FIRST == 4


def test_rooms() -> None:
    assert Room().is_small
    assert not Room(3).is_small
    assert Room(2).is_small
    assert Room.smallest() == 1
    assert decide.double(0) == 0
"""


def test_constants_defaults_and_what_is_called_at_the_import_are_changed_too(project: Path) -> None:
    (project / "shared/room/decide.py").write_text(AT_IMPORT)
    (project / "tests/room/test_decide.py").write_text(TESTS_AT_IMPORT)
    killed, _ = judge(project)
    survivors = {key for key, is_killed in killed.items() if not is_killed}
    # `UNUSED` and the second row concern nobody; of `min([most, 9])` no test sees the 9. That `double` adds
    # only the import's call shows.
    assert survivors == {"<module>: 3 → 4 #2", "<module>: 3 → 4 #3", "Room.smallest: 9 → 10"}


def mutant(scope: str, statement: str = "") -> Mutant:
    return Mutant(f"{scope}: a → b", scope, 1, 1, 0, statement)


RUNS = [
    TestRun("quick", 1, frozenset({"f"})),
    TestRun("other", 2, frozenset({"g"})),
    TestRun("slow", 50, frozenset({"f"})),
]


def test_only_the_tests_that_enter_the_function_are_run_quickest_first_within_the_budget() -> None:
    assert [run.name for run in select_tests(mutant("f"), RUNS, 60)] == ["quick", "slow"]
    assert [run.name for run in select_tests(mutant("f"), RUNS, 10)] == ["quick"]
    assert [run.name for run in select_tests(mutant("f"), RUNS[2:], 10)] == ["slow"], "one at least"


def test_only_the_tests_that_reach_the_statement_are_run() -> None:
    runs = [TestRun("early", 1, frozenset({"f", "f@2"})), TestRun("late", 2, frozenset({"f", "f@2", "f@3"}))]
    assert [run.name for run in select_tests(mutant("f", "f@2"), runs, 60)] == ["early", "late"]
    assert [run.name for run in select_tests(mutant("f", "f@3"), runs, 60)] == ["late"]
    assert select_tests(mutant("f", "f@4"), runs, 60) == [], "no test comes there"


def test_what_stands_outside_of_functions_concerns_every_test() -> None:
    outside = [TestRun("constant", 0.1, frozenset()), *RUNS]
    for scope in ("", "Klass", "_Klass"):
        names = [run.name for run in select_tests(mutant(scope), outside, 60)]
        assert names == ["quick", "other", "slow", "constant"], "what enters the module comes first"
    assert select_tests(mutant("Klass.method"), RUNS, 60) == [], "a method that nothing enters"
    assert len(select_tests(mutant("f"), RUNS, 60, at_import={"f"})) == 3, "called by the import"


def test_the_tests_of_a_module_are_those_of_the_nearest_folder_of_its_name() -> None:
    gates = find_tests(Path("shared/deploy/gates/evaluate.py"), ROOT)
    assert gates == ["tests/deploy/gates/test_evaluate.py"], "those of its own name, if there are any"
    oplog = find_tests(Path("shared/mongodb/oplog.py"), ROOT)
    assert oplog == ["tests/mongodb/test_oplog.py", "tests/mongodb/test_oplog_laws.py"]
    neighbours = find_neighbours(Path("shared/mongodb/oplog.py"), ROOT)
    assert "tests/mongodb/test_metadata.py" in neighbours, "asked after those"
    assert not set(oplog) & set(neighbours)
    reader = find_tests(Path("shared/formats/archive_reader.py"), ROOT)
    assert reader == ["tests/formats/test_archive.py"], "of what it is the reader of"
    forecast = find_tests(Path("shared/power/forecast.py"), ROOT)
    assert forecast == ["tests/power/test_overrides.py"], "else those that import it"
    everybodys = find_tests(Path("shared/mongodb/model.py"), ROOT)
    assert "tests/mongodb/test_metadata.py" in everybodys, "else those of the folder"
    others = find_neighbours(Path("shared/power/forecast.py"), ROOT)
    assert "tests/power/test_decide.py" in others
    assert not [name for name in others if "/e2e/" in name or "test_killed" in name or "/cli/" in name]
    assert "tests/contract/test_blobs.py" in find_tests(Path("shared/adapters/blobs/upload.py"), ROOT)
    lease = find_tests(Path("shared/adapters/blobs/lease.py"), ROOT)
    assert lease == ["tests/adapters/blobs/test_lease.py"], "its own start no programs"
    assert find_tests(Path("shared/nowhere/decide.py"), ROOT) == []
    config = find_tests(Path("shared/kubernetes/kubeconfig.py"), ROOT)
    assert config == ["tests/contract/test_kubeconfig.py"], "what has no quicker one"
    assert find_tests(Path("cli/init.py"), ROOT) == ["tests/cli/test_init.py"]


def test_a_module_that_only_slow_tests_import_has_those_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "room"
    folder.mkdir(parents=True)
    (folder / "test_killed.py").write_text("from shared.room.decide import is_full\n")
    (folder / "test_job.py").write_text("from shared.room import job\n")
    assert find_tests(Path("shared/room/decide.py"), tmp_path) == ["tests/room/test_job.py"]


def test_a_score_takes_the_place_of_the_one_before_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "mutation.json"
    write_score(path, "b.py", ModuleScore(1, 40, 4, 2, ("x", "y")))
    write_score(path, "a.py", ModuleScore(1, 9, 3, 3, ()))
    write_score(path, "b.py", ModuleScore(2, 40, 4, 3, ("x",)))
    write_score(path, "b.py", ModuleScore(2, 40, 4, 4, (), late=1))
    scores = read_scores(path)
    assert list(scores) == ["a.py", "b.py"]
    assert list(scores["b.py"]) == ["1", "2"], "one seed was worked with, another measures"
    assert (scores["b.py"]["1"]["percent"], scores["b.py"]["1"]["survivors"]) == (50.0, ["x", "y"])
    assert (scores["b.py"]["2"]["percent"], scores["b.py"]["2"]["late"]) == (100.0, 1)
    assert (scores["a.py"]["1"]["survived"], scores["a.py"]["1"]["percent"]) == (0, 100.0)


def test_the_table_has_the_worst_first_and_the_sum() -> None:
    scores = {"a.py": ModuleScore(1, 9, 3, 3, ()), "b.py": ModuleScore(1, 9, 3, 1, ("x", "y"))}
    first, second, last = format_table(scores).splitlines()
    assert first.startswith("b.py")
    assert second.startswith("a.py")
    assert "6 mutants" in last
    assert "66.7 %" in last


def test_an_equivalent_mutant_needs_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "equivalents.json"
    assert read_equivalents(path) == {}
    path.write_text(json.dumps({"a.py": {"f: 1 → 2": " "}}))
    with pytest.raises(ValueError, match="has no reason"):
        read_equivalents(path)


def test_every_equivalent_mutant_on_record_is_one_that_is_still_possible() -> None:
    """What was changed since is judged anew."""
    for module, reasons in read_equivalents(ROOT / "bench" / "mutation_equivalents.json").items():
        possible = {one.key for one in list_mutants((ROOT / module).read_text("utf-8"))}
        assert set(reasons) <= possible, module


def test_the_document_tells_both_seeds_and_who_is_below() -> None:
    def score(seed: int, killed: int) -> dict[str, object]:
        score = ModuleScore(seed, 40, 10, killed, ())
        return {**asdict(score), "percent": score.percent}

    scores = {
        "shared/power/decide.py": {"1": score(1, 7), "2": score(2, 9)},
        "shared/power/session.py": {"1": score(1, 8)},
    }
    text = mutation_text(scores, {"a.py": {"x": "why"}, "b.py": {"x": "why", "y": "why"}})
    decide, session, together = text.splitlines()[2:5]
    assert decide == (
        "| `shared/power/decide.py` | 40 | 90 % | 7 of 10, 70.0 % (seed 1) | 9 of 10, 90.0 % (seed 2) |"
    )
    assert session == "| `shared/power/session.py` | 40 | 85 % | 8 of 10, 80.0 % (seed 1) |  |"
    assert together == "| 2 modules | | | 15 of 20, 75.0 % | 9 of 10, 90.0 % |"
    assert "by their last seed: `shared/power/session.py`." in text
    assert "3 changes are not counted" in text


@pytest.mark.parametrize(
    ("module", "least"),
    [
        ("shared/power/decide.py", 90),
        ("shared/restore/drill/cluster/decide.py", 90),
        ("shared/formats/age.py", 90),
        ("shared/adapters/blobs/lease.py", 90),
        ("shared/adapters/blobs/upload.py", 85),
        ("shared/backup/seal.py", 85),
    ],
)
def test_what_costs_data_or_lets_somebody_in_is_to_be_held_more_firmly(module: str, least: int) -> None:
    assert least_percent(module) == least
