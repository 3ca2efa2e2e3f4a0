"""Runs tests in forked processes: once to see which enter which function, then against each mutant."""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.mutation.loading import load_instead
from local.mutation.operators import Mutant, add_probes, apply_mutant

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
_MEMORY_BYTES = 4 << 30  # a loop that a mutant never ends must not take the machine's memory
_BASELINE_SECONDS = 600.0
_LEAST_SECONDS = 20.0  # for a mutant, however quick its tests are: the fork and the imports count too
_SLACK = 5  # how much longer a mutant's tests may take than they did on the code as it is
_NO_TESTS = 5  # pytest's exit code


@dataclass(frozen=True, slots=True)
class TestRun:
    """One test on the code as it is: how long it took, and the functions of the module that it entered."""

    name: str
    seconds: float
    scopes: frozenset[str]

    __test__ = False  # for pytest, which would take the class for tests


def preload() -> None:
    """Import what is expensive, so that every fork has it."""
    for name in _EXPENSIVE:
        with suppress(ImportError):
            importlib.import_module(name)


def run_baseline(module: Path, source: str, files: Sequence[str]) -> list[TestRun]:
    """The tests that pass on the module as it is, quickest first; none where none does in time."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "tests.json")

        def child() -> int:
            recorder = _Recorder()
            setattr(builtins, _PROBE, recorder.add_scope)
            load_instead(module, add_probes(source, _PROBE))
            code = _run_pytest(list(files), [recorder])
            answer.write_text(json.dumps(recorder.passed), encoding="utf-8")
            return code

        _run_forked(child, _BASELINE_SECONDS)
        passed: dict[str, Any] = json.loads(answer.read_text("utf-8")) if answer.exists() else {}
    runs = [TestRun(name, one["seconds"], frozenset(one["scopes"])) for name, one in passed.items()]
    return sorted(runs, key=lambda run: (run.seconds, run.name))


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


def is_killed(
    module: Path, source: str, mutant: Mutant, tests: Sequence[TestRun], *, least: float = _LEAST_SECONDS
) -> bool:
    """Whether a test fails on the mutant, or has not ended after at least `least` seconds."""
    if not tests:
        return False

    def child() -> int:
        load_instead(module, apply_mutant(source, mutant))
        return _run_pytest(["-x", *(run.name for run in tests)], [])

    seconds = max(least, _SLACK * sum(run.seconds for run in tests))
    return _run_forked(child, seconds) not in (0, _NO_TESTS)


@dataclass
class _Recorder:
    """A plugin of pytest that notes what each test enters."""

    passed: dict[str, Any] = field(default_factory=dict)
    _scopes: set[str] = field(default_factory=set)
    _seconds: float = 0.0

    def add_scope(self, scope: str) -> None:
        self._scopes.add(scope)

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:  # noqa: ARG002 - pytest's hook
        self._scopes.clear()
        self._seconds = 0.0

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._seconds += report.duration
        if report.when == "call" and report.passed:
            # The set goes on growing until the teardown is done, and with it this list.
            self.passed[report.nodeid] = {"seconds": self._seconds, "scopes": sorted(self._scopes)}


def _run_pytest(arguments: list[str], plugins: list[Any]) -> int:
    """Without what writes beside the tests, and with the same examples each time."""
    import pytest
    from hypothesis import Phase, settings

    # No shrinking: that it fails is all there is to know. No database: a mutant's example is nobody else's.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutation", database=None, derandomize=True, deadline=None, phases=phases)
    settings.load_profile("mutation")
    # Imported before pytest could rewrite it, which is what it warns of, and warnings are errors.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    plain = ["-q", "-p", "no:cacheprovider", "--no-header", *quiet]
    return int(pytest.main([*plain, *arguments], plugins=plugins))


def _run_forked(child: Callable[[], int], seconds: float) -> int | None:
    """The exit code of `child` in a process of its own; None if it had to be ended, with all it had begun."""
    pid = os.fork()
    if pid == 0:
        _become(child)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    # The group, since a test may have begun processes; it is the child's own.
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _become(child: Callable[[], int]) -> None:
    """Never returns: the forked process does nothing of what its parent would."""
    code = 3
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        with open(os.devnull, "r+b") as nowhere:  # noqa: PTH123 - for its descriptor
            for number in (0, 1, 2):
                os.dup2(nowhere.fileno(), number)
        code = child()
    finally:
        os._exit(code)


def compiles(tree: ast.Module) -> bool:
    """Whether the changed module can be compiled: a default that became a statement cannot."""
    try:
        compile(tree, "mutant", "exec")
    except (SyntaxError, ValueError, TypeError):
        return False
    return True
