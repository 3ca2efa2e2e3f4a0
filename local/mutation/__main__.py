"""`python -m local.mutation [--seed 1] [--sample 30] [--minutes 60] [MODULE …]`: mutate, test, record.

Without modules: those of which a mistake costs data or lets somebody in, the last changed first. Figures and
survivors go into bench/mutation.json; what cannot be noticed stands with its reason in
bench/mutation_equivalents.json. Exits 1 if a module's share is below `--least`.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from local.mutation.operators import Mutant, apply_mutant, list_mutants
from local.mutation.report import GUARDED, ModuleScore, format_table, read_equivalents, write_score
from local.mutation.rooms import find_neighbours, find_tests
from local.mutation.running import compiles, preload, try_mutants

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "mutation.json"
EQUIVALENTS = ROOT / "bench" / "mutation_equivalents.json"
_MOST_LINES = 5  # of what failing tests print
_NEIGHBOURS_SHARE = 0.4  # of the budget: most of what they cost is spent on finding out that they say nothing


def main() -> int:
    """See the module."""
    options = _parse_arguments()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    preload()
    deadline = time.monotonic() + options.minutes * 60
    scores: dict[str, ModuleScore] = {}
    for module in find_modules(options.modules):
        if time.monotonic() > deadline:
            print(f"the {options.minutes} minutes are over: {module} and what follows were not tried")
            break
        score = mutate_module(module, options.seed, options.sample, options.budget)
        if score is not None:
            scores[str(module)] = score
            write_score(RESULTS, str(module), score)
    print(format_table(scores))
    return int(any(score.percent < options.least for score in scores.values()))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.mutation", description="Mutate and test.")
    parser.add_argument("modules", nargs="*", help="files or patterns below the root")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=30, help="mutants a module at most")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--budget", type=float, default=30.0, help="seconds of tests a mutant at most")
    parser.add_argument("--least", type=float, default=0.0, help="percent below which it fails")
    return parser.parse_args()


def find_modules(patterns: Sequence[str]) -> list[Path]:
    """The modules meant, relative to the root: as they are named, else the last committed first."""
    if patterns and all(ROOT.joinpath(name).is_file() for name in patterns):
        return [Path(name) for name in dict.fromkeys(patterns)]
    files = {path for pattern in patterns or GUARDED for path in ROOT.glob(pattern)}
    modules = (path.relative_to(ROOT) for path in files if path.name != "__init__.py")
    return sorted(modules, key=lambda path: (-_committed_at(path), str(path)))


def _committed_at(module: Path) -> int:
    command = ["git", "log", "-1", "--format=%ct", "--", str(module)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    # One that was never committed is the newest of all.
    return int(shown) if shown else int(time.time())


def mutate_module(module: Path, seed: int, most: int, budget: float) -> ModuleScore | None:
    """Try a sample of the module's mutants; None if it has no mutants, or no tests that pass."""
    source = (ROOT / module).read_text("utf-8")
    known = read_equivalents(EQUIVALENTS).get(str(module), {})
    possible = [one for one in list_mutants(source) if one.key not in known]
    sample = draw_sample(possible, f"{seed}:{module}", most)
    files = find_tests(module, ROOT)
    if not files or not sample:
        return None
    # One that cannot even be compiled is noticed.
    able = [one for one in sample if compiles(apply_mutant(source, one))]
    verdicts = try_mutants(module, source, able, files, budget=budget)
    if not verdicts.tests:
        # Not a score of nought: no test failed on a mutant, since none passed without one, or in time.
        print(
            f"{module}: no test of {', '.join(files)} passes on it as it is, or in time; not tried:",
            *verdicts.output.splitlines()[-_MOST_LINES:],
            sep="\n  ",
            flush=True,
        )
        return None
    survivors, late = [one for one in able if not verdicts.killed.get(one.key)], len(verdicts.late)
    if survivors and (others := find_neighbours(module, ROOT)):
        # A test of the folder may hold what those of the module's name do not.
        verdicts = try_mutants(module, source, survivors, others, budget=budget * _NEIGHBOURS_SHARE)
        survivors, late = (
            [one for one in survivors if not verdicts.killed.get(one.key)],
            late + len(verdicts.late),
        )
    for mutant in survivors:
        print(f"survived: {module}:{mutant.line} {mutant.key}", flush=True)
    killed = len(sample) - len(survivors)
    print(f"{module}: {killed} of {len(sample)} killed ({late} did not end)", flush=True)
    return ModuleScore(seed, len(possible), len(sample), killed, tuple(one.key for one in survivors), late)


def draw_sample(mutants: Iterable[Mutant], seed: str, most: int) -> list[Mutant]:
    """At most so many, the same for the same seed, in the order of the module."""
    everything = list(mutants)
    chosen = random.Random(seed).sample(everything, min(most, len(everything)))
    return sorted(chosen, key=lambda one: (one.line, one.node, one.variant))


if __name__ == "__main__":
    sys.exit(main())
