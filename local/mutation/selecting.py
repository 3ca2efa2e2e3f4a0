"""Which tests are run against a mutant, of those that ran on the code as it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from local.mutation.operators import Mutant


@dataclass(frozen=True, slots=True)
class TestRun:
    """One test on the code as it is: the processor's seconds, and the functions and statements of the module
    that it entered."""

    name: str
    seconds: float
    scopes: frozenset[str]

    __test__ = False  # for pytest, which would take the class for tests


def select_tests(
    mutant: Mutant, runs: Sequence[TestRun], budget: float, at_import: Collection[str] = ()
) -> list[TestRun]:
    """Those that reach the mutant's statement, quickest first, of at most `budget` seconds together.

    What stands outside of functions, or is called by the import (`at_import`), may concern any test; those
    that enter the module come first.
    """
    entering = [run for run in runs if (mutant.statement or mutant.scope) in run.scopes]
    if mutant.scope in at_import or not (entering or _is_function(mutant.scope)):
        concerned = sorted(runs, key=lambda run: not run.scopes)
    else:
        concerned = entering
    selected, spent = list[TestRun](), 0.0
    for run in concerned:
        spent += run.seconds
        if selected and spent > budget:
            break
        selected.append(run)
    return selected


def _is_function(scope: str) -> bool:
    """By its name, as long as classes begin with a capital letter."""
    return scope.rpartition(".")[2].lstrip("_")[:1].islower()
