"""Why heavy tests are heavy: each file with a test of five seconds or more of two busy cores has its reason.

Begun in this order, before all others, so that all workers are busy to the end. A file that is as slow and
not here is named at the end of a run; nobody fails for it, since a slow machine is no fault of a test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

LIMIT_SECONDS = 20.0  # of one test by the clock, with four workers on two cores

# In heavy.txt, a line for each file.
REASONS: dict[str, str] = dict(
    line.split(": ", 1) for line in Path(__file__).with_suffix(".txt").read_text("utf-8").splitlines()
)
# What else is begun before the many short ones.
_THEN = ("/e2e/", "cli/test_doctor", "/contract/", "test_killed.py", "/local/rocketchat/")


def start_order(path: PurePath) -> int:
    """Where a file of tests comes in: the lower, the earlier."""
    name = path.as_posix().rpartition("/tests/")[2]
    order = {heavy: number for number, heavy in enumerate(REASONS)}
    if name in order:
        return order[name]
    return next(
        (len(order) + n for n, part in enumerate(_THEN) if part in f"/{name}"), len(order) + len(_THEN)
    )


def find_unexplained(seconds_by_test: Mapping[str, float]) -> list[str]:
    """`file: seconds of its slowest test` for files over the limit that have no reason, the slowest first."""
    slowest: dict[str, float] = defaultdict(float)
    for test, seconds in seconds_by_test.items():
        file = test.partition("::")[0].removeprefix("tests/")
        slowest[file] = max(slowest[file], seconds)
    slow = {file: most for file, most in slowest.items() if most > LIMIT_SECONDS and file not in REASONS}
    return [f"tests/{file}: {slow[file]:.0f} s" for file in sorted(slow, key=lambda file: -slow[file])]


def sum_seconds(durations: Iterable[tuple[str, float]]) -> dict[str, float]:
    """By test what its parts took together: what it is given, itself, what it leaves."""
    sums: dict[str, float] = defaultdict(float)
    for test, seconds in durations:
        sums[test] += seconds
    return dict(sums)
