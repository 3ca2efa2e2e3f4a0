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
from shared.status.secret_facts import SecretFacts

T = TypeVar("T")


class NotSetUp(GroundcrewError):
    """There is nothing to read, since this part of Groundcrew is not in use here."""


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """One part of the status.

    - `value`: what is known; None if that could not be read, or is not in use.
    - `problem`: why it could not be read; empty otherwise.
    - `absent`: why there is nothing to read; empty otherwise.
    """

    value: T | None = None
    problem: str = ""
    absent: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it could be read."""
        return self.value is not None


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """The newest good backup set, and what speaks against it.

    - `begun`, `sealed`: of the newest good one; None if there is none.
    - `failed_at`, `failure`: of the newest set that was given up.
    - `head_problem`: what is wrong with the set that was sealed last; empty if nothing is.
    """

    alarm_after: timedelta
    reference: str = ""
    begun: datetime | None = None
    sealed: datetime | None = None
    stored_bytes: int = 0
    failed_at: datetime | None = None
    failure: str = ""
    head_problem: str = ""


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The good snapshots of one disk."""

    newest: datetime | None
    count: int
    times: Sequence[datetime] = ()


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """What the newest look at the snapshots found, and when that was."""

    seen: datetime
    disks: Mapping[str, DiskFacts]
    alarm_after: timedelta
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """One certificate as the newest scan found it. `seen`: when it could last be looked at."""

    name: str
    kind: str
    state: str
    reasons: Sequence[str] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    renews_at: datetime | None = None
    seen: datetime | None = None
    valid: bool = False
    warning_at: datetime | None = None  # from when on what is left of its lifetime is a warning
    critical_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ScanFacts:
    """The newest scan of certificates, the worst first."""

    at: datetime
    certificates: Sequence[CertificateSummary]


@dataclass(frozen=True, slots=True)
class DeployFacts:
    """The deploys of a release.

    - `running_since`: when the one that is running was started; None if none is.
    - `drifted`: objects that differ from what was deployed, at `drift_at`; None if that was never compared.
    """

    release: str
    alarm_after: timedelta
    running_since: datetime | None = None
    running: str = ""
    succeeded_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""
    drifted: int | None = None
    drift_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """One machine as the newest tick saw it.

    - `planned_up`, `planned_since`: what schedule, orders and work in flight want, and since when.
    - `next_change`: when they want the opposite; None if that is not in sight.
    - `problem`: what a person should look at; empty for nothing.
    """

    name: str
    state: str
    planned_up: bool
    planned_since: datetime | None
    next_change: datetime | None
    seen: datetime
    reasons: Sequence[str] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PowerFacts:
    """The machines under schedule, and how long a start or stop may take."""

    machines: Sequence[MachineFacts]
    settle: timedelta


@dataclass(frozen=True, slots=True)
class DrillFacts:
    """The restore drills: the newest, and the newest that proved its backup set.

    - `restore_seconds`, `data_loss_seconds`: recovery time and data loss that it measured (RTO, RPO).
    """

    alarm_after: timedelta
    last_at: datetime | None = None
    last_outcome: str = ""
    problem: str = ""
    proven_at: datetime | None = None
    proven_set: str = ""
    proven_begun: datetime | None = None
    restore_seconds: float | None = None
    data_loss_seconds: float | None = None


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
class CostFacts:
    """The newest weekly cost report."""

    since: datetime
    until: datetime
    currency: str
    machines: Sequence[MachineCostFacts]
    forecast: str | None = None
    budget: str | None = None
    notes: Sequence[str] = ()


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

    alarm_after: timedelta
    until: datetime
    since: datetime | None = None
    gap: str = ""


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
    secrets: Part[SecretFacts] = field(default_factory=_not_set_up)
    holds: Part[Sequence[str]] = field(default_factory=_not_set_up)
    silences: Part[Sequence[str]] = field(default_factory=_not_set_up)
