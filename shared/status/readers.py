"""Reads each part of the status from what its feature keeps. Nothing here asks anything but the storage.

Whoever was woken needs the page now: so jobs write down what they saw, with the time, and the page says how
old that is. What is too old is not known any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from shared.backup.catalogue import SetCatalogue
from shared.backup.sets import list_sets, read_failure
from shared.certificates.records import load_last_scan
from shared.deploy.records.deploy_record import to_run
from shared.deploy.records.deploys import DeployStore
from shared.deploy.records.drift import load_drift_check
from shared.formats.backupset import SetFailure
from shared.kernel.ports import Blobs, Clock, Queues
from shared.policy import BackupPolicy, DeployPolicy, PowerPolicy, SnapshotPolicy
from shared.power.last_tick import SeenMachine, load_last_tick
from shared.snapshots.last_cycle import load_last_cycle
from shared.status.model import (
    BackupFacts,
    CertificateSummary,
    DeployFacts,
    DiskFacts,
    MachineFacts,
    NotSetUp,
    PowerFacts,
    ScanFacts,
    SnapshotFacts,
)

# A deploy waits for people and for checks as policy says, is applied at most three times, and makes a backup.
_DEPLOY_ATTEMPTS, _BACKUP_TIME = 3, timedelta(hours=2)
_RECENT_DEPLOYS = 20


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


def read_certificates(state: Blobs) -> ScanFacts:
    """The newest scan."""
    scan = load_last_scan(state)
    if scan is None:
        raise NotSetUp("not scanned yet")
    entries = [
        CertificateSummary(
            entry.name,
            str(entry.kind),
            str(entry.state),
            entry.reasons,
            entry.not_before,
            entry.not_after,
            entry.renews_at,
            entry.seen,
            entry.valid,
        )
        for entry in scan.entries
    ]
    return ScanFacts(scan.at, entries)


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
    recent = DeployStore(state, clock).list_recent(_RECENT_DEPLOYS)
    running = [record for record in recent if record.state.busy]
    done = [record.updated for record in recent if record.state.value == "done"]
    failed = [record for record in recent if to_run(record).state == "failed"]
    drift = load_drift_check(state, rules.namespace, rules.release)
    waits = rules.checks_timeout + rules.approval_timeout
    return DeployFacts(
        rules.release,
        waits + _DEPLOY_ATTEMPTS * rules.helm_timeout + _BACKUP_TIME,
        running_since=running[0].started if running else None,
        running=f"{running[0].progress.sha[:7]}: {running[0].state.value}" if running else "",
        succeeded_at=max(done, default=None),
        failed_at=failed[-1].updated if failed else None,
        failure=failed[-1].progress.reason if failed else "",
        drifted=drift.objects if drift else None,
        drift_at=drift.at if drift else None,
    )


def read_power(state: Blobs, rules: PowerPolicy) -> PowerFacts:
    """The machines as the newest tick saw them."""
    if not rules.machines:
        raise NotSetUp("policy.yaml names no machines under power")
    seen = load_last_tick(state)
    if not seen:
        raise NotSetUp("no power tick has run yet")
    return PowerFacts(tuple(map(_to_machine, seen)), rules.settle)


def read_poison_queues(queues: Queues, names: Sequence[str]) -> Mapping[str, int]:
    """By queue, how many messages have failed for good."""
    return {name: queues.length(f"{name}-poison") for name in names}


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
