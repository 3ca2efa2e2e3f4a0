"""`python -m tests.faults [--seeds 100] [--job NAME] [--seed N] [--write]`: jobs in storms of faults.

A failure names the job and the seed; `--job` and `--seed` repeat it alone, with its traceback.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from pathlib import Path

from tests.faults.scenarios import SCENARIOS
from tests.faults.storm import Storm

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "reliability.md"
_HEAD = """# Reliability

Jobs in storms of faults: up to three a run, at steps drawn by chance from a seed. When it is calm again each
job has to have come to its end: nothing lost, nothing doubled, nothing left open or locked, nobody locked
out, and nothing incomplete ever listed on the way. Written by `make faults`; do not edit. One storm is
repeated by its seed: `python -m tests.faults --job "JOB" --seed N`.

A lease stolen, a slow answer (90 seconds), a clock that jumps, somebody's file and half of a record happen
around the job right before one of its steps; the others happen to the step itself. A message is lost or
doubled where a job has a queue.

Beside these, tests kill every job at each of its steps in turn (`grep -rl Killed tests`), and others have the
real host, storage and MongoDB's protocol cut, refused, stalled and killed (`local/faults`, `tests/*/e2e`).

"""


def main() -> int:
    """0 if every run came to a good end."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="storms of each job")
    parser.add_argument("--job", choices=list(SCENARIOS))
    parser.add_argument("--seed", type=int, help="repeat this one")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    arguments = parser.parse_args()
    jobs = [arguments.job] if arguments.job else list(SCENARIOS)
    if arguments.seed is not None:
        for job in jobs:
            SCENARIOS[job](Storm(arguments.seed))
        return 0
    logging.disable()  # what jobs say of their faults is not what is looked for here
    tried, failed = _run_storms(jobs, arguments.seeds)
    text = _table(tried, arguments.seeds, len(failed))
    print(text)
    for job, seed, error in failed:
        print(f'failed: python -m tests.faults --job "{job}" --seed {seed}: {error}', file=sys.stderr)
    if arguments.write and not failed:
        PAGE.write_text(_HEAD + text)
    return 1 if failed else 0


def _run_storms(jobs: list[str], seeds: int) -> tuple[dict[str, Counter[str]], list[tuple[str, int, str]]]:
    tried: dict[str, Counter[str]] = {job: Counter() for job in jobs}
    failed = []
    for job in jobs:
        for seed in range(seeds):
            storm = Storm(seed)
            try:
                SCENARIOS[job](storm)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are run
                failed.append((job, seed, f"{type(error).__name__}: {error}"[:200]))
            tried[job] += storm.tried
    return tried, failed


def _table(tried: dict[str, Counter[str]], seeds: int, failed: int) -> str:
    faults = sorted({name for counter in tried.values() for name in counter})
    lines = ["| fault | " + " | ".join(tried) + " |", "|---" * (len(tried) + 1) + "|"]
    lines += [
        f"| {name} | " + " | ".join(str(c[name] or "") for c in tried.values()) + " |" for name in faults
    ]
    end = f"{failed} did not come to a good end." if failed else "All came to a good end."
    runs = f"{seeds} storms of each job; the figures say how often each fault struck. {end}\n"
    return "\n".join(lines) + "\n\n" + runs


if __name__ == "__main__":
    raise SystemExit(main())
