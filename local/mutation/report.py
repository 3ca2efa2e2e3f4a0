"""What came out, by module, in `bench/mutation.json`; and the mutants that no test could notice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any


@dataclass(frozen=True, slots=True)
class ModuleScore:
    """What the tests noticed of one module.

    - `seed`: what the sample was drawn with; `possible`: of how many mutants.
    - `mutants`: how many were tried, without those that are known to be equivalent.
    - `survivors`: the keys of those that no test noticed.
    - `late`: how many of the killed were ended because they did not end.
    """

    seed: int
    possible: int
    mutants: int
    killed: int
    survivors: tuple[str, ...]
    late: int = 0

    @property
    def percent(self) -> float:
        """How many of a hundred were noticed; 100 if there was nothing to notice."""
        return round(100 * self.killed / self.mutants, 1) if self.mutants else 100.0


# Decisions, formats, leases, webhooks, sign-in, settings: what is wrong there costs data or lets somebody in.
GUARDED = (
    "shared/*/decide.py",
    "shared/*/*/decide.py",
    "shared/*/*/*/decide.py",
    "shared/restore/compare.py",
    "shared/deploy/state_machine.py",
    "shared/deploy/watermark.py",
    "shared/deploy/ordering.py",
    "shared/deploy/rollout/observe.py",
    "shared/deploy/webhook/*.py",
    "shared/formats/*.py",
    "shared/mongodb/oplog.py",
    "shared/power/overrides.py",
    "shared/power/schedule.py",
    "shared/settings/*.py",
    "shared/web/*.py",
    "shared/kernel/*.py",
    "shared/adapters/blobs/lease.py",
)


def least_percent(module: str) -> int:
    """How many of a hundred changes the tests of that module have to notice."""
    return 90 if any(PurePosixPath(module).match(pattern) for pattern in GUARDED) else 85


def read_scores(path: Path) -> dict[str, Any]:
    """What was measured before, by module and seed; empty without the file."""
    if not path.exists():
        return {}
    modules: dict[str, Any] = json.loads(path.read_text("utf-8"))["modules"]
    return modules


def write_score(path: Path, module: str, score: ModuleScore) -> None:
    """Put one module's score among the others, after each: a run may be ended at any time.

    Other seeds' stay: the one that was worked with beside the one it was measured with.
    """
    modules = read_scores(path)
    entry = {**asdict(score), "survived": len(score.survivors), "percent": score.percent}
    seeds = {**modules.get(module, {}), str(score.seed): entry}
    modules[module] = dict(sorted(seeds.items(), key=lambda row: int(row[0])))
    document = {"modules": dict(sorted(modules.items()))}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_equivalents(path: Path) -> dict[str, dict[str, str]]:
    """By module the keys of equivalent mutants, each with its reason. Raises ValueError for one without."""
    document: dict[str, dict[str, str]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for module, reasons in document.items():
        for key, reason in reasons.items():
            if not reason.strip():
                raise ValueError(f"{module}: {key} has no reason")
    return document


def format_table(scores: Mapping[str, ModuleScore]) -> str:
    """A line a module, the worst first, and the sum."""
    rows = sorted(scores.items(), key=lambda row: (row[1].percent, row[0]))
    width = max((len(module) for module in scores), default=0)
    lines = [
        f"{module:{width}}  {one.mutants:4} mutants  {one.killed:4} killed  {one.percent:5.1f} %"
        for module, one in rows
    ]
    tried, killed = _sum([one.mutants for _, one in rows]), _sum([one.killed for _, one in rows])
    share = 100 * killed / tried if tried else 100.0
    return "\n".join([*lines, f"{'together':{width}}  {tried:4} mutants  {killed:4} killed  {share:5.1f} %"])


def _sum(numbers: Sequence[int]) -> int:
    return sum(numbers)
