"""What somebody who was woken has to know first: whether to get up, and for what.

What cannot be seen is unknown and never good: a part that cannot be read, or is too old, is a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from shared.calendar.render import is_near, is_over
from shared.kernel.durations import format_duration
from shared.status.model import (
    AlertFacts,
    BackupFacts,
    CaptureFacts,
    CertificateSummary,
    DeployFacts,
    DrillFacts,
    KeyDrillFacts,
    MachineFacts,
    Part,
    PowerFacts,
    RouteFacts,
    RunFacts,
    ScanFacts,
    SnapshotFacts,
    Status,
)
from shared.status.probe_facts import judge_probe_facts
from shared.status.rehearsal_facts import judge_rehearsal_facts
from shared.status.secret_facts import SecretFacts

# The tick looks every five minutes, the scan and the cycle once an hour.
_CLOCK_SKEW = timedelta(minutes=15)  # between a laptop and here
_TICK_STALE, _HOURLY_STALE = timedelta(minutes=20), timedelta(hours=3)


class Level(StrEnum):
    """How urgent something is, from the least to the most."""

    OK = "ok"
    LOOK = "look"  # can wait until the morning
    UNKNOWN = "unknown"  # cannot be seen, so it may be anything
    ACT = "act"  # somebody has to get up


# Unknown comes before what can wait: behind it there may be anything, something to get up for included.
_ORDER = (Level.ACT, Level.UNKNOWN, Level.LOOK, Level.OK)


@dataclass(frozen=True, slots=True)
class StatusFinding:
    """One thing to know: of which part, how urgent, and what it is."""

    level: Level
    part: str
    text: str

    def __str__(self) -> str:
        return f"{self.part}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole in one line, and what it is made of, the most urgent first."""

    level: Level
    headline: str
    findings: tuple[StatusFinding, ...]


def decide_verdict(status: Status) -> Verdict:
    """Whether somebody has to get up."""
    findings = sorted(list_findings(status), key=lambda one: _ORDER.index(one.level))
    if not findings:
        return Verdict(Level.OK, "No action needed.", ())
    # One finding by name and the number of its equals: the line has to fit into a notification.
    first, count = findings[0], sum(one.level is findings[0].level for one in findings)
    more = f" (and {count - 1} more)" if count > 1 else ""
    text = {
        Level.ACT: f"Act now: {first}{more}",
        Level.UNKNOWN: f"Check now, cannot be seen: {first}{more}",
        Level.LOOK: f"Can wait until the morning: {first}{more}",
    }[first.level]
    return Verdict(first.level, text, tuple(findings))


def list_findings(status: Status) -> Iterator[StatusFinding]:
    """Everything that is not as it should be."""
    # As somebody who was woken would ask: first whether people can work, then whether their data are safe.
    judges: dict[str, tuple[Part[Any], Callable[[Any, datetime], Iterator[tuple[Level, str]]]]] = {
        "server": (status.power, _judge_power),
        "probes": (status.probes, lambda facts, _now: _as_levels(judge_probe_facts(facts))),
        "backup": (status.backup, _judge_backup),
        "restore drill": (status.drill, _judge_drill),
        "key drill": (status.key_drill, _judge_key_drill),
        "capture": (status.capture, partial(_judge_capture, planned_off=_is_planned_off(status.power))),
        "alerts": (status.alerts, _judge_alerts),
        "notifications": (status.routes, _judge_routes),
        "certificates": (status.certificates, _judge_certificates),
        "secrets": (status.secrets, _judge_secrets),
        "deploy": (status.deploy, _judge_deploy),
        "rehearsal": (status.rehearsal, lambda one, now: _as_levels(judge_rehearsal_facts(one, now))),
        "snapshots": (status.snapshots, _judge_snapshots),
        "calendar": (status.runs, _judge_calendar),
        "jobs": (status.runs, _judge_runs),
    }
    for name, (part, judge) in judges.items():
        if part.problem:
            yield StatusFinding(Level.UNKNOWN, name, part.problem)
        elif part.value is not None:
            yield from (StatusFinding(level, name, text) for level, text in judge(part.value, status.at))
    yield from _judge_others(status)


def _as_levels(judged: Iterator[tuple[str, str]]) -> Iterator[tuple[Level, str]]:
    return ((Level(word), text) for word, text in judged)


def _judge_others(status: Status) -> Iterator[StatusFinding]:
    others: dict[str, Part[Any]] = {
        "queues": status.queues,
        "cost": status.cost,
        "holds": status.holds,
        "silences": status.silences,
    }
    for name, part in others.items():
        if part.problem:
            yield StatusFinding(Level.UNKNOWN, name, part.problem)
    for queue, count in (status.queues.value or {}).items():
        if count:
            # Each was tried five times and stays there for days: the morning suffices.
            yield StatusFinding(Level.LOOK, "queues", f"{count} messages failed for good in {queue}-poison")
    for job, text in (status.settings.value or {}).items():
        if text != "ok":
            yield StatusFinding(Level.LOOK, "settings", f"{job} cannot run: {text}")


def _judge_backup(facts: BackupFacts, now: datetime) -> Iterator[tuple[Level, str]]:
    # Before the age: somebody who can remove the newest set leaves an older one that looks good.
    if facts.head_problem:
        yield Level.ACT, f"the set that was sealed last is missing or damaged: {facts.head_problem}"
    if facts.begun is None:
        yield Level.ACT, "there is no good backup"
        return
    age = now - facts.begun
    if age > facts.alarm_after:
        yield Level.ACT, f"the newest good backup is {format_duration(age)} old"
    # An older failure was made up for by the good set after it.
    if facts.failed_at is not None and facts.failed_at > facts.begun:
        yield Level.LOOK, f"the newest attempt failed: {facts.failure}"


def _judge_drill(facts: DrillFacts, now: datetime) -> Iterator[tuple[Level, str]]:
    # Not "interrupted": a drill that could not run says nothing of the backup.
    if facts.last_outcome == "failed":
        yield Level.ACT, f"the newest backup that was tried does not restore: {facts.problem}"
    if facts.proven_at is None:
        yield Level.LOOK, "no backup has been proven to restore yet"
    elif now - facts.proven_at > facts.alarm_after:
        yield Level.LOOK, f"no backup has been proven for {format_duration(now - facts.proven_at)}"


def _judge_key_drill(facts: KeyDrillFacts, now: datetime) -> Iterator[tuple[Level, str]]:
    if facts.at is None:
        yield Level.LOOK, "nobody has shown that the offline key opens a backup: groundcrew keys drill"
    elif facts.at > now + _CLOCK_SKEW:
        # A note from the future would hide for years that the key is lost.
        yield Level.LOOK, f"the note of the key drill is dated in the future: {facts.at:%Y-%m-%d}"
    elif now - facts.at > facts.alarm_after:
        age = format_duration(now - facts.at)
        yield Level.LOOK, f"the offline key was last shown to open a backup {age} ago: groundcrew keys drill"


def _is_planned_off(power: Part[PowerFacts]) -> bool:
    """Whether every machine is off as planned, so that there is nothing to capture."""
    machines = power.value.machines if power.value else ()
    return bool(machines) and all(not one.planned_up and one.state == "deallocated" for one in machines)


def _judge_capture(facts: CaptureFacts, now: datetime, *, planned_off: bool) -> Iterator[tuple[Level, str]]:
    if facts.gap:
        yield Level.ACT, f"what happened since the gap cannot be restored: {facts.gap}"
    # A database that is off writes no oplog: there is nothing that could be lost.
    if now - facts.until > facts.alarm_after and not planned_off:
        yield Level.LOOK, f"the oplog is captured only up to {format_duration(now - facts.until)} ago"


def _judge_alerts(facts: AlertFacts, _now: datetime) -> Iterator[tuple[Level, str]]:
    for one in facts.firing:
        if not one.muted:
            level = Level.ACT if one.severity == "critical" else Level.LOOK
            yield level, f"{one.name}: {one.summary}"


def _judge_routes(facts: Mapping[str, RouteFacts], _now: datetime) -> Iterator[tuple[Level, str]]:
    for name, one in facts.items():
        if one.last_failure and (one.last_success is None or one.last_failure > one.last_success):
            yield Level.LOOK, f"the route {name} does not deliver: {one.error}"


def _judge_power(facts: PowerFacts, now: datetime) -> Iterator[tuple[Level, str]]:
    for one in facts.machines:
        yield from _judge_machine(one, facts.settle, now)


def _judge_machine(one: MachineFacts, settle: timedelta, now: datetime) -> Iterator[tuple[Level, str]]:
    if now - one.seen > _TICK_STALE:
        yield Level.UNKNOWN, f"{one.name} was last seen {format_duration(now - one.seen)} ago"
        return
    if one.state == "unknown":
        yield Level.UNKNOWN, f"{one.name}: its state cannot be read"
        return
    # Twice: a start that fails once and is tried again is no reason to get up.
    settled = one.planned_since is None or now - one.planned_since > 2 * settle
    if one.planned_up and one.state != "running" and (settled or one.problem):
        yield Level.ACT, f"{one.name} is {one.state} and should be running"
    elif not one.planned_up and one.state in ("running", "starting") and settled:
        yield Level.LOOK, f"{one.name} is {one.state} and should be off"
    if one.problem:
        yield (Level.ACT if one.planned_up else Level.LOOK), f"{one.name}: {one.problem}"


def _judge_certificates(facts: ScanFacts, now: datetime) -> Iterator[tuple[Level, str]]:
    if now - facts.at > _HOURLY_STALE:
        yield Level.UNKNOWN, f"last scanned {format_duration(now - facts.at)} ago"
    levels = {"critical": Level.ACT, "unknown": Level.UNKNOWN, "warning": Level.LOOK}
    for one in facts.certificates:
        if one.state in levels:
            yield levels[one.state], f"{one.name}: {'; '.join(one.reasons) or one.state}"
        elif expired := _describe_expiry(one, now):
            yield Level.ACT, expired


def _judge_secrets(facts: SecretFacts, now: datetime) -> Iterator[tuple[Level, str]]:
    """A secret that is old wakes nobody: what ends by itself is told days before."""
    if now - facts.at > _HOURLY_STALE:
        yield Level.UNKNOWN, f"last looked at {format_duration(now - facts.at)} ago"
    for one in facts.secrets:
        overdue = one.due is not None and now >= one.due
        if one.state == "undoing":
            yield Level.LOOK, f"{one.name}: its rotation is being undone"
        elif (one.state in ("due", "unknown") and one.has_limit) or overdue:
            yield Level.LOOK, f"{one.name} is {'due' if overdue else one.state}: {'; '.join(one.reasons)}"


def _describe_expiry(one: CertificateSummary, now: datetime) -> str:
    """One that was good at the scan, and has ended since."""
    return f"{one.name} has expired" if one.not_after is not None and now >= one.not_after else ""


def _judge_deploy(facts: DeployFacts, now: datetime) -> Iterator[tuple[Level, str]]:
    if facts.running_since is not None and now - facts.running_since > facts.alarm_after:
        yield Level.ACT, f"a deploy has been running for {format_duration(now - facts.running_since)}"
    if facts.failed_at is not None and (facts.succeeded_at is None or facts.failed_at > facts.succeeded_at):
        yield Level.LOOK, f"the newest deploy failed: {facts.failure}"
    if facts.drifted:
        yield Level.LOOK, f"{facts.drifted} objects of {facts.release} differ from what was deployed"


def _judge_snapshots(facts: SnapshotFacts, now: datetime) -> Iterator[tuple[Level, str]]:
    if now - facts.seen > _HOURLY_STALE:
        yield Level.UNKNOWN, f"last looked at {format_duration(now - facts.seen)} ago"
    for name, disk in facts.disks.items():
        if disk.newest is None:
            yield Level.LOOK, f"{name} has no good snapshot"
        elif now - disk.newest > facts.alarm_after:
            yield Level.LOOK, f"the newest of {name} is {format_duration(now - disk.newest)} old"
    for problem in facts.problems:
        yield Level.LOOK, problem


def _judge_calendar(facts: RunFacts, _now: datetime) -> Iterator[tuple[Level, str]]:
    job = facts.jobs.get("lockout_calendar")
    made = job.newest.success if job else None
    if made is not None and is_over(made.summary):
        yield Level.ACT, made.summary
    elif made is not None and is_near(made.summary):
        yield Level.LOOK, made.summary


def _judge_runs(facts: RunFacts, now: datetime) -> Iterator[tuple[Level, str]]:
    for name, job in facts.jobs.items():
        newest, limit = job.newest, job.alarm_after
        # Also right after the installation, until the timer first fires: nobody can tell the two apart.
        if newest.run is None:
            yield Level.UNKNOWN, f"{name} has not been seen to run yet"
        elif newest.run.state == "failed" and limit is not None:
            yield Level.LOOK, f"{name} failed: {newest.run.error}"
        if limit is None or newest.success is None:
            continue
        if now - newest.success.ended > limit:
            text = f"{name} has not succeeded for {format_duration(now - newest.success.ended)}"
            # Without it nothing is made up for, and nobody notices what else is missing.
            yield (Level.ACT if name == "catch_up" else Level.LOOK), text
