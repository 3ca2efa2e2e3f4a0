"""Runs a module's tests once as they are, to see which enter which function, then against each mutant.

One process imports the module and collects its tests; each mutant is tried in a fork of it, with the changed
code put into the functions. What an import has a hand in (a constant, a default, a class, a function that is
called by one) is tried in forks of a process that has imported everything else, and now the changed module.
"""

from __future__ import annotations

import builtins
import importlib
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.mutation.forks import Outcome, run_forked
from local.mutation.loading import load_instead, preload_others
from local.mutation.operators import Mutant, add_probes, apply_mutant
from local.mutation.plugin import MODULE_SECONDS, NO_TESTS, MutantLoop, Recorder, run_pytest

_PROBE = "__mutation_probe__"
_OUTPUT = "output.txt"
_SECONDS = ".local/mutation-seconds.json"  # below the root, which is where it runs
# Imported once, before any fork: most of what a test file costs to begin. Nothing of ours is among them.
_EXPENSIVE = (
    "aiohttp",
    "azure.core",
    "azure.functions",
    "cryptography.x509",
    "hypothesis.strategies",
    "pydantic",
    "pymongo",
    "pytest",
    "requests",
    "yaml",
    "zstandard",
)
_LEAST_SECONDS = 6.0  # of the processor for a mutant, however quick its tests are
_SLACK = 5  # how much longer a mutant's tests may take than they did on the code as it is
_IDLE = 10  # by the clock, times that: for what waits without end


@dataclass(frozen=True, slots=True)
class Verdicts:
    """By a mutant's key whether a test noticed it; `late`: those that were ended because they did not end.

    `tests`: how many passed on the code as it is. Without any, nothing was tried, and `output` is what was
    printed then.
    """

    tests: int
    killed: dict[str, bool] = field(default_factory=dict)
    late: frozenset[str] = frozenset()
    output: str = ""


def preload() -> None:
    """Import what is expensive, so that every fork has it."""
    for name in _EXPENSIVE:
        with suppress(ImportError):
            importlib.import_module(name)


def try_mutants(
    module: Path,
    source: str,
    mutants: Sequence[Mutant],
    files: Sequence[str],
    *,
    budget: float = 30.0,
    least: float = _LEAST_SECONDS,
) -> Verdicts:
    """What the tests of those files say of each mutant.

    Of each at most `budget` seconds of tests, of those that ran in so many of the processor's seconds on
    the code as it is.
    """
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        session = MutationSession(module, source, tuple(mutants), Path(folder), budget, least)
        answer = session.run_inside(list(files))
        if not answer["tests"]:
            output = Path(folder, _OUTPUT)
            return Verdicts(0, output=output.read_text("utf-8", "replace") if output.exists() else "")
        killed, late = dict(answer["killed"]), set(answer["late"])
        rest = [one for one in mutants if one.key in answer["afresh"] and not killed.get(one.key)]
        if rest:
            again = session.run_afresh(rest, answer["afresh"], answer["modules"])
            killed |= again["killed"]
            late |= set(again["late"])
        return Verdicts(len(answer["tests"]), killed, frozenset(late))


@dataclass(frozen=True)
class MutationSession:
    """One module's mutants and where their answers are put."""

    module: Path
    source: str
    mutants: tuple[Mutant, ...]
    folder: Path
    budget: float
    least: float

    def run_inside(self, files: list[str]) -> dict[str, Any]:
        """Everything that needs no import, in forks of one process that has collected the tests."""

        def child() -> int:
            recorder = Recorder(self)
            setattr(builtins, _PROBE, recorder.add_scope)
            load_instead(self.module, add_probes(self.source, _PROBE))
            return run_pytest(files, [MutantLoop(self, recorder)], self.folder)

        self.run_long(child)
        return self.read("inside", {"tests": [], "killed": {}, "late": [], "afresh": {}, "modules": []})

    def run_afresh(
        self, mutants: Sequence[Mutant], plans: dict[str, Any], modules: list[str]
    ) -> dict[str, Any]:
        """The module imported as each mutant has it, in forks of a process that has imported all else."""

        def child() -> int:
            preload_others(self.module, modules)
            answer: dict[str, Any] = {"killed": {}, "late": []}
            for mutant in mutants:
                tests, seconds = plans[mutant.key]
                self.note(answer, mutant, self._run_fresh(mutant, tests, seconds))
                self.write("afresh", answer)
            return 0

        self.run_long(child)
        return self.read("afresh", {"killed": {}, "late": []})

    def _run_fresh(self, mutant: Mutant, tests: list[str], seconds: float) -> Outcome:
        def child() -> int:
            load_instead(self.module, apply_mutant(self.source, mutant))
            return run_pytest(["-x", *tests], [], self.folder)

        return self.run_limited(child, seconds) if tests else Outcome(NO_TESTS)

    def run_limited(self, child: Callable[[], int], seconds: float) -> Outcome:
        """A mutant's tests, as long as they may take."""
        limit = max(self.least, _SLACK * seconds)
        return run_forked(child, cpu_seconds=limit, wall_seconds=_IDLE * limit)

    def run_long(self, child: Callable[[], int], cpu_seconds: float = MODULE_SECONDS) -> None:
        """What is done once for all mutants; what it prints is kept."""
        output = self.folder / _OUTPUT
        run_forked(child, cpu_seconds=cpu_seconds, wall_seconds=MODULE_SECONDS, output=output)

    @staticmethod
    def note(answer: dict[str, Any], mutant: Mutant, outcome: Outcome) -> None:
        """Whether it was noticed, and whether only because it did not end."""
        answer["killed"][mutant.key] = outcome.code not in (0, NO_TESTS)
        if outcome.by_time:
            answer["late"].append(mutant.key)

    def read_seconds(self) -> dict[str, float]:
        """What each test took in an earlier run, on this machine; empty without any."""
        path = Path(_SECONDS)
        seconds: dict[str, float] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        return seconds

    def write_seconds(self, seconds: dict[str, float]) -> None:
        """For the next run; it is no more than an order, and so may be lost."""
        Path(_SECONDS).parent.mkdir(exist_ok=True)
        Path(_SECONDS).write_text(json.dumps(seconds), encoding="utf-8")

    def write(self, name: str, answer: dict[str, Any]) -> None:
        """For the process that asked, at each step: this one may be ended."""
        (self.folder / f"{name}.json").write_text(json.dumps(answer), encoding="utf-8")

    def read(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        """What the process wrote; the default if it did not come so far."""
        path = self.folder / f"{name}.json"
        answer: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else default
        return answer


def compiles(tree: Any) -> bool:
    """Whether the changed module can be compiled: a default that became a statement cannot."""
    try:
        compile(tree, "mutant", "exec")
    except (SyntaxError, ValueError, TypeError):
        return False
    return True
