"""What is known of the whole, as plain values: what the page, its JSON, the metrics and the command line
show.

Nothing here is guessed. A part is known, or unknown with the reason, or not set up; only the first is good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from shared.kernel.errors import GroundcrewError
from shared.records.rollup import DayTotals, JobNewest, RunEntry
from shared.status.calendar_facts import CalendarFacts
from shared.status.probe_facts import ProbeFacts
from shared.status.rehearsal_facts import RehearsalFacts
from shared.status.secret_facts import SecretFacts
from shared.status.uptime_days import UptimeDay

T = TypeVar("T")


class NotSetUp(GroundcrewError):
    """There is nothing to read, since this part of Groundcrew is not in use here."""


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """One part of the status."""

    value: T | None = None  # what is known; None if that could not be read, or is not in use
    problem: str = ""  # why it could not be read; empty otherwise
    absent: str = ""  # why there is nothing to read; empty otherwise

    @property
    def is_known(self) -> bool:
        """Whether it could be read."""
        return self.value is not None


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """The newest good backup set, and what speaks against it."""

    alarm_after: timedelta  # how old it may become, by policy
    reference: str = ""
    begun: datetime | None = None  # of the newest good one; None if there is none
    sealed: datetime | None = None  # of the same
    stored_bytes: int = 0  # of the same, compressed and encrypted
    failed_at: datetime | None = None  # of the newest set that was given up
    failure: str = ""  # why that was
    head_problem: str = ""  # what is wrong with the set that was sealed last; empty if nothing is


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The good snapshots of one disk."""

    newest: datetime | None
    count: int
    times: Sequence[datetime] = ()  # of all good ones, for the calendar of the page


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """What the newest look at the snapshots found, and when that was."""

    seen: datetime  # when they were looked at: what is older than hours is not known any more
    disks: Mapping[str, DiskFacts]
    alarm_after: timedelta
    problems: Sequence[str] = ()  # what that look could not read or found wrong


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """One certificate as the newest scan found it. `seen`: when it could last be looked at."""

    name: str
    kind: str  # `host` for what a server shows, else by where it is kept
    state: str  # as the scan judged it: good, warning, critical or unknown
    reasons: Sequence[str] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    renews_at: datetime | None = None  # when cert-manager means to renew it; None if nobody does
    seen: datetime | None = None  # when it could last be looked at
    valid: bool = False  # chain and name, at that time
    warning_at: datetime | None = None  # from when on what is left of its lifetime is a warning
    critical_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ScanFacts:
    """The newest scan of certificates, the worst first."""

    at: datetime
    certificates: Sequence[CertificateSummary]


@dataclass(frozen=True, slots=True)
class DeployFacts:
    """The deploys of a release."""

    release: str
    alarm_after: timedelta  # how long one may run
    running_since: datetime | None = None  # when the one that is running was started; None if none is
    running: str = ""  # which one that is
    succeeded_at: datetime | None = None
    failed_at: datetime | None = None  # of the newest that failed or was rolled back
    failure: str = ""
    drifted: int | None = None  # objects that differ from what was deployed; None if that was never compared
    drift_at: datetime | None = None  # when it was compared


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """One machine as the newest tick saw it."""

    name: str
    state: str  # what the cloud says of it
    planned_up: bool  # what schedule, orders and work in flight want
    planned_since: datetime | None  # and since when
    next_change: datetime | None  # when they want the opposite; None if that is not in sight
    seen: datetime  # the tick that saw it
    reasons: Sequence[str] = ()  # why that is planned, for people
    problem: str = ""  # what a person should look at; empty for nothing


@dataclass(frozen=True, slots=True)
class PowerFacts:
    """The machines under schedule, and how long a start or stop may take."""

    machines: Sequence[MachineFacts]
    settle: timedelta


@dataclass(frozen=True, slots=True)
class DrillFacts:
    """The restore drills: the newest, and the newest that proved its backup set."""

    alarm_after: timedelta  # how long there may be no proven set
    last_at: datetime | None = None  # of the newest, whatever came of it
    last_outcome: str = ""
    problem: str = ""
    proven_at: datetime | None = None  # of the newest that proved its set
    proven_set: str = ""
    proven_begun: datetime | None = None  # when the data of that set were
    restore_seconds: float | None = None  # the recovery time that it measured (RTO)
    data_loss_seconds: float | None = None  # the data loss that it measured (RPO)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One job: its newest runs, and without a success for how long it is late; None if it has no timer."""

    newest: JobNewest
    alarm_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The runs: by job the newest, by day (ISO) and job the totals, and the last ones, newest first."""

    jobs: Mapping[str, JobFacts]
    days: Mapping[str, Mapping[str, DayTotals]]
    recent: Sequence[RunEntry] = ()


@dataclass(frozen=True, slots=True)
class MachineCostFacts:
    """Hours and money of one machine in the reported week; money as text, None if a price is missing."""

    machine: str
    hours: str
    saved_hours: str
    unknown_hours: str
    cost: str | None
    saved: str | None


@dataclass(frozen=True, slots=True)
class CostWeek:
    """A reported week over all machines; None for money where a price or hours were missing."""

    since: datetime
    hours: float
    saved_hours: float
    unknown_hours: float
    cost: float | None = None
    saved: float | None = None
    forecast: float | None = None  # of the month, as it was reckoned at the week's end


@dataclass(frozen=True, slots=True)
class CostFacts:
    """The newest weekly cost report."""

    since: datetime
    until: datetime
    currency: str
    machines: Sequence[MachineCostFacts]
    forecast: str | None = None
    budget: str | None = None
    notes: Sequence[str] = ()
    weeks: Sequence[CostWeek] = ()  # in the report's currency, oldest first
    uptime: Sequence[UptimeDay] = ()  # of the reported week; empty in reports of before it was kept


@dataclass(frozen=True, slots=True)
class KeyDrillFacts:
    """When the offline key was last shown to open a backup; `at` is None if nobody noted that.

    The note is not signed, since the signing key is not where the offline key is: it reminds people.
    """

    alarm_after: timedelta
    at: datetime | None = None
    set: str = ""  # class/id that it opened
    by: str = ""


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """The capture of the oplog: up to when, since when without a gap, and what is missing since the base."""

    alarm_after: timedelta  # how late it may be
    until: datetime  # up to when entries are captured
    since: datetime | None = None  # since when without a gap
    gap: str = ""  # what is missing since the newest base; empty if nothing is


@dataclass(frozen=True, slots=True)
class FiringAlert:
    """An alert that fires. `muted`: the planned downtime that explains it; empty for none."""

    name: str
    severity: str
    summary: str
    since: datetime
    muted: str = ""


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """The alerts that fire, and when Alertmanager's Watchdog was last heard of."""

    firing: Sequence[FiringAlert]
    heartbeat_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """A route of notifications: when it last took a message, when it last failed, and why."""

    last_success: datetime | None = None
    last_failure: datetime | None = None
    error: str = ""


def _not_set_up() -> Part[Any]:
    return Part(absent="not set up")


@dataclass(frozen=True, slots=True)
class Status:
    """All that is known at one moment."""

    at: datetime
    version: str
    backup: Part[BackupFacts] = field(default_factory=_not_set_up)
    snapshots: Part[SnapshotFacts] = field(default_factory=_not_set_up)
    certificates: Part[ScanFacts] = field(default_factory=_not_set_up)
    deploy: Part[DeployFacts] = field(default_factory=_not_set_up)
    power: Part[PowerFacts] = field(default_factory=_not_set_up)
    calendar: Part[CalendarFacts] = field(default_factory=_not_set_up)
    sets: Part[Mapping[str, int]] = field(default_factory=_not_set_up)
    queues: Part[Mapping[str, int]] = field(default_factory=_not_set_up)
    drill: Part[DrillFacts] = field(default_factory=_not_set_up)
    key_drill: Part[KeyDrillFacts] = field(default_factory=_not_set_up)
    capture: Part[CaptureFacts] = field(default_factory=_not_set_up)
    alerts: Part[AlertFacts] = field(default_factory=_not_set_up)
    routes: Part[Mapping[str, RouteFacts]] = field(default_factory=_not_set_up)
    runs: Part[RunFacts] = field(default_factory=_not_set_up)
    cost: Part[CostFacts] = field(default_factory=_not_set_up)
    settings: Part[Mapping[str, str]] = field(default_factory=_not_set_up)
    probes: Part[ProbeFacts] = field(default_factory=_not_set_up)
    rehearsal: Part[RehearsalFacts] = field(default_factory=_not_set_up)
    secrets: Part[SecretFacts] = field(default_factory=_not_set_up)
    holds: Part[Sequence[str]] = field(default_factory=_not_set_up)
    silences: Part[Sequence[str]] = field(default_factory=_not_set_up)
