"""The status of Groundcrew: backups, runs, holds, machines, the last cost report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from shared.backup.sets import list_sets
from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Blobs, Clock
from shared.records.holds import Holds
from shared.records.runs import RunRecord, Runs

JOBS = ("backup", "deploy", "snapshots")
_RUNS_SHOWN = 3


def build_status(
    backups: Blobs, state: Blobs, clock: Clock, more: Mapping[str, Callable[[], Any]]
) -> dict[str, Any]:
    """Every section by itself: one that fails says why, and hides no other."""
    sections: dict[str, Callable[[], Any]] = {
        "backups": lambda: _report_backups(backups, clock),
        "runs": lambda: {job: _report_runs(Runs(state, clock), job) for job in JOBS},
        "holds": lambda: [asdict(hold) for hold in Holds(state, clock).in_force()],
        "cost": lambda: _read_cost_report(state),
        **more,
    }
    return {"at": clock.now().isoformat(), **{name: _run_section(run) for name, run in sections.items()}}


def _run_section(section: Callable[[], Any]) -> Any:
    try:
        return section()
    except GroundcrewError as error:
        return {"error": str(error)}


def _report_backups(backups: Blobs, clock: Clock) -> dict[str, Any]:
    listed = list_sets(backups)
    sealed = [s for s in listed if s.state == "sealed"]
    newest = sealed[-1] if sealed else None
    age = (clock.now() - newest.created).total_seconds() / 3600 if newest else None
    return {
        "newest": newest.folder if newest else None,
        "age_hours": None if age is None else round(age, 1),
        "sealed": len(sealed),
        "open": [s.folder for s in listed if s.state == "open"],
        "failed": [s.folder for s in listed if s.state == "failed"][-_RUNS_SHOWN:],
        "stored_bytes": sum(s.stored_bytes for s in sealed),
    }


def _report_runs(runs: Runs, job: str) -> list[dict[str, Any]]:
    newest: list[RunRecord] = sorted(runs.all(job), key=lambda run: run.updated)[-_RUNS_SHOWN:]
    return [
        {"id": r.id, "state": r.state, "updated": r.updated, "message": r.error or r.summary} for r in newest
    ]


def _read_cost_report(state: Blobs) -> str:
    """The text of the last weekly report; empty before the first."""
    names = [blob.name for blob in state.list("cost/") if blob.name.endswith(".txt")]
    return state.read(names[-1])[0].decode() if names else ""
