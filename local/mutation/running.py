"""Runs a module's tests once as they are, to see which enter which function, then against each mutant.

One process imports the module and collects its tests; each mutant is tried in a fork of it, with the changed
code put into the functions. What only an import can change (a constant, a default, a class), and what
survived so, is tried again in a process that has imported everything else, and imports the module changed.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.mutation.forks import Outcome, run_forked
from local.mutation.loading import load_instead, module_name, preload_others
from local.mutation.operators import Mutant, add_probes, apply_mutant
from local.mutation.patching import Patch, read_live_module

_PROBE = "__mutation_probe__"
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
_BASELINE_SECONDS = 40.0  # of the processor; what did not run by then is not asked
_MODULE_SECONDS = 3600.0  # by the clock, for all of a module's mutants
_LEAST_SECONDS = 20.0  # of the processor for a mutant, however quick its tests are
_SLACK = 5  # how much longer a mutant's tests may take than they did on the code as it is
_IDLE = 10  # by the clock, times that: for what waits without end
_NO_TESTS = 5  # pytest's exit code


@dataclass(frozen=True, slots=True)
class TestRun:
    """One test on the code as it is: the processor's seconds, and the functions of the module it entered."""

    name: str
    seconds: float
    scopes: frozenset[str]

    __test__ = False  # for pytest, which would take the class for tests


@dataclass(frozen=True, slots=True)
class Verdicts:
    """By a mutant's key whether a test noticed it; `late`: those that were ended because they did not end.

    `tests`: how many passed on the code as it is. Without any, nothing was tried.
    """

    tests: int
    killed: dict[str, bool] = field(default_factory=dict)
    late: frozenset[str] = frozenset()


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
    """What the tests of those files say of each mutant, of each at most `budget` seconds of tests."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        session = _Session(module, source, tuple(mutants), Path(folder), budget, least)
        answer = session.run_inside(list(files))
        if not answer["tests"]:
            return Verdicts(0)
        killed, late = dict(answer["killed"]), set(answer["late"])
        rest = [one for one in mutants if not killed.get(one.key)]
        if rest:
            # What has no effect on functions that exist may have one at the import.
            again = session.run_afresh(rest, answer["plans"], answer["modules"])
            killed |= again["killed"]
            late |= set(again["late"])
        return Verdicts(len(answer["tests"]), killed, frozenset(late))


def select_tests(mutant: Mutant, runs: Sequence[TestRun], budget: float) -> list[TestRun]:
    """Those that enter the mutant's function, quickest first, of at most `budget` seconds together.

    What stands outside of functions concerns every test that enters any function of the module.
    """
    is_function = any(mutant.scope in run.scopes for run in runs)
    concerned = [run for run in runs if (mutant.scope in run.scopes if is_function else run.scopes)]
    if not is_function and mutant.scope.rpartition(".")[2][:1].islower():
        return []  # a function that no test enters
    selected, spent = list[TestRun](), 0.0
    for run in concerned:
        spent += run.seconds
        if selected and spent > budget:
            break
        selected.append(run)
    return selected


@dataclass(frozen=True)
class _Session:
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
            return _run_pytest(files, [_Loop(self)], self.folder)

        self._run_long(child)
        return self.read("inside", {"tests": [], "killed": {}, "late": [], "plans": {}, "modules": []})

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

        self._run_long(child)
        return self.read("afresh", {"killed": {}, "late": []})

    def _run_fresh(self, mutant: Mutant, tests: list[str], seconds: float) -> Outcome:
        def child() -> int:
            load_instead(self.module, apply_mutant(self.source, mutant))
            return _run_pytest(["-x", *tests], [], self.folder)

        return self.run_limited(child, seconds) if tests else Outcome(_NO_TESTS)

    def run_limited(self, child: Any, seconds: float) -> Outcome:
        """A mutant's tests, as long as they may take."""
        limit = max(self.least, _SLACK * seconds)
        return run_forked(child, cpu_seconds=limit, wall_seconds=_IDLE * limit)

    def _run_long(self, child: Any) -> None:
        run_forked(child, cpu_seconds=_MODULE_SECONDS, wall_seconds=_MODULE_SECONDS)

    @staticmethod
    def note(answer: dict[str, Any], mutant: Mutant, outcome: Outcome) -> None:
        """Whether it was noticed, and whether only because it did not end."""
        answer["killed"][mutant.key] = outcome.code not in (0, _NO_TESTS)
        if outcome.by_time:
            answer["late"].append(mutant.key)

    def write(self, name: str, answer: dict[str, Any]) -> None:
        """For the process that asked, at each step: this one may be ended."""
        (self.folder / f"{name}.json").write_text(json.dumps(answer), encoding="utf-8")

    def read(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        """What the process wrote; the default if it did not come so far."""
        path = self.folder / f"{name}.json"
        answer: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else default
        return answer


@dataclass
class _Loop:
    """A plugin of pytest in place of its loop over the tests: all of them once, then some for each mutant."""

    asked: _Session

    def pytest_runtestloop(self, session: Any) -> bool:
        """After the collecting: the module was imported by now, by a test or here."""
        name = module_name(self.asked.module)
        importlib.import_module(name)
        live = read_live_module(name, self.asked.source)
        items = {item.nodeid: item for item in session.items}
        probes = live.plan_patches(add_probes(self.asked.source, _PROBE)) or []
        runs = self._run_baseline(list(items.values()), probes)
        plans = {one.key: select_tests(one, runs, self.asked.budget) for one in self.asked.mutants}
        answer: dict[str, Any] = {
            "tests": [run.name for run in runs],
            "plans": {
                key: [[run.name for run in plan], sum(run.seconds for run in plan)]
                for key, plan in plans.items()
            },
            "modules": [one for one in sys.modules if not one.startswith(("tests.", "test_", "conftest"))],
            "killed": {},
            "late": [],
        }
        self.asked.write("inside", answer)
        for mutant in self.asked.mutants if runs else ():
            patches = live.plan_patches(apply_mutant(self.asked.source, mutant))
            if patches is None:
                continue
            plan = plans[mutant.key]
            self.asked.note(
                answer, mutant, self._run_patched([items[run.name] for run in plan], plan, patches)
            )
            self.asked.write("inside", answer)
        return True

    def _run_patched(self, items: list[Any], plan: list[TestRun], patches: list[Patch]) -> Outcome:
        def child() -> int:
            for patch in patches:
                patch.apply()
            return _run_items(items)

        return (
            self.asked.run_limited(child, sum(run.seconds for run in plan)) if items else Outcome(_NO_TESTS)
        )

    def _run_baseline(self, items: list[Any], probes: list[Patch]) -> list[TestRun]:
        """The tests that pass on the module as it is, quickest first."""
        recorder = _Recorder(self.asked)

        def child() -> int:
            setattr(builtins, _PROBE, recorder.add_scope)
            for patch in probes:
                patch.apply()
            items[0].config.pluginmanager.register(recorder)
            return _run_items(items, until=time.process_time() + _BASELINE_SECONDS, stop=False)

        if items:
            run_forked(child, cpu_seconds=3 * _BASELINE_SECONDS, wall_seconds=_MODULE_SECONDS)
        passed = self.asked.read("baseline", {})
        runs = [TestRun(name, one["seconds"], frozenset(one["scopes"])) for name, one in passed.items()]
        return sorted(runs, key=lambda run: (run.seconds, run.name))


def _run_items(items: list[Any], *, until: float | None = None, stop: bool = True) -> int:
    """Collected tests, in this order; 1 at the first that fails, if it is to stop there."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        is_late = until is not None and time.process_time() > until
        if is_late or (stop and item.session.testsfailed):
            # What fixtures began is ended, though tests that would have used it follow.
            item.session._setupstate.teardown_exact(None)
            break
    return int(bool(items and items[0].session.testsfailed))


@dataclass
class _Recorder:
    """A plugin of pytest that notes what each test enters."""

    asked: _Session
    _passed: dict[str, Any] = field(default_factory=dict)
    _scopes: set[str] = field(default_factory=set)
    _begun: float = 0.0

    def add_scope(self, scope: str) -> None:
        self._scopes.add(scope)

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:  # noqa: ARG002 - pytest's hook
        self._scopes.clear()
        self._begun = _processor_seconds()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" and report.passed:
            self._passed[report.nodeid] = None
        if report.when == "teardown" and report.nodeid in self._passed:
            seconds = _processor_seconds() - self._begun
            self._passed[report.nodeid] = {"seconds": seconds, "scopes": sorted(self._scopes)}
            self.asked.write("baseline", {name: one for name, one in self._passed.items() if one})


def _processor_seconds() -> float:
    """Of this process and of those it began and waited for."""
    return sum(os.times()[:4])


def _run_pytest(arguments: list[str], plugins: list[Any], folder: Path) -> int:
    """Without what writes beside the tests, and with the same examples each time."""
    import pytest
    from hypothesis import Phase, settings

    # No shrinking: that it fails is all there is to know. No database: a mutant's example is nobody else's.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutation", database=None, derandomize=True, deadline=None, phases=phases)
    settings.load_profile("mutation")
    # Imported before pytest could rewrite it, which is what it warns of, and warnings are errors.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    plain = ["-q", "-p", "no:cacheprovider", "--no-header", f"--basetemp={folder / 'pytest'}", *quiet]
    return int(pytest.main([*plain, *arguments], plugins=plugins))


def compiles(tree: Any) -> bool:
    """Whether the changed module can be compiled: a default that became a statement cannot."""
    try:
        compile(tree, "mutant", "exec")
    except (SyntaxError, ValueError, TypeError):
        return False
    return True
