"""The wiring of `catch_up` and `tick`: every job that may be overdue."""

from __future__ import annotations

from collections.abc import Callable

from shared.backup import job as backup
from shared.cost import job as cost
from shared.deploy import sweep
from shared.power import job as power
from shared.settings import definitions
from shared.settings.environment import environment
from shared.snapshots import job as snapshots
from shared.wiring.backup import backup as backup_wiring
from shared.wiring.cost import cost_deps as cost_wiring
from shared.wiring.deploy import run_if_enabled
from shared.wiring.power import power_deps as power_wiring
from shared.wiring.snapshots import snapshot_deps as snapshots_wiring


def overdue_jobs() -> dict[str, Callable[[], str]]:
    """The backup and forgotten deploys always; what is done in Azure where a subscription is named."""
    found: dict[str, Callable[[], str]] = {
        "backup": lambda: backup.run_overdue(backup_wiring()),
        "deploys": lambda: run_if_enabled(sweep.sweep_deploys),
    }
    if environment().values.get(definitions.SUBSCRIPTION.name):
        found["power"] = _power
        found["snapshots"] = lambda: str(snapshots.run_tick(snapshots_wiring()))
        found["cost"] = lambda: str(cost.report_week(cost_wiring()))
    return found


def _power() -> str:
    outcomes = power.run_tick(power_wiring())
    return "; ".join(f"{o.machine}: {o.error or o.done}" for o in outcomes) or "no machines"
