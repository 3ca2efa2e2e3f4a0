"""Alerts: what comes in is told once, as one message; what planned downtime explains is not; silence is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.alerts.decide import AlertPlan, Explain, decide_again, decide_alerts, make_explain
from shared.alerts.model import AlertBatch, KnownAlert, PlannedDowntime
from shared.alerts.notices import build_heard_again_notice, build_notices, build_silence_notice
from shared.alerts.parse import parse_payload
from shared.alerts.records import AlertRecords, Heartbeat
from shared.kernel.errors import GroundcrewError, Unavailable
from shared.kernel.ports import Clock
from shared.notifications.ports import GroupNotifier
from shared.notifications.silence import Silence, find_watchdog_silence

if TYPE_CHECKING:
    from shared.policy.alerts import AlertPolicy

log = logging.getLogger(__name__)

# Each time another worker has saved meanwhile: so many in a row are a mistake, not a race.
_ATTEMPTS = 10


@dataclass(frozen=True)
class AlertDeps:
    """What alerts need.

    `find_downtimes` names machines that are off, or starting, by plan. `up_since` says since when the
    server should be up: None if it is off by plan. Both raise, or say nothing of a machine, where they
    cannot see: then nothing is explained, and the heartbeat is expected. `find_silences` has those that
    people began and that have not ended.
    """

    records: AlertRecords
    notifications: GroupNotifier
    clock: Clock
    policy: AlertPolicy
    repeat_after: timedelta
    find_downtimes: Callable[[], Sequence[PlannedDowntime]]
    up_since: Callable[[], datetime | None]
    find_silences: Callable[[], Sequence[Silence]] = tuple


def receive_payloads(deps: AlertDeps, bodies: Sequence[str]) -> None:
    """Tell what is new in payloads that were accepted. Raises `Unavailable` if they could not be stored."""
    batches = [parse_payload(body.encode()) for body in bodies]
    if any(batch.heartbeat for batch in batches):
        now = deps.clock.now()
        deps.records.save_heartbeat(Heartbeat(now, deps.records.load_heartbeat().expected_since or now))
    incoming = [alert for batch in batches for alert in batch.alerts]
    joined = AlertBatch(
        tuple(incoming), False, sum(one.truncated for one in batches), sum(one.malformed for one in batches)
    )
    if not (joined.alerts or joined.truncated or joined.malformed):
        return
    plan = _apply(
        deps,
        lambda known, explain: decide_alerts(
            known, joined.alerts, explain, deps.clock.now(), deps.repeat_after
        ),
        joined,
    )
    facts = {"received": len(incoming), "told": len(plan.tell), "left_out": len(plan.left_out)}
    log.info("alerts.received", extra=facts)


def _apply(
    deps: AlertDeps,
    decide: Callable[[dict[str, KnownAlert], Explain], AlertPlan],
    batch: AlertBatch,
) -> AlertPlan:
    """Decide on what is known, tell, then remember: a death in between tells again rather than never."""
    explain = make_explain(_find_downtimes(deps), deps.policy, _find_silences(deps))
    stored: set[tuple[str, bool]] = set()
    for attempt in range(_ATTEMPTS):
        known, etag = deps.records.load()
        plan = decide(known, explain)
        tell = [one for one in plan.tell if (one.fingerprint, one.firing) not in stored]
        # What the payload said of itself is told once, however often the record was changed meanwhile.
        extra = batch if attempt == 0 else AlertBatch()
        if notices := build_notices(tell, extra, deps.clock.now()):
            deps.notifications.notify_group(notices, wait=deps.policy.group_wait)
            stored |= {(one.fingerprint, one.firing) for one in tell}
        if plan.known == known or deps.records.save(plan.known, etag):
            return plan
    raise Unavailable("the record of alerts keeps changing", hint="They are sent again.")


def _find_downtimes(deps: AlertDeps) -> Sequence[PlannedDowntime]:
    try:
        return deps.find_downtimes()
    except GroundcrewError as error:
        log.warning("alerts.machines_unknown", extra={"error": str(error)})
        return ()  # what cannot be seen explains nothing


def _find_silences(deps: AlertDeps) -> Sequence[Silence]:
    try:
        return deps.find_silences()
    except GroundcrewError as error:
        log.warning("alerts.silences_unknown", extra={"error": str(error)})
        return ()


def check_alerts(deps: AlertDeps) -> str:
    """What a tick does: tell alerts that nothing explains any more, and the silence of the heartbeat."""
    plan = _apply(deps, lambda known, explain: decide_again(known, explain, deps.clock.now()), AlertBatch())
    summary = (
        f"{len(plan.tell)} alerts are no longer explained" if plan.tell else "no alert became unexplained"
    )
    return f"{summary}; {_check_heartbeat(deps)}"


def _check_heartbeat(deps: AlertDeps) -> str:
    expected, now = deps.policy.watchdog, deps.clock.now()
    if expected is None:
        return "no heartbeat is expected"
    heartbeat = deps.records.load_heartbeat()
    if heartbeat.expected_since is None:
        # From the first tick on: before it, nobody had told Alertmanager where to send it.
        heartbeat = Heartbeat(heartbeat.at, now)
        deps.records.save_heartbeat(heartbeat)
    try:
        up_since = deps.up_since()
    except GroundcrewError as error:  # unknown is not off
        log.warning("alerts.uptime_unknown", extra={"error": str(error)})
        up_since = heartbeat.expected_since
    if up_since is None:
        return "no heartbeat is expected: the server is off by plan"
    since = max(heartbeat.at or heartbeat.expected_since or now, up_since + deps.policy.start_grace)
    if now - since <= expected:
        # At each tick: notifications drop the end of what never began.
        deps.notifications.notify(build_heard_again_notice())
        return "the heartbeat is on time"
    if silence := find_watchdog_silence(_find_silences(deps)):
        return f"Alertmanager is silent; its alarm is silenced: {silence}"
    silent_for = None if heartbeat.at is None else now - heartbeat.at
    deps.notifications.notify(build_silence_notice(silent_for, expected))
    return "Alertmanager is silent"
