"""What power sees: the machines that policy names, their states, orders, holds, records and backups.

One listing of states for each kind of machine that policy names. A listing has no tags, so those are kept
for an hour, or until a machine shows up whose tags are not known.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from shared.cloud.activity import ActivityLog
from shared.cloud.machines import MachineState, PowerState, PowerSwitch
from shared.kernel.errors import Corrupt, GroundcrewError
from shared.kernel.ports import Blobs, Clock
from shared.power.attempts import Act, Attempt, last_attempt, reconcile_history
from shared.power.decide import decide_power
from shared.power.model import BackupNeed, PowerDecision, PowerStatus, Situation, schedule_for
from shared.power.override_store import OverrideStore, for_machine
from shared.power.overrides import Override
from shared.power.records import PowerRecord, PowerRecords
from shared.power.schedule import Schedule
from shared.power.targets import Target, match_targets
from shared.power.unplanned import (
    StopCause,
    UnplannedStop,
    attribute_stop,
    mark_undone,
    without_own_stops,
)
from shared.records.hold import Hold
from shared.records.holds import Holds

if TYPE_CHECKING:
    from shared.backup.catalogue import SetCatalogue
    from shared.policy import DayOff, Policy

log = logging.getLogger(__name__)

# The listing with tags is a second one beside that of states: a new tag may wait an hour.
_TAGS_VALID_FOR = timedelta(hours=1)
# How far back the log is read for who stopped a machine: ticks may have been lost over a weekend.
_LOG_REACH = timedelta(days=3)
# A set that was made up for late in the evening counts for the night that follows.
_MIN_BACKUP_SPACING = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class ObservedMachine:
    """A machine with all that a decision depends on, and the decision."""

    target: Target
    stored: PowerRecord  # as it was read
    record: PowerRecord  # after what the state shows
    situation: Situation
    decision: PowerDecision

    @property
    def schedule(self) -> Schedule:
        """Its calendar."""
        return self.situation.schedule


@dataclass(frozen=True)
class Inventory:
    """Looks; changes nothing but the kept tags."""

    switches: Mapping[str, PowerSwitch]  # by kind: "vm", "aks"
    state: Blobs
    clock: Clock
    policy: Policy
    day_off: DayOff
    backups: SetCatalogue | None = None
    backup_at: time | None = None  # when the nightly backup is due, in UTC, if that is the same each day
    activity: ActivityLog | None = None  # who stopped a machine

    @property
    def records(self) -> PowerRecords:
        """What was done."""
        return PowerRecords(self.state)

    @property
    def holds(self) -> Holds:
        """Work in flight."""
        return Holds(self.state, self.clock)

    @property
    def orders(self) -> OverrideStore:
        """Orders of people."""
        return OverrideStore(self.state, self.clock)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of machine that policy names, in its order."""
        return tuple(dict.fromkeys(machine.kind for machine in self.policy.power.machines))

    def targets(self, kind: str, *, fresh_tags: bool = False) -> list[Target]:
        """The machines of one kind. Raises `Unavailable`, `Refused`."""
        states = self.switches[kind].list_states()
        rules = [machine for machine in self.policy.power.machines if machine.kind == kind]
        tags = self._tags(kind, states, fresh_tags) if any(machine.tag for machine in rules) else {}
        power = self.policy.power
        return [
            replace(target, carries=power.carried_by(target.rules))
            for target in match_targets(rules, states, tags)
        ]

    def _tags(
        self, kind: str, states: Mapping[str, MachineState], fresh: bool
    ) -> Mapping[str, Mapping[str, str]]:
        now, cached = self.clock.now(), None if fresh else self.records.load_tags(kind)
        # A machine whose tags are not known may be under schedule since a minute ago.
        if cached and now - cached[0] < _TAGS_VALID_FOR and states.keys() <= cached[1].keys():
            return cached[1]
        tags = {machine.id: dict(machine.tags) for machine in self.switches[kind].list()}
        self.records.save_tags(kind, now, tags)
        return tags

    def observe(self, targets: Iterable[Target], *, order: Override | None = None) -> list[ObservedMachine]:
        """The machines with their decisions of this moment, after what their states show.

        With `order` as if that had been placed for each of them.
        """
        now, target_list = self.clock.now(), list(targets)
        orders, holds = self.orders.all(), self.holds.list_in_force()
        need = self._backup_need(now)
        extra = () if order is None else (order,)
        return [
            self._observe_target(target, (*for_machine(orders, target.key), *extra), holds, need, now)
            for target in target_list
        ]

    def observe_again(self, observed: ObservedMachine, record: PowerRecord) -> ObservedMachine | None:
        """The machine as it is this moment, its tags included; None if it is under schedule no longer.

        `record` stands for the stored one, so that an attempt in progress does not count.
        """
        # Whoever takes the tag away wants the machine left alone now, not within the hour.
        fresh = self.targets(observed.target.kind, fresh_tags=True)
        target = next((one for one in fresh if one.id == observed.target.id and not one.problem), None)
        if target is None:
            return None
        now = self.clock.now()
        orders = for_machine(self.orders.all(), target.key)
        return self._observe_target(
            target, orders, self.holds.list_in_force(), self._backup_need(now), now, record=record
        )

    def _observe_target(
        self,
        target: Target,
        orders: tuple[Override, ...],
        holds: tuple[Hold, ...],
        need: BackupNeed | None,
        now: datetime,
        *,
        record: PowerRecord | None = None,
    ) -> ObservedMachine:
        try:
            stored = self.records.load(target.key) if record is None else record
        except Corrupt as error:
            # Without its record nothing is known of what was done: better nothing than something twice.
            stored, target = PowerRecord(), replace(target, problem=str(error))
        record = reconcile_record(stored, target.state, now)
        situation = Situation(
            target.power,
            schedule_for(target.rules, self.policy.timezone, self.day_off),
            orders,
            # Work in progress needs the server: a machine beside it is neither held nor woken.
            holds if target.carries else (),
            record.history,
            need if "mongodb" in target.carries else None,
            self.policy.backup.when_vm_off,
            target.rules.alternatives,
        )
        rules = self.policy.power
        decision = decide_power(situation, rules, now)
        record = note_running(record, decision, target.power, rules.settle, now)
        if is_unplanned_stop(record, decision, target.power):
            record = self._attribute_stop(record, target, decision, now)
            situation = replace(situation, history=record.history, unplanned=record.unplanned)
            decision = decide_power(situation, rules, now)
        return ObservedMachine(target, stored, record, situation, decision)

    def _attribute_stop(
        self, record: PowerRecord, target: Target, decision: PowerDecision, now: datetime
    ) -> PowerRecord:
        """The record with what Azure's log tells of the stop so far; what cannot be read stays unknown."""
        stop = record.unplanned or UnplannedStop(now)
        if stop.cause is not StopCause.UNKNOWN or self.activity is None:
            return replace(record, unplanned=stop)
        started = last_attempt(record.history, Act.START)
        since = max(stop.seen - _LOG_REACH, started.at if started else stop.seen - _LOG_REACH)
        try:
            events = self.activity.list_events(target.id, since, now)
        except GroundcrewError as error:
            log.warning("power.activity_unavailable", extra={"machine": target.key, "error": str(error)})
            return replace(record, unplanned=stop)
        events = without_own_stops(events, record.history, self.policy.power.settle)
        stop = attribute_stop(stop, events)
        history = record.history
        if stop.cause is StopCause.PLATFORM:
            history = mark_undone(history, decision.id, f"stopped by {stop.by}: it is started again")
        return replace(record, unplanned=stop, history=history)

    def _backup_need(self, now: datetime) -> BackupNeed | None:
        """When the next nightly set is or was due; None where that cannot be known."""
        if self.backups is None:
            return None
        try:
            nightly = self.backups.nightly_progress()
        except GroundcrewError as error:  # machines go on by their calendar
            log.warning("power.backups_unreadable", extra={"error": str(error)})
            return None
        return BackupNeed(next_backup_due(nightly.begun, self.backup_at, now), nightly.sealed_at)


def skipped_backup_due(observed: ObservedMachine, now: datetime) -> datetime | None:
    """When the backup was due that is not made since the machine is off and policy does not wake it."""
    need, off = observed.situation.backup, observed.target.power is PowerStatus.DEALLOCATED
    if need is None or not off or observed.situation.when_vm_off != "skip" or now < need.due:
        return None
    return None if need.last_good is not None and need.last_good >= need.due else need.due


def next_backup_due(begun: datetime | None, at: time | None, now: datetime) -> datetime:
    """When the backup after the one begun at a moment is due: at the same time each day, never drifting.

    One that was missed is due again at each day's time until there is one.
    """
    clock = at or (begun or now.replace(hour=0, minute=0)).timetz().replace(tzinfo=None)
    latest = datetime.combine(now.date(), clock, now.tzinfo)
    latest -= timedelta(days=latest > now)
    due = latest
    while begun is not None and due < begun + _MIN_BACKUP_SPACING:
        due += timedelta(days=1)
    return due


def reconcile_record(record: PowerRecord, state: MachineState | None, now: datetime) -> PowerRecord:
    """The record after a look: attempts that led to something are closed, and what is over is forgotten."""
    if state is None:
        return record
    running, off = state.power is PowerState.RUNNING, state.power is PowerState.DEALLOCATED
    history = _record_failure(reconcile_history(record.history, running=running, deallocated=off), state, now)
    record = replace(record, history=history)
    if off and record.quiesced:
        record = replace(record, quiesced=None)
    if record.started and not running and _newest_time(history, Act.STOP) > _newest_time(history, Act.START):
        record = replace(record, started=None)  # it is stopped again before it was well
    return record


def note_running(
    record: PowerRecord, decision: PowerDecision, power: PowerStatus, settle: timedelta, now: datetime
) -> PowerRecord:
    """The record after a look: for which wish the machine runs, and that an unplanned stop is over.

    A view that lags shows a machine as running for a while after our own stop: that is not noted.
    """
    if power is PowerStatus.RUNNING:
        record = replace(record, unplanned=None)
        newest = next((a for a in reversed(record.history) if a.act in (Act.START, Act.STOP)), None)
        stopping = newest is not None and newest.act is Act.STOP and now < newest.at + settle
        wish = decision.id.startswith(("up@", "wake@")) and decision.desired_up
        return replace(record, up_for=decision.id) if wish and not stopping else record
    if record.unplanned is not None and record.up_for != decision.id:
        return replace(record, unplanned=None)  # a window or an order since
    return record


def is_unplanned_stop(record: PowerRecord, decision: PowerDecision, power: PowerStatus) -> bool:
    """Whether the machine is off although it ran for this very wish, and nothing of ours stopped it."""
    off = power in (PowerStatus.DEALLOCATED, PowerStatus.STOPPED)
    return off and decision.desired_up and record.up_for == decision.id


def _record_failure(history: tuple[Attempt, ...], state: MachineState, now: datetime) -> tuple[Attempt, ...]:
    """Azure tells a failure of a start or stop afterwards, in the view, with the time it ended."""
    for index in range(len(history) - 1, -1, -1):
        attempt = history[index]
        if attempt.act not in (Act.START, Act.STOP):
            continue
        over = attempt.outcome == "issued" and bool(state.failure) and not (state.busy or state.power.moving)
        # Without a time it may be the failure of an older operation, shown by a view that lags.
        ended = state.since or (now if now - attempt.at > timedelta(minutes=3) else attempt.at)
        if over and ended > attempt.at:
            detail = f"{state.failure}: {state.detail}" if state.detail else state.failure
            failed = replace(attempt, outcome="failed", error=detail[:300])
            return (*history[:index], failed, *history[index + 1 :])
        break
    return history


def _newest_time(history: tuple[Attempt, ...], act: Act) -> float:
    return max((attempt.at.timestamp() for attempt in history if attempt.act is act), default=0.0)
