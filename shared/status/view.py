"""The status as texts: what the page, the terminal and chat show of each part, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.kernel.durations import format_duration
from shared.kernel.timestamps import format_minute
from shared.status.decide import Level, StatusFinding
from shared.status.model import (
    AlertFacts,
    BackupFacts,
    CaptureFacts,
    CostFacts,
    DeployFacts,
    DrillFacts,
    KeyDrillFacts,
    Part,
    PowerFacts,
    RouteFacts,
    RunFacts,
    ScanFacts,
    SnapshotFacts,
    Status,
)
from shared.status.probe_facts import describe_probe_facts
from shared.status.rehearsal_facts import describe_rehearsal_facts
from shared.status.secret_facts import SecretFacts

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One part in a line: its name, how it stands in a word, and details."""

    part: str
    level: Level | None  # None: not set up
    text: str


def list_rows(status: Status, findings: tuple[StatusFinding, ...]) -> list[StatusRow]:
    """One row a part, in the order in which somebody who was woken asks."""
    parts: dict[str, tuple[Part[Any], Callable[[Any, datetime], Iterator[str]]]] = {
        "server": (status.power, _describe_power),
        "probes": (status.probes, describe_probe_facts),
        "backup": (status.backup, _describe_backup),
        "restore drill": (status.drill, _describe_drill),
        "key drill": (status.key_drill, _describe_key_drill),
        "capture": (status.capture, _describe_capture),
        "alerts": (status.alerts, _describe_alerts),
        "notifications": (status.routes, _describe_routes),
        "certificates": (status.certificates, _describe_certificates),
        "secrets": (status.secrets, _describe_secrets),
        "deploy": (status.deploy, _describe_deploy),
        "rehearsal": (status.rehearsal, describe_rehearsal_facts),
        "snapshots": (status.snapshots, _describe_snapshots),
        "jobs": (status.runs, _describe_runs),
        "queues": (status.queues, _describe_queues),
        "calendar": (status.runs, _describe_calendar),
        "cost": (status.cost, _describe_cost),
        "holds": (status.holds, _describe_list),
        "silences": (status.silences, _describe_list),
    }
    return [_build_row(name, part, describe, findings, status.at) for name, (part, describe) in parts.items()]


def _build_row(
    name: str,
    part: Part[Any],
    describe: Callable[[Any, datetime], Iterator[str]],
    findings: tuple[StatusFinding, ...],
    now: datetime,
) -> StatusRow:
    if part.problem:
        return StatusRow(name, Level.UNKNOWN, f"unknown: {part.problem}")
    if part.value is None:
        return StatusRow(name, None, f"not set up: {part.absent}" if part.absent else "not set up")
    # Findings come the most urgent first.
    level = next((one.level for one in findings if one.part == name), Level.OK)
    return StatusRow(name, level, "; ".join(describe(part.value, now)))


def _describe_power(facts: PowerFacts, now: datetime) -> Iterator[str]:
    for one in facts.machines:
        plan = "up" if one.planned_up else "off"
        change = f", next change {format_instant(one.next_change)}" if one.next_change else ""
        yield f"{one.name} is {one.state}, planned {plan}{change} (seen {_age(one.seen, now)} ago)"


def _describe_backup(facts: BackupFacts, now: datetime) -> Iterator[str]:
    if facts.begun is None:
        yield "no good backup"
    else:
        size = format_size(facts.stored_bytes)
        yield f"the newest good one is {_age(facts.begun, now)} old ({facts.reference}, {size})"
    yield f"head of the chain: {facts.head_problem}" if facts.head_problem else "head of the chain is intact"


def _describe_drill(facts: DrillFacts, now: datetime) -> Iterator[str]:
    if facts.proven_at is None:
        yield "no backup has been proven to restore yet"
        return
    yield f"{facts.proven_set} was proven {_age(facts.proven_at, now)} ago"
    if facts.restore_seconds is not None and facts.data_loss_seconds is not None:
        rto, rpo = (timedelta(seconds=one) for one in (facts.restore_seconds, facts.data_loss_seconds))
        yield f"recovery time {format_duration(rto)}, data loss {format_duration(rpo)}"


def _describe_key_drill(facts: KeyDrillFacts, now: datetime) -> Iterator[str]:
    if facts.at is None:
        yield "no key drill is on note"
    else:
        yield f"the offline key opened {facts.set} {_age(facts.at, now)} ago, by {facts.by}"


def _describe_capture(facts: CaptureFacts, now: datetime) -> Iterator[str]:
    since = f", without a gap since {format_instant(facts.since)}" if facts.since and not facts.gap else ""
    yield f"captured up to {_age(facts.until, now)} ago{since}"


def _describe_alerts(facts: AlertFacts, now: datetime) -> Iterator[str]:
    muted = sum(bool(one.muted) for one in facts.firing)
    yield f"{len(facts.firing) - muted} fire, {muted} explained by planned downtime or silenced"
    heard = f"{_age(facts.heartbeat_at, now)} ago" if facts.heartbeat_at else "never"
    yield f"Alertmanager was heard of {heard}"


def _describe_routes(facts: Mapping[str, RouteFacts], now: datetime) -> Iterator[str]:
    for name, one in facts.items():
        yield f"{name}: " + (f"delivered {_age(one.last_success, now)} ago" if one.last_success else "never")


def _describe_calendar(facts: RunFacts, _now: datetime) -> Iterator[str]:
    job = facts.jobs.get("lockout_calendar")
    made = job.newest.success if job else None
    # From the roll-up of runs: the page reads no blob of its own for it.
    yield f"{made.summary} (made {made.ended:%Y-%m-%d})" if made else "unknown: no calendar has been made yet"


def _describe_secrets(facts: SecretFacts, now: datetime) -> Iterator[str]:
    healthy = sum(one.state == "good" for one in facts.secrets)
    yield f"{healthy} of {len(facts.secrets)} good (seen {_age(facts.at, now)} ago)"
    dues = [one for one in facts.secrets if one.due is not None]
    if dues:
        first = min(dues, key=lambda one: one.due or now)
        yield f"next due {first.name} {format_instant(first.due)}"


def _describe_certificates(facts: ScanFacts, now: datetime) -> Iterator[str]:
    healthy = sum(one.state == "good" for one in facts.certificates)
    yield f"{healthy} of {len(facts.certificates)} good (scanned {_age(facts.at, now)} ago)"
    ends = [one for one in facts.certificates if one.not_after is not None]
    if ends:
        first = min(ends, key=lambda one: one.not_after or now)
        yield f"the first to end is {first.name} at {format_instant(first.not_after)}"


def _describe_deploy(facts: DeployFacts, now: datetime) -> Iterator[str]:
    if facts.running_since is not None:
        yield f"running since {_age(facts.running_since, now)} ({facts.running})"
    last = f"{_age(facts.succeeded_at, now)} ago" if facts.succeeded_at else "none on record"
    yield f"the last success: {last}"
    if facts.drifted is None:
        yield "drift is not known"
    else:
        yield f"{facts.drifted} objects drifted at {format_instant(facts.drift_at)}"


def _describe_snapshots(facts: SnapshotFacts, now: datetime) -> Iterator[str]:
    for name, disk in facts.disks.items():
        newest = f"the newest {_age(disk.newest, now)} old" if disk.newest else "no good one"
        yield f"{name}: {disk.count}, {newest}"
    if not facts.disks:
        yield "no disk was seen"


def _describe_runs(facts: RunFacts, now: datetime) -> Iterator[str]:
    late = [
        name
        for name, job in facts.jobs.items()
        if job.alarm_after and job.newest.success and now - job.newest.success.ended > job.alarm_after
    ]
    yield f"late: {', '.join(late)}" if late else "no job is late"
    today = facts.days.get(now.date().isoformat(), {})
    yield f"{sum(one.failed for one in today.values())} failed today (UTC)"


def _describe_queues(facts: Any, _now: datetime) -> Iterator[str]:
    bad = [f"{count} in {queue}-poison" for queue, count in facts.items() if count]
    yield "; ".join(bad) or "no message has failed for good"


def _describe_cost(facts: CostFacts, _now: datetime) -> Iterator[str]:
    yield f"{format_day(facts.since)} to {format_day(facts.until)}"
    for one in facts.machines:
        money = "price unknown" if one.cost is None else f"{one.cost} {facts.currency}"
        yield f"{one.machine}: {money}"


def _describe_list(facts: Any, _now: datetime) -> Iterator[str]:
    yield "; ".join(facts) or "none"


def format_instant(at: datetime | None) -> str:
    """`2026-11-27 03:00Z`; a dash for none."""
    return format_minute(at) if at is not None else "–"


def format_day(at: datetime) -> str:
    """`2026-11-27`."""
    return f"{at:%Y-%m-%d}"


def format_size(size: float) -> str:
    """In MiB, or GiB from one on."""
    mebibytes = size / _MEBIBYTE
    return f"{mebibytes / 1024:.1f} GiB" if mebibytes >= 1024 else f"{mebibytes:.1f} MiB"


def _age(at: datetime, now: datetime) -> str:
    return format_duration(now - at)
