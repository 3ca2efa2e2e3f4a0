"""Whether to warn, stop, start or wait: one decision per tick, with its reasons.

What is wanted comes from the calendar, from orders that expire and from work in flight; what was done about
it from the attempts on record. Each wish has an id, the moment it came into force, and for one id the
machine is started or stopped at most once, unless the attempt failed; so nothing flaps, whatever the
instance view says and however often or seldom the tick runs.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.cloud.activity import ACTIVITY_DELAY
from shared.kernel.timestamps import format_rfc3339
from shared.power.attempts import Act, Attempt, last_attempt, retry_verdict
from shared.power.model import BackupNeed, PowerDecision, PowerStatus, Situation
from shared.power.overrides import DesiredState, desired_state
from shared.power.unplanned import StopCause, UnplannedStop
from shared.records.hold import Hold

if TYPE_CHECKING:
    from shared.policy import PowerPolicy

TICK = timedelta(minutes=5)
# A warning says when the machine stops; so long past that, as after lost ticks, people are warned anew.
WARNING_VALID_FOR = timedelta(minutes=15)
# How long a machine is kept up, or woken, for a backup that does not get done.
BACKUP_TIMEOUT = timedelta(hours=6)
# A backup that was finished so short a time before the stop counts for the one due during the night.
BACKUP_EARLY_MARGIN = timedelta(hours=2)


def decide_power(
    situation: Situation, rules: PowerPolicy, now: datetime, *, tick: timedelta = TICK
) -> PowerDecision:
    """What to do about the machine now. `tick` is how often this is asked; warnings come a tick early.

    Record the act as an `Attempt` before doing it, under a lock, so that two ticks at once do it once.
    """
    return _Decider(situation, rules, now, tick).decide()


class _Decider:
    """One decision in the making: the arguments, and what follows from them."""

    def __init__(self, situation: Situation, rules: PowerPolicy, now: datetime, tick: timedelta) -> None:
        self.situation, self.rules, self.now, self.tick = situation, rules, now, tick
        self.desired: DesiredState = desired_state(situation.schedule, situation.orders, now)

    def decide(self) -> PowerDecision:
        state = self.situation.state
        if state is PowerStatus.MISSING:
            reason = "machine not found: it was deleted or renamed; correct policy.yaml"
            return self._build(Act.NONE, "missing", self.desired.up, reason, alarm=True)
        waking = None if self.desired.up else self._wake_reason()
        up = self.desired.up or waking is not None
        # Neither started nor stopped: Azure shows no state for moments, and for hours where the agent hangs.
        if state is PowerStatus.UNKNOWN:
            return self._build(
                Act.WAIT, "unknown", up, self.desired.reason, "the instance view shows no state"
            )
        if waking:
            return self._decide_up(*waking)
        if up:
            return self._decide_up(
                _decision_id("up", self.desired.since, last_attempt(self.situation.history, Act.STOP))
            )
        return self._decide_off()

    def _build(
        self,
        act: Act,
        id_: str,
        up: bool,
        *reasons: str,
        not_before: datetime | None = None,
        stop_at: datetime | None = None,
        backup_first: bool = False,
        alarm: bool = False,
        alternatives: tuple[str, ...] = (),
    ) -> PowerDecision:
        change = self.desired.until
        return PowerDecision(
            act, id_, up, reasons, change, not_before, stop_at, backup_first, alarm, alternatives
        )  # fmt: skip

    def _format_local(self, time: datetime) -> str:
        return self.situation.schedule.format_local(time)

    # Towards up

    def _wake_reason(self) -> tuple[str, str] | None:
        """Id and reason, if the machine is wanted up for work although calendar and orders have it off."""
        for hold in self._active_holds():
            if hold.needs_up:
                return (
                    f"wake@{_format_id_time(hold.since)}",
                    f"needed by {hold.what} until {self._format_local(hold.until)}",
                )
        need = self.situation.backup
        if need is None or self.situation.when_vm_off != "wake" or _is_backup_done(need, need.due):
            return None
        # Bounded: a backup that fails every night must not keep the machine running until somebody notices
        # the bill.
        if not need.due <= self.now < need.due + BACKUP_TIMEOUT:
            return None
        return (
            f"wake@{_format_id_time(need.due)}",
            f"backup due since {self._format_local(need.due)}: policy starts the machine for it",
        )

    def _decide_up(self, id_: str, *woken: str) -> PowerDecision:
        reasons = (self.desired.reason, *woken)
        state = self.situation.state
        if state is PowerStatus.RUNNING:
            return self._decide_warning(id_, reasons)
        if state is PowerStatus.STARTING:
            return self._build(Act.NONE, id_, True, *reasons, "starting")
        if state in (PowerStatus.STOPPING, PowerStatus.DEALLOCATING):
            return self._build(Act.WAIT, id_, True, *reasons, "waiting for a stop in progress")
        stop = self.situation.unplanned
        if stop is not None and stop.cause is not StopCause.PLATFORM:
            return self._leave_off(id_, stop, reasons)
        verdict = retry_verdict(self.situation.history, Act.START, id_, self.rules.settle, self.now)
        act = Act.START if verdict.allowed else Act.WAIT if verdict.not_before else Act.NONE
        reasons = (*reasons, verdict.reason) if verdict.reason else reasons
        return self._build(
            act, id_, True, *reasons,
            not_before=verdict.not_before,
            alarm=act is Act.NONE or verdict.failures > 0,
            alternatives=self.situation.alternatives if verdict.no_capacity else (),
        )  # fmt: skip

    def _leave_off(self, id_: str, stop: UnplannedStop, reasons: tuple[str, ...]) -> PowerDecision:
        """It went off, not by Azure's doing: a person's stop is respected, and nobody's is not guessed at."""
        when = self._format_local(stop.at or stop.seen)
        if stop.is_open(self.now):
            reason = f"it went off, seen at {when}; Azure's activity log does not say yet who stopped it"
            until = stop.seen + ACTIVITY_DELAY
            return self._build(Act.WAIT, id_, True, *reasons, reason, not_before=until)
        if stop.respected:
            reason = f"stopped by {stop.by} at {when}: left off until the next window or an order"
            return self._build(Act.NONE, id_, True, *reasons, reason)
        reason = (
            f"it went off, seen at {when}, and Azure's activity log does not say who stopped it: left off"
        )
        return self._build(Act.NONE, id_, True, *reasons, reason, alarm=True)

    def _decide_warning(self, id_: str, reasons: tuple[str, ...]) -> PowerDecision:
        """It runs and should; warn, if it is soon to stop."""
        stop_at = self.desired.until if self.desired.up else None
        if stop_at is None:
            return self._build(Act.NONE, id_, True, *reasons)
        stop_at = max(stop_at, self._min_up_end())
        lead = self.rules.warning + self.tick
        held = any(hold.until > stop_at for hold in self._active_holds())
        stop_id = _decision_id("off", self.desired.until, last_attempt(self.situation.history, Act.START))
        announced = self._announced_stop(stop_id, stop_at)
        warned = announced is not None and announced >= stop_at
        if held or warned or self.now < stop_at - lead:
            return self._build(Act.NONE, id_, True, *reasons)
        stop_at = max(stop_at, self.now + self.rules.warning)
        reason = f"it will stop at {self._format_local(stop_at)}"
        backup_first = self._backup_before(stop_at, self._next_start_after(stop_at))
        return self._build(
            Act.WARN, stop_id, True, *reasons, reason, stop_at=stop_at, backup_first=backup_first
        )

    # Towards off

    def _decide_off(self) -> PowerDecision:
        started = last_attempt(self.situation.history, Act.START)
        id_ = _decision_id("off", self.desired.since, started)
        reasons, state = (*self._skipped_reasons(), self.desired.reason), self.situation.state
        if state in (PowerStatus.DEALLOCATED, PowerStatus.DEALLOCATING, PowerStatus.STOPPING):
            return self._build(Act.NONE, id_, False, *reasons)
        holds = self._active_holds()
        if holds:
            until = max(hold.until for hold in holds)
            names = ", ".join(f"{hold.what} until {self._format_local(hold.until)}" for hold in holds)
            return self._build(Act.WAIT, id_, False, *reasons, f"held by {names}", not_before=until)
        if state is PowerStatus.STARTING:
            return self._build(Act.WAIT, id_, False, *reasons, "waiting for a start in progress")
        if state is PowerStatus.STOPPED:
            return self._decide_stop(id_, *reasons, "guest is shut down, but the VM is still billed")
        return self._stop_running(id_, reasons, started)

    def _stop_running(self, id_: str, reasons: tuple[str, ...], started: Attempt | None) -> PowerDecision:
        begins = [self.desired.since, started.at if started else None]
        begun = max((time for time in begins if time), default=self.now)
        if self._backup_before(begun, self.desired.until) and self.now < begun + BACKUP_TIMEOUT:
            reason = "backup due while the machine is off: policy runs it before the stop"
            return self._build(Act.WAIT, id_, False, *reasons, reason, backup_first=True)
        # People who have just started it by hand are not thrown out after five minutes.
        stop_at = max(self.desired.since or self.now, self._min_up_end())
        if started is not None and started.decision.startswith("wake@") and started.at >= begun:
            # It was woken while it should be off: nobody was told that it would stay. A day since is another
            # matter, since people work on it.
            return self._decide_stop(id_, *reasons, "started for work that is done")
        if self.now < stop_at - self.rules.warning - self.tick:
            reason = f"it was started only at {self._format_local(started.at)}" if started else ""
            return self._build(Act.WAIT, id_, False, *reasons, reason, not_before=stop_at)
        earlier = retry_verdict(self.situation.history, Act.STOP, id_, self.rules.settle, self.now)
        announced = self._announced_stop(id_, stop_at)
        # A stop comes at the announced time or not much later: after lost ticks, a hold or a failed attempt
        # it is announced anew.
        if announced is None or self.now > announced + WARNING_VALID_FOR:
            if not earlier.allowed:
                return self._decide_stop(id_, *reasons)
            at = max(stop_at, self.now + self.rules.warning)
            reason = f"it will stop at {self._format_local(at)}"
            return self._build(Act.WARN, id_, False, *reasons, reason, stop_at=at)
        until = max(stop_at, announced)
        if self.now < until:
            reason = f"warning sent, stops at {self._format_local(until)}"
            return self._build(Act.WAIT, id_, False, *reasons, reason, not_before=until)
        return self._decide_stop(id_, *reasons)

    def _decide_stop(self, id_: str, *reasons: str) -> PowerDecision:
        verdict = retry_verdict(self.situation.history, Act.STOP, id_, self.rules.settle, self.now)
        act = Act.STOP if verdict.allowed else Act.WAIT if verdict.not_before else Act.NONE
        reasons = (*reasons, verdict.reason) if verdict.reason else reasons
        alarm = act is Act.NONE or verdict.failures > 0
        return self._build(act, id_, False, *reasons, not_before=verdict.not_before, alarm=alarm)

    # Facts

    def _active_holds(self) -> list[Hold]:
        """The holds in force; one that claims more than policy's longest is believed so long."""
        # A hold is a blob that a killed job leaves behind.
        longest = self.rules.max_hold
        bounded = (
            Hold(hold.what, hold.since, min(hold.until, hold.since + longest), hold.needs_up)
            for hold in self.situation.holds
        )
        return [hold for hold in bounded if hold.since <= self.now < hold.until]

    def _min_up_end(self) -> datetime:
        """When the machine has been up for policy's shortest time."""
        started = last_attempt(self.situation.history, Act.START)
        return started.at + self.rules.min_up if started else self.now - self.rules.min_up

    def _announced_stop(self, id_: str, stop_at: datetime) -> datetime | None:
        """The time for which people were last warned of this stop; None if an order came since.

        Who reads the order may take it that the machine stays.
        """
        for attempt in reversed(self.situation.history):
            if attempt.act is Act.WARN and attempt.decision == id_ and attempt.outcome != "cancelled":
                # One for another day says nothing of this stop.
                begun = (order for order in self.situation.orders if order.start <= self.now)
                if any(order.created > attempt.at for order in begun):
                    return None
                # Before version 0.2 the announced time was not on record.
                return attempt.stop_at or max(stop_at, attempt.at + self.rules.warning)
        return None

    def _next_start_after(self, stop_at: datetime) -> datetime | None:
        return desired_state(self.situation.schedule, self.situation.orders, stop_at).until

    def _backup_before(self, stop_at: datetime, next_start: datetime | None) -> bool:
        need = self.situation.backup
        if need is None or self.situation.when_vm_off != "before_stop":
            return False
        falls_into_night = next_start is None or need.due < next_start
        return falls_into_night and not _is_backup_done(need, stop_at - BACKUP_EARLY_MARGIN)

    def _skipped_reasons(self) -> tuple[str, ...]:
        need = self.situation.backup
        if (
            need is None
            or self.situation.when_vm_off != "skip"
            or self.now < need.due
            or _is_backup_done(need, need.due)
        ):
            return ()
        return (
            f"backup due at {self._format_local(need.due)} skipped: policy does not start the machine for it",
        )


def _is_backup_done(need: BackupNeed, since: datetime) -> bool:
    return need.last_good is not None and need.last_good >= since


@lru_cache(maxsize=256)
def _format_id_time(time: datetime) -> str:
    return format_rfc3339(time)


def _decision_id(what: str, since: datetime | None, undone: Attempt | None) -> str:
    """The wish's id: when it came into force or, if later, when the opposite was last done."""
    times = [time for time in (since, undone and undone.at) if time]
    return f"{what}@{_format_id_time(max(times))}" if times else f"{what}@always"
