"""Reads each part of the status from what its feature keeps. Nothing here asks anything but the storage.

Whoever was woken needs the page now: so jobs write down what they saw, with the time, and the page says how
old that is. What is too old is not known any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.backup.catalogue import SetCatalogue
from shared.backup.key_drill import read_key_drill
from shared.backup.proofs import read_drill_records
from shared.backup.sets import list_sets, parse_set_id, read_failure
from shared.certificates.lifetime import find_alarm_times
from shared.certificates.model import CertificateEntry
from shared.certificates.records import load_last_scan
from shared.cost.history import LAST_REPORT
from shared.deploy.records.deploy_record import JOB
from shared.deploy.records.deploys import DeployStore
from shared.deploy.records.drift import load_drift_check
from shared.formats.backupset import SetFailure
from shared.kernel.codec import decode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs, Clock, Queues
from shared.kernel.timestamps import format_minute, parse_timestamp
from shared.power.last_tick import SeenMachine, load_last_tick
from shared.records.holds import Holds
from shared.records.rollup import JobNewest
from shared.records.run_history import RunHistory
from shared.secrets_rotation.inventory import load_inventory
from shared.snapshots.last_cycle import load_last_cycle
from shared.status.model import (
    BackupFacts,
    CertificateSummary,
    CostFacts,
    CostWeek,
    DeployFacts,
    DiskFacts,
    DrillFacts,
    JobFacts,
    KeyDrillFacts,
    MachineCostFacts,
    MachineFacts,
    NotSetUp,
    PowerFacts,
    RunFacts,
    ScanFacts,
    SnapshotFacts,
)
from shared.status.secret_facts import SecretFacts, SecretSummary
from shared.status.uptime_days import parse_uptime_day

if TYPE_CHECKING:
    from shared.policy import BackupPolicy, CertificatePolicy, DeployPolicy, PowerPolicy, SnapshotPolicy
    from shared.policy.drill import DrillPolicy

# A deploy waits for people and for checks as policy says, is applied at most three times, and makes a backup.
_DEPLOY_ATTEMPTS, _BACKUP_TIME = 3, timedelta(hours=2)
# As long as history is kept by day; what is older is of no use at night.
_YEAR = timedelta(days=365)


def read_backup(catalogue: SetCatalogue, rules: BackupPolicy) -> BackupFacts:
    """The newest good set, the newest that failed, and the head of the chain."""
    facts = BackupFacts(rules.alarm_after, head_problem=catalogue.head_problem())
    if failure := _find_newest_failure(catalogue):
        facts = replace(facts, failed_at=failure.at, failure=failure.error)
    newest = catalogue.newest_good()
    if newest is None:
        return facts
    return replace(
        facts,
        reference=newest.info.reference,
        begun=newest.info.created,
        sealed=newest.sealed_at,
        stored_bytes=newest.info.stored_bytes,
    )


def read_certificates(state: Blobs, rules: CertificatePolicy) -> ScanFacts:
    """The newest scan."""
    scan = load_last_scan(state)
    if scan is None:
        raise NotSetUp("not scanned yet")
    return ScanFacts(scan.at, [_to_summary(entry, rules) for entry in scan.entries])


def read_secrets(state: Blobs) -> SecretFacts:
    """What the timer of rotations saw last."""
    inventory = load_inventory(state)
    if inventory is None:
        raise NotSetUp("no secret was looked at yet")
    return SecretFacts(
        inventory.at,
        [
            SecretSummary(
                one.name, one.kind, one.state, one.homes, one.readers, one.changed, one.due, one.rotated,
                one.has_limit, one.reasons,
            )
            for one in inventory.entries
        ],
    )  # fmt: skip


def _to_summary(entry: CertificateEntry, rules: CertificatePolicy) -> CertificateSummary:
    times: tuple[datetime | None, datetime | None] = (None, None)
    if entry.not_before is not None and entry.not_after is not None:
        times = find_alarm_times(entry.not_before, entry.not_after, rules, renews_at=entry.renews_at)
    return CertificateSummary(
        entry.name,
        str(entry.kind),
        str(entry.state),
        entry.reasons,
        entry.not_before,
        entry.not_after,
        entry.renews_at,
        entry.seen,
        entry.valid,
        *times,
    )


def read_snapshots(state: Blobs, rules: SnapshotPolicy) -> SnapshotFacts:
    """The good snapshots of each disk at the newest look."""
    if rules.disks is None:
        raise NotSetUp("policy.yaml names no disks under snapshots")
    cycle = load_last_cycle(state)
    if cycle is None:
        raise NotSetUp("no snapshot cycle has run yet")
    disks = {name: DiskFacts(one.newest, len(one.times), one.times) for name, one in cycle.disks.items()}
    # One that was missed is made up for within the hour, so half of the interval is room enough.
    return SnapshotFacts(cycle.at, disks, rules.every * 1.5, cycle.problems)


def read_deploy(state: Blobs, clock: Clock, rules: DeployPolicy) -> DeployFacts:
    """What runs, how the last ones ended, and what drifted."""
    if not rules.repository:
        raise NotSetUp("policy.yaml names no repository under deploy")
    # One that waits at its gates is not running: people take as long as they like.
    running = [record for record in DeployStore(state, clock).list_open() if record.state.busy]
    newest = RunHistory(state).load_totals().newest.get(JOB, JobNewest())
    drift = load_drift_check(state, rules.namespace, rules.release)
    waits = rules.checks_timeout + rules.approval_timeout
    return DeployFacts(
        rules.release,
        # Longer than any deploy that goes as policy allows, so that its alarm is never a slow one.
        waits + _DEPLOY_ATTEMPTS * rules.helm_timeout + _BACKUP_TIME,
        running_since=running[0].started if running else None,
        running=f"{running[0].progress.sha[:7]}: {running[0].state.value}" if running else "",
        succeeded_at=newest.success.ended if newest.success else None,
        failed_at=newest.failure.ended if newest.failure else None,
        failure=newest.failure.error if newest.failure else "",
        drifted=drift.objects if drift else None,
        drift_at=drift.at if drift else None,
    )


def read_power(state: Blobs, rules: PowerPolicy) -> PowerFacts:
    """The machines as the newest tick saw them."""
    if not rules.machines:
        raise NotSetUp("policy.yaml names no machines under power")
    observed = load_last_tick(state)
    if not observed:
        raise NotSetUp("no power tick has run yet")
    return PowerFacts(tuple(map(_to_machine, observed)), rules.settle)


def read_poison_queues(queues: Queues, names: Sequence[str]) -> Mapping[str, int]:
    """By queue, how many messages have failed for good."""
    return {name: queues.length(f"{name}-poison") for name in names}


def read_drill(state: Blobs, trusted: Sequence[str], clock: Clock, rules: DrillPolicy) -> DrillFacts:
    """The newest drill, and the newest that proved its set; only signed proofs count."""
    records = read_drill_records(state, trusted, clock, until_proven=True)
    facts = DrillFacts(rules.alarm_after)
    if last := records.last:
        facts = replace(facts, last_at=last.ended, last_outcome=last.outcome, problem=last.problem)
    proven = records.last_proven
    if proven is None:
        return facts
    return replace(
        facts,
        proven_at=proven.ended,
        proven_set=f"{proven.klass}/{proven.set}",
        proven_begun=parse_set_id(proven.set),
        restore_seconds=proven.restore_seconds,
        data_loss_seconds=proven.data_loss_seconds,
    )


def read_key_drill_facts(state: Blobs, rules: DrillPolicy) -> KeyDrillFacts:
    """The newest note of a key drill. Raises Corrupt for what is no note."""
    noted = read_key_drill(state)
    if noted is None:
        return KeyDrillFacts(rules.key_alarm_after)
    return KeyDrillFacts(rules.key_alarm_after, noted.at, noted.set, noted.by)


def read_runs(state: Blobs, now: datetime, intervals: Mapping[str, timedelta]) -> RunFacts:
    """The year, and what ended last. `intervals`: by timer, its longest pause.

    A job is late after two of its intervals and its longest run.
    """
    history = RunHistory(state)
    totals = history.load_totals()
    since = (now - _YEAR).date().isoformat()
    recent = history.load_recent(totals, now.date())
    days = {day: jobs for day, jobs in totals.days.items() if day > since}
    # Of the year and not of the last run: a large backup after a quiet week is no alarm.
    longest: dict[str, float] = {}
    for jobs_of_day in days.values():
        for job, sums in jobs_of_day.items():
            longest[job] = max(longest.get(job, 0.0), sums.longest_seconds)
    jobs = {
        job: JobFacts(
            totals.newest.get(job, JobNewest()),
            2 * intervals[job] + timedelta(seconds=longest.get(job, 0.0)) if job in intervals else None,
        )
        for job in sorted({*totals.newest, *intervals})
    }
    return RunFacts(jobs, days, tuple(reversed(recent)))


def read_cost(state: Blobs) -> CostFacts:
    """The newest weekly report. Raises Corrupt."""
    try:
        fields = decode_json(state.read(LAST_REPORT)[0], LAST_REPORT)
    except NotFound:
        raise NotSetUp("no weekly cost report yet") from None
    try:
        return CostFacts(
            parse_timestamp(fields["since"]),
            parse_timestamp(fields["until"]),
            str(fields["currency"]),
            tuple(map(_parse_machine_cost, fields["machines"])),
            _optional_text(fields["forecast"]),
            _optional_text(fields["budget"]),
            tuple(map(str, (*fields["missing"], *fields["notes"]))),
            # Bars of two currencies beside each other would compare what cannot be compared.
            tuple(
                _parse_week(one) for one in fields.get("weeks", ()) if one["currency"] == fields["currency"]
            ),
            tuple(map(parse_uptime_day, fields.get("uptime", ()))),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{LAST_REPORT} is not a cost report", value=type(error).__name__) from error


def read_holds(state: Blobs, clock: Clock) -> Sequence[str]:
    """What keeps machines up or from being stopped now."""
    return tuple(
        f"{hold.what}, until {format_minute(hold.until)}" for hold in Holds(state, clock).list_in_force()
    )


def _parse_week(fields: Mapping[str, Any]) -> CostWeek:
    hours = (float(fields[name]) for name in ("hours", "hours_saved", "hours_unknown"))
    money = (None if fields[name] is None else float(fields[name]) for name in ("cost", "saved", "forecast"))
    return CostWeek(parse_timestamp(fields["since"]), *hours, *money)


def _parse_machine_cost(fields: Mapping[str, Any]) -> MachineCostFacts:
    return MachineCostFacts(
        str(fields["machine"]),
        str(fields["hours"]),
        str(fields["hours_saved"]),
        str(fields["hours_unknown"]),
        _optional_text(fields["cost"]),
        _optional_text(fields["saved"]),
    )


def _optional_text(value: object) -> str | None:
    return None if value is None else str(value)


def _to_machine(one: SeenMachine) -> MachineFacts:
    problem = one.error or ("; ".join(one.reasons) if one.alarm else "")
    return MachineFacts(
        one.machine,
        str(one.state),
        one.desired_up,
        one.desired_since,
        one.next_change,
        one.seen,
        one.reasons,
        problem,
    )


def _find_newest_failure(catalogue: SetCatalogue) -> SetFailure | None:
    """The newest set that was given up by us; what others wrote there says nothing."""
    for info in reversed(list_sets(catalogue.blobs)):
        if info.failures and (failure := read_failure(catalogue.blobs, info, catalogue.trusted)):
            return failure
    return None
