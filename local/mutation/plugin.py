"""Within pytest: the tests once as they are, then some of them against each mutant, each time in a fork."""

from __future__ import annotations

import importlib
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.mutation.forks import Outcome
from local.mutation.loading import module_name
from local.mutation.operators import apply_mutant
from local.mutation.patching import Patch, read_live_module
from local.mutation.selecting import TestRun, select_tests

if TYPE_CHECKING:
    from local.mutation.running import MutationSession

NO_TESTS = 5  # pytest's exit code
MODULE_SECONDS = 3600.0  # by the clock, for all of a module's mutants


# By identity: where a folder below has a conftest of its own, pytest puts plugins into sets.
@dataclass(eq=False)
class MutantLoop:
    """A plugin of pytest in place of its loop over the tests: all of them once, then some for each mutant."""

    asked: MutationSession
    recorder: Recorder

    def pytest_runtestloop(self, session: Any) -> bool:
        """After the collecting, by which the module was imported; if not, no test knows it yet."""
        name = module_name(self.asked.module)
        importlib.import_module(name)
        at_import = self.recorder.take_scopes()
        live = read_live_module(name, self.asked.source)
        items = {item.nodeid: item for item in session.items}
        runs = self._run_baseline(list(items.values()))
        answer: dict[str, Any] = {
            "tests": [run.name for run in runs],
            "modules": [one for one in sys.modules if not one.startswith(("tests.", "test_", "conftest"))],
            "afresh": {},
            "killed": {},
            "late": [],
        }
        for mutant in self.asked.mutants if runs else ():
            patches = live.plan_patches(apply_mutant(self.asked.source, mutant))
            if patches is None or mutant.scope in at_import:
                tests = select_tests(mutant, runs, self.asked.budget, at_import)
                answer["afresh"][mutant.key] = [run.name for run in tests], sum(run.seconds for run in tests)
            if patches is not None:
                tests = select_tests(mutant, runs, self.asked.budget)
                self.asked.note(answer, mutant, self._run_patched(items, tests, patches))
            self.asked.write("inside", answer)
        return True

    def _run_patched(self, items: dict[str, Any], tests: list[TestRun], patches: list[Patch]) -> Outcome:
        def child() -> int:
            for patch in patches:
                patch.apply()
            return _run_items([items[run.name] for run in tests])

        # A function that no test enters is not even tried.
        if not tests:
            return Outcome(NO_TESTS)
        return self.asked.run_limited(child, sum(run.seconds for run in tests))

    def _run_baseline(self, items: list[Any]) -> list[TestRun]:
        """The tests that pass on the module as it is, quickest first."""

        def child() -> int:
            items[0].config.pluginmanager.register(self.recorder)
            return _run_items(items, until=time.process_time() + self.asked.budget, stop=False)

        known = self.asked.read_seconds()
        # The quick ones first: a single test may take all the time that there is.
        items.sort(key=lambda item: known.get(item.nodeid, 0.0))
        if items:
            self.asked.run_long(child, cpu_seconds=3 * self.asked.budget + 1)
        passed = self.asked.read("baseline", {})
        runs = [TestRun(name, one["seconds"], frozenset(one["scopes"])) for name, one in passed.items()]
        self.asked.write_seconds({**known, **{run.name: round(run.seconds, 2) for run in runs}})
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


@dataclass(eq=False)
class Recorder:
    """A plugin of pytest that notes what each test enters."""

    asked: MutationSession
    _passed: dict[str, Any] = field(default_factory=dict)
    _scopes: set[str] = field(default_factory=set)
    _begun: float = 0.0

    def add_scope(self, scope: str) -> None:
        self._scopes.add(scope)

    def take_scopes(self) -> frozenset[str]:
        """What was entered up to now."""
        return frozenset(self._scopes)

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


def run_pytest(arguments: list[str], plugins: list[Any], folder: Path) -> int:
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
