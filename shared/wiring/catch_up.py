"""The wiring of `catch_up` and `tick`: every job that may be overdue."""

from __future__ import annotations

from collections.abc import Callable

from shared.backup import job as backup
from shared.catch_up.watch import report_poison_queues, report_settings
from shared.certificates import job as certificate_job
from shared.chatops.records import ChatDeliveries
from shared.deploy import drift_job, sweep
from shared.kernel.errors import UsageError
from shared.wiring import (
    alerts,
    calendar,
    certificates,
    connect_queues,
    cost,
    drill,
    hardening,
    load_policy,
    open_state,
    pitr,
    power,
    prune,
    secrets,
    snapshots,
    system_clock,
)
from shared.wiring.backup import backup_deps, catalogue_if_trusted
from shared.wiring.deploy import run_if_enabled
from shared.wiring.jobs import QUEUES, read_settings_report, settings_checks
from shared.wiring.notifications import build_notifier, deliver_pending
from shared.wiring.timers import check_timers

EVERY_JOB = "Groundcrew"  # as what cannot run where the policy cannot be read

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
    "hardening_audit": "hardening",
    "lockout_calendar": "calendar",
    "oplog_capture": "oplog",
    "retention": "retention",
}


def overdue_jobs() -> dict[str, Callable[[], str]]:
    """The watch, backups and stalled deploys always; the others where policy or a setting asks for them."""
    # In this order: what tells people first, then what they would miss most; each is run although the one
    # before failed.
    watch: dict[str, Callable[[], str]] = {
        "notifications": deliver_pending,
        "alerts": alerts.run_check,
        "timers": check_timers,
        # The host moves a message there after five failures and says so in its log only.
        "poison_queues": lambda: report_poison_queues(connect_queues(), build_notifier(), QUEUES),
        "settings": _check_settings,
    }
    try:
        load_policy()
    except UsageError:
        # Nobody knows which jobs there are; that none runs is told by `settings`.
        return watch
    overdue: dict[str, Callable[[], str]] = {
        **watch,
        "backup": lambda: backup.run_overdue(backup_deps()),
        "deploys": lambda: run_if_enabled(sweep.sweep_deploys),
        "history": _keep_history,
        "backup_sets": _count_sets,
        "drift": lambda: run_if_enabled(drift_job.run_overdue_check),
    }
    overdue["calendar"] = calendar.run_overdue
    # Without rules no delivery is ever recorded; listing for nothing costs a call each quarter of an hour.
    if load_policy().chat.rules:
        overdue["chat"] = lambda: ChatDeliveries(open_state(), system_clock()).remove_expired()
    if certificates.is_enabled():
        overdue["certificates"] = lambda: certificate_job.run_overdue(certificates.certificate_deps())
    if secrets.is_enabled():
        overdue["secrets"] = secrets.run_overdue
    if hardening.is_enabled():
        overdue["hardening"] = hardening.run_overdue
    if power.is_enabled():
        # Always due: a tick decides by what is, so one more of it changes nothing that is as planned.
        overdue["power"] = power.run_tick
    if snapshots.is_enabled():
        overdue["snapshots"] = snapshots.run_cycle
        overdue["snapshot_check"] = lambda: snapshots.run_weekly_check() or "nothing to do: not due"
    if cost.is_enabled():
        overdue["cost"] = cost.run_report
    overdue["oplog"] = pitr.run_if_enabled
    overdue["retention"] = prune.run_overdue
    if drill.is_enabled():
        overdue["drill"] = drill.run_overdue  # last: the others would wait for its restore
    return overdue


def _check_settings() -> str:
    from shared.status.settings_report import save_settings_report

    # First of all, since it says which jobs there are: without it that none of them runs is what is told.
    checks: dict[str, Callable[[], object]] = {EVERY_JOB: load_policy}
    try:
        report, jobs = read_settings_report(), settings_checks()
    except UsageError as error:
        report, jobs = {EVERY_JOB: str(error)}, {}
    # Written for the status page, which must not build every job's clients to find out.
    save_settings_report(open_state(), system_clock().now(), report)
    return report_settings({**checks, **jobs}, build_notifier())


def _count_sets() -> str:
    from shared.status.set_counts import count_sets

    # Counting lists every set, which the metrics must not do at each scrape: so it is done here, and kept.
    catalogue = catalogue_if_trusted()
    if catalogue is None:
        return "no signer of backups is trusted"
    return count_sets(catalogue, open_state(), system_clock().now())


def _keep_history() -> str:
    """What a run that was killed did not roll up is rolled up, and days that nobody looks at go."""
    from shared.records.run_history import keep_history
    from shared.wiring.notifications import notification_dedup

    done = keep_history(open_state(), system_clock().now())
    # Once a day, as that is: a listing every quarter of an hour would cost more than what it removes.
    return done if done.startswith("nothing to do") else f"{done}; {notification_dedup().remove_expired()}"
