"""`GET /api/metrics`: the gauges of infra/monitoring/metrics.yaml, which is their contract.

Instants rather than ages, and nothing for what is not known: a zero would be believed. The text is written by
the official client library (https://prometheus.github.io/client_python/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.formats.rehearsals import FAILED, INTERRUPTED, PASSED, REQUESTED, RUNNING
from shared.probes.model import ProbeStatus
from shared.status.calendar_facts import CalendarFacts
from shared.status.metric_specs import METRICS
from shared.status.model import (
    BackupFacts,
    CaptureFacts,
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
from shared.status.probe_facts import ProbeFacts
from shared.status.rehearsal_facts import RehearsalFacts

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_PREFIX = "groundcrew_"
# The states of metrics.yaml, in its order: each has a series, so that a rule sees the change.
POWER_STATES = (
    "running", "starting", "stopping", "stopped", "deallocating", "deallocated", "missing", "unknown",
)  # fmt: skip
REHEARSAL_STATES = (REQUESTED, RUNNING, PASSED, FAILED, INTERRUPTED)


class Gauge(NamedTuple):
    """One sample: the name without `groundcrew_`, its labels, its value in base units."""

    name: str
    value: float
    labels: Mapping[str, str] = {}


def render_metrics(status: Status, accept: str) -> tuple[bytes, str]:
    """The body and its content type, in the format that the Accept header asks for."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    # One for each answer and not the library's own, in which a machine that is gone would stay.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _StatusCollector:
    """Hands the client library one family for each metric that has a sample."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        families: dict[str, GaugeMetricFamily] = {}
        for gauge in iter_gauges(self._status):
            name = _PREFIX + gauge.name
            spec = METRICS[name]
            family = families.get(name)
            if family is None:
                family = families[name] = GaugeMetricFamily(name, spec.help, labels=spec.labels)
            family.add_metric([gauge.labels[label] for label in spec.labels], gauge.value)
        yield from families.values()


def iter_gauges(status: Status) -> Iterator[Gauge]:
    """Every sample. A part that could not be read has none but its `collector_success` of 0."""
    yield Gauge("build_info", 1, {"version": status.version})
    for collector, (part, to_gauges) in _collectors(status).items():
        if part.absent:
            continue  # what is not set up neither works nor fails
        yield Gauge("collector_success", float(part.is_known), {"collector": collector})
        if part.value is not None:
            yield from to_gauges(part.value)
    # Beside the collectors, as nothing else depends on them: an alert on a part that fails has
    # `collector_success`.
    for state, count in (status.sets.value or {}).items():
        yield Gauge("backup_sets", count, {"state": state})
    if status.alerts.value is not None:
        yield from _instant("alert_heartbeat_timestamp_seconds", status.alerts.value.heartbeat_at)


def _collectors(status: Status) -> Mapping[str, tuple[Part[Any], Callable[[Any], Iterator[Gauge]]]]:
    return {
        "backup": (status.backup, _backup_gauges),
        "snapshots": (status.snapshots, _snapshot_gauges),
        "certificates": (status.certificates, _certificate_gauges),
        "deploy": (status.deploy, _deploy_gauges),
        "rehearsal": (status.rehearsal, _rehearsal_gauges),
        "power": (status.power, _power_gauges),
        "queues": (status.queues, _queue_gauges),
        "drill": (status.drill, _drill_gauges),
        "keys": (status.key_drill, _key_drill_gauges),
        "oplog": (status.capture, _capture_gauges),
        "notifications": (status.routes, _route_gauges),
        "calendar": (status.calendar, _calendar_gauges),
        "probes": (status.probes, _probe_gauges),
        "jobs": (status.runs, _job_gauges),
    }


def _backup_gauges(facts: BackupFacts) -> Iterator[Gauge]:
    yield from _instant("backup_last_success_timestamp_seconds", facts.begun)
    yield from _instant("backup_last_failure_timestamp_seconds", facts.failed_at)
    yield Gauge("backup_alarm_after_seconds", facts.alarm_after.total_seconds())
    if facts.begun is not None and facts.sealed is not None:
        yield Gauge("backup_duration_seconds", (facts.sealed - facts.begun).total_seconds())
        yield Gauge("backup_stored_bytes", facts.stored_bytes)


def _snapshot_gauges(facts: SnapshotFacts) -> Iterator[Gauge]:
    for name, disk in facts.disks.items():
        yield from _instant("snapshot_last_success_timestamp_seconds", disk.newest, disk=name)
        yield Gauge("snapshots", disk.count, {"disk": name})
    yield Gauge("snapshot_alarm_after_seconds", facts.alarm_after.total_seconds())


def _certificate_gauges(facts: ScanFacts) -> Iterator[Gauge]:
    for one in facts.certificates:
        # Of a host that could not be looked at in this scan nothing is known, and nothing is told.
        if one.kind == "host" and one.seen == facts.at and one.not_after is not None:
            yield from _instant("certificate_expiry_timestamp_seconds", one.not_after, host=one.name)
            yield Gauge("certificate_valid", float(one.valid), {"host": one.name})
            yield from _instant("certificate_warning_timestamp_seconds", one.warning_at, host=one.name)
            yield from _instant("certificate_critical_timestamp_seconds", one.critical_at, host=one.name)


def _calendar_gauges(facts: CalendarFacts) -> Iterator[Gauge]:
    for kind, end in facts.ends.items():
        yield from _instant("lockout_timestamp_seconds", end, kind=kind)
    for kind, warning in facts.warnings.items():
        yield from _instant("lockout_warning_timestamp_seconds", warning, kind=kind)
    yield from _growth_gauges(facts)


def _growth_gauges(facts: CalendarFacts) -> Iterator[Gauge]:
    for name, (size, per_day) in facts.sizes.items():
        yield Gauge("namespace_size_bytes", size, {"namespace": name})
        yield Gauge("namespace_growth_bytes", per_day, {"namespace": name})
    if facts.others_bytes is not None:
        yield Gauge("namespace_others_size_bytes", facts.others_bytes)
    if facts.captured_per_day is not None:
        yield Gauge("oplog_captured_bytes", facts.captured_per_day)


def _probe_gauges(facts: ProbeFacts) -> Iterator[Gauge]:
    yield from _instant("probe_timestamp_seconds", facts.at)
    for one in facts.outcomes:
        if one.status is not ProbeStatus.UNKNOWN:
            yield Gauge("probe_success", float(one.status is ProbeStatus.OK), {"probe": str(one.name)})


def _deploy_gauges(facts: DeployFacts) -> Iterator[Gauge]:
    release = {"release": facts.release}
    yield from _instant("deploy_last_success_timestamp_seconds", facts.succeeded_at, **release)
    yield from _instant("deploy_last_failure_timestamp_seconds", facts.failed_at, **release)
    yield from _instant("deploy_started_timestamp_seconds", facts.running_since, **release)
    yield Gauge("deploy_alarm_after_seconds", facts.alarm_after.total_seconds())
    if facts.drifted is not None:
        yield Gauge("deploy_drifted_objects", facts.drifted, release)


def _rehearsal_gauges(facts: RehearsalFacts) -> Iterator[Gauge]:
    record = facts.record
    if record is None:
        return  # none yet: five zeroes would read as a state that nobody knows
    # Of the newest one only, without its commit: a label for each would be a series for each upgrade.
    for state in REHEARSAL_STATES:
        yield Gauge("rehearsal_state", float(record.state == state), {"state": state})
    yield from _instant("rehearsal_timestamp_seconds", record.updated)
    if record.downtime is not None:
        yield Gauge("rehearsal_downtime_seconds", record.downtime.total_seconds())


def _power_gauges(facts: PowerFacts) -> Iterator[Gauge]:
    for one in facts.machines:
        labels = {"machine": one.name}
        yield Gauge("power_planned_up", float(one.planned_up), labels)
        yield from _instant("power_planned_since_timestamp_seconds", one.planned_since, **labels)
        yield from _instant("power_next_change_timestamp_seconds", one.next_change, **labels)
        # Zeroes for the other states, or the old one would be the newest sample for five minutes after a
        # change.
        for state in POWER_STATES:
            yield Gauge("power_state", float(one.state == state), {**labels, "state": state})
    yield Gauge("power_settle_seconds", facts.settle.total_seconds())


def _drill_gauges(facts: DrillFacts) -> Iterator[Gauge]:
    yield from _instant("drill_last_run_timestamp_seconds", facts.last_at)
    yield from _instant("drill_last_success_timestamp_seconds", facts.proven_at)
    yield from _instant("drill_proven_backup_timestamp_seconds", facts.proven_begun)
    yield Gauge("drill_alarm_after_seconds", facts.alarm_after.total_seconds())
    # Of the newest drill that proved something: what a failed one measured is no recovery time.
    if facts.restore_seconds is not None and facts.data_loss_seconds is not None:
        yield Gauge("drill_restore_duration_seconds", facts.restore_seconds)
        yield Gauge("drill_data_loss_seconds", facts.data_loss_seconds)


def _key_drill_gauges(facts: KeyDrillFacts) -> Iterator[Gauge]:
    yield from _instant("key_drill_timestamp_seconds", facts.at)
    yield Gauge("key_drill_alarm_after_seconds", facts.alarm_after.total_seconds())


def _capture_gauges(facts: CaptureFacts) -> Iterator[Gauge]:
    yield from _instant("oplog_captured_until_timestamp_seconds", facts.until)
    yield Gauge("oplog_gap", float(bool(facts.gap)))
    yield Gauge("oplog_alarm_after_seconds", facts.alarm_after.total_seconds())


def _route_gauges(facts: Mapping[str, RouteFacts]) -> Iterator[Gauge]:
    for name, one in facts.items():
        yield from _instant("notification_last_success_timestamp_seconds", one.last_success, route=name)
        yield from _instant("notification_last_failure_timestamp_seconds", one.last_failure, route=name)


def _job_gauges(facts: RunFacts) -> Iterator[Gauge]:
    for name, job in facts.jobs.items():
        run, success = job.newest.run, job.newest.success
        if run is not None:
            yield from _instant("job_last_run_timestamp_seconds", run.ended, job_name=name)
        if success is not None:
            yield from _instant("job_last_success_timestamp_seconds", success.ended, job_name=name)
        # A gauge, so that a rule compares with policy and not with a number of its own.
        if job.alarm_after is not None:
            yield Gauge("job_alarm_after_seconds", job.alarm_after.total_seconds(), {"job_name": name})


def _queue_gauges(facts: Mapping[str, int]) -> Iterator[Gauge]:
    for queue, count in facts.items():
        yield Gauge("queue_poison_messages", count, {"queue": queue})


def _instant(name: str, at: datetime | None, **labels: str) -> Iterator[Gauge]:
    """The instant in Unix seconds; nothing for one that never was, or is not known."""
    if at is not None:
        yield Gauge(name, at.timestamp(), labels)
