"""The wiring of `catch_up` and `tick`: every job that may be overdue."""

from __future__ import annotations

from collections.abc import Callable

from shared.backup import job as backup
from shared.catch_up.watch import report_poison_queues, report_settings
from shared.certificates import job as certificate_job
from shared.chatops.records import ChatDeliveries
from shared.cost import job as cost
from shared.deploy import drift_job, sweep
from shared.power.last_tick import describe_tick, run_recorded_tick
from shared.secrets_rotation import job as secrets_job
from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.snapshots import job as snapshots
from shared.wiring import certificates, connect_queues, drill, load_policy, open_state, secrets, system_clock
from shared.wiring.backup import backup_deps
from shared.wiring.cost import cost_deps
from shared.wiring.deploy import run_if_enabled
from shared.wiring.jobs import QUEUES, settings_checks
from shared.wiring.notifications import build_notifier, deliver_pending
from shared.wiring.power import power_deps
from shared.wiring.snapshots import run_weekly_check, snapshot_deps

# Which entry makes up for which timer; tests/wiring/test_catch_up.py fails for a timer without one.
MADE_UP_BY = {
    "nightly_backup": "backup",
    "power_tick": "power",
    "snapshot_cycle": "snapshots",
    "cost_report": "cost",
    "drift_check": "drift",
    "certificate_scan": "certificates",
    "secrets_rotation": "secrets",
    "restore_drill": "drill",
}


def overdue_jobs() -> dict[str, Callable[[], str]]:
    """The watch, backups and stalled deploys always; the jobs for Azure where a subscription is set."""
    overdue: dict[str, Callable[[], str]] = {
        "notifications": deliver_pending,
        "poison_queues": lambda: report_poison_queues(connect_queues(), build_notifier(), QUEUES),
        "settings": _check_settings,
        "backup": lambda: backup.run_overdue(backup_deps()),
        "deploys": lambda: run_if_enabled(sweep.sweep_deploys),
        "history": _keep_history,
        "drift": lambda: run_if_enabled(drift_job.run_overdue_check),
    }
    if load_policy().chat.rules:
        overdue["chat"] = lambda: ChatDeliveries(open_state(), system_clock()).remove_expired()
    if certificates.is_enabled():
        overdue["certificates"] = lambda: certificate_job.run_overdue(certificates.certificate_deps())
    if secrets.is_enabled():
        overdue["secrets"] = lambda: secrets_job.run_overdue(secrets.rotation_deps())
    if read_environment().values.get(definitions.SUBSCRIPTION.name):
        overdue["power"] = _run_power_tick
        overdue["snapshots"] = lambda: str(snapshots.run_tick(snapshot_deps()))
        overdue["snapshot_check"] = lambda: run_weekly_check() or "nothing to do: not due"
        overdue["cost"] = lambda: str(cost.report_week(cost_deps()))
    if drill.is_enabled():
        overdue["drill"] = drill.run_overdue  # last: the others would wait for its restore
    return overdue


def _check_settings() -> str:
    return report_settings(settings_checks(), build_notifier())


def _run_power_tick() -> str:
    return describe_tick(run_recorded_tick(power_deps()))


def _keep_history() -> str:
    """What a run that was killed did not roll up is rolled up, and days that nobody looks at go."""
    from shared.records.run_history import keep_history

    return keep_history(open_state(), system_clock().now())
