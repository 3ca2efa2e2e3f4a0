"""The status of Groundcrew: backups, runs, holds, machines, the last cost report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from shared.backup.catalogue import SetCatalogue, SetState
from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Blobs, Clock
from shared.records.holds import Holds
from shared.records.run_record import RunRecord
from shared.records.runs import Runs

JOBS = ("backup", "deploy", "snapshots")
_RUNS_SHOWN = 3


def build_status(
    catalogue: Callable[[], SetCatalogue], state: Blobs, clock: Clock, more: Mapping[str, Callable[[], Any]]
) -> dict[str, Any]:
    """Every section by itself: one that fails says why, and hides no other."""
    sections: dict[str, Callable[[], Any]] = {
        "backups": lambda: _report_backups(catalogue(), clock),
        "runs": lambda: {job: _report_runs(Runs(state, clock), job) for job in JOBS},
        "holds": lambda: [asdict(hold) for hold in Holds(state, clock).list_in_force()],
        "cost": lambda: _read_cost_report(state),
        **more,
    }
    return {"at": clock.now().isoformat(), **{name: _run_section(run) for name, run in sections.items()}}


def _run_section(section: Callable[[], Any]) -> Any:
    try:
        return section()
    except GroundcrewError as error:
        return {"error": str(error)}


def _report_backups(catalogue: SetCatalogue, clock: Clock) -> dict[str, Any]:
    folders: dict[str, list[str]] = {state: [] for state in SetState}
    entries = catalogue.entries()
    for entry in entries:
        folders[entry.state].append(entry.info.folder)
    sealed = [entry.info for entry in entries if entry.state is SetState.SEALED]
    age = (clock.now() - sealed[-1].created).total_seconds() / 3600 if sealed else None
    return {
        "newest": sealed[-1].folder if sealed else None,
        "age_hours": None if age is None else round(age, 1),
        "problem": catalogue.head_problem(),
        "sealed": len(sealed),
        "open": folders[SetState.OPEN],
        "failed": folders[SetState.FAILED][-_RUNS_SHOWN:],
        "damaged": folders[SetState.DAMAGED],
        "foreign": folders[SetState.FOREIGN],
        "misdated": folders[SetState.MISDATED],
        "stored_bytes": sum(info.stored_bytes for info in sealed),
    }


def _report_runs(runs: Runs, job: str) -> list[dict[str, Any]]:
    newest: list[RunRecord] = sorted(runs.list_runs(job), key=lambda run: run.updated)[-_RUNS_SHOWN:]
    return [
        {"id": r.id, "state": r.state, "updated": r.updated, "message": r.error or r.summary} for r in newest
    ]


def _read_cost_report(state: Blobs) -> str:
    """The text of the last weekly report; empty before the first."""
    names = [blob.name for blob in state.list("cost/") if blob.name.endswith(".txt")]
    return state.read(names[-1])[0].decode() if names else ""
