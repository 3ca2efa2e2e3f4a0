"""Reads what tells of trouble, or keeps data from being lost between two backups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.alerts.records import AlertRecords
from shared.calendar.decide import is_end
from shared.calendar.growth import GrowthSummary
from shared.calendar.records import load_calendar
from shared.kernel.errors import Unavailable
from shared.kernel.ports import Blobs, Clock
from shared.notifications.history import DeliveryLog
from shared.notifications.silence_records import SilenceRecords
from shared.pitr.records import read_capture_state
from shared.probes.records import load_probes
from shared.status.calendar_facts import CalendarFacts
from shared.status.model import AlertFacts, CaptureFacts, FiringAlert, NotSetUp, RouteFacts
from shared.status.probe_facts import ProbeFacts

if TYPE_CHECKING:
    from shared.policy.pitr import PitrPolicy
    from shared.policy.probes import ProbesPolicy


def read_capture(state: Blobs, trusted: Sequence[str], rules: PitrPolicy) -> CaptureFacts:
    """How far the oplog is captured; only a signed cursor counts."""
    if not rules.enabled:
        raise NotSetUp("policy.yaml does not capture the oplog")
    capture = read_capture_state(state, trusted)
    if capture.unknown or capture.until is None:
        raise Unavailable(capture.unknown or "nothing was captured yet")
    return CaptureFacts(rules.alarm_after, capture.until, capture.since, capture.gap)


def read_alerts(state: Blobs) -> AlertFacts:
    """What fires, the oldest first; what planned downtime explains is marked."""
    records = AlertRecords(state)
    firing = [
        FiringAlert(
            one.alert.name, str(one.alert.severity), one.alert.summary, one.alert.starts_at, one.muted
        )
        for one in records.list_firing()
    ]
    heartbeat = records.load_heartbeat()
    if not firing and heartbeat.at is None and heartbeat.expected_since is None:
        raise NotSetUp("no alert was ever received")
    return AlertFacts(firing, heartbeat.at)


def read_calendar(state: Blobs) -> CalendarFacts | None:
    """The calendar as made last; None before the first."""
    calendar = load_calendar(state)
    if calendar is None:
        return None
    ends: dict[str, datetime] = {}
    warnings: dict[str, datetime] = {}
    for entry in filter(is_end, calendar.entries):
        # Over for years, it would hide the next end of its kind, and alert for ever. The status names it.
        if entry.is_past_life:
            continue
        kind = str(entry.deadline.kind)
        for found, time in ((ends, entry.deadline.at), (warnings, entry.warns_at)):
            if time is not None:
                found[kind] = min(time, found.get(kind, time))
    growth = calendar.growth or GrowthSummary()
    sizes = {row.name: (row.size_bytes, row.last_per_day) for row in growth.namespaces}
    return CalendarFacts(
        calendar.at, ends, warnings, sizes, growth.others_bytes if sizes else None, growth.captured_per_day
    )


def read_probes(state: Blobs, rules: ProbesPolicy) -> ProbeFacts:
    """The newest look at the chat."""
    if not rules.enabled:
        raise NotSetUp("policy.yaml does not probe the chat")
    record = load_probes(state)
    if record is None:
        raise Unavailable("nobody has looked yet: groundcrew probes run")
    return ProbeFacts(record.run.at, record.run.trigger, record.run.outcomes)


def read_silences(state: Blobs, clock: Clock, limit: timedelta) -> Sequence[str]:
    """What people silenced: what, until when, by whom and why."""
    return tuple(map(str, SilenceRecords(state, clock, limit).list_in_force()))


def read_routes(state: Blobs) -> Mapping[str, RouteFacts]:
    """By route, when it last took a message and when it last did not."""
    routes = DeliveryLog(state).routes()
    if not routes:
        raise NotSetUp("no message was ever sent")
    return {name: RouteFacts(one.last_success, one.last_failure, one.error) for name, one in routes.items()}
