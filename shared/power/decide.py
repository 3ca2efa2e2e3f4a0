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

from shared.power.attempts import Act, Attempt, last, verdict
from shared.power.model import BackupNeed, Decision, Situation, State
from shared.power.overrides import Wish, wish
from shared.records.hold import Hold

if TYPE_CHECKING:
    from shared.policy import PowerPolicy

TICK = timedelta(minutes=5)
# A warning says when the machine stops; an hour past that, people have to be warned anew.
STALE = timedelta(hours=1)
# How long a machine is kept up, or woken, for a backup that does not get done.
BACKUP_PATIENCE = timedelta(hours=6)
# A backup that was finished so short a time before the stop counts for the one due during the night.
BACKUP_EARLY = timedelta(hours=2)


def decide(situation: Situation, rules: PowerPolicy, now: datetime, *, tick: timedelta = TICK) -> Decision:
    """What to do about the machine now. `tick` is how often this is asked; warnings come a tick early.

    Record the act as an `Attempt` before doing it, under a lock, so that two ticks at once do it once.
    """
    return _Case(situation, rules, now, tick).decide()


class _Case:
    """One decision in the making: the arguments, and what follows from them."""

    def __init__(self, situation: Situation, rules: PowerPolicy, now: datetime, tick: timedelta) -> None:
        self.given, self.rules, self.now, self.tick = situation, rules, now, tick
        self.wish: Wish = wish(situation.calendar, situation.orders, now)

    def decide(self) -> Decision:
        state = self.given.state
        if state is State.GONE:
            why = "the machine was not found: was it deleted or renamed? Correct policy.yaml"
            return self._say(Act.NONE, "gone", self.wish.up, why, alarm=True)
        waking = None if self.wish.up else self._waking()
        up = self.wish.up or waking is not None
        if state is State.UNKNOWN:
            return self._say(Act.WAIT, "unknown", up, self.wish.because, "the instance view shows no state")
        if waking:
            return self._towards_up(*waking)
        if up:
            return self._towards_up(_id("up", self.wish.since, last(self.given.history, Act.STOP)))
        return self._towards_off()

    def _say(
        self,
        act: Act,
        id_: str,
        up: bool,
        *because: str,
        not_before: datetime | None = None,
        stop_at: datetime | None = None,
        backup_first: bool = False,
        alarm: bool = False,
        alternatives: tuple[str, ...] = (),
    ) -> Decision:
        change = self.wish.until
        return Decision(
            act, id_, up, because, change, not_before, stop_at, backup_first, alarm, alternatives
        )  # fmt: skip

    def _local(self, moment: datetime) -> str:
        return self.given.calendar.local(moment)

    # Towards up

    def _waking(self) -> tuple[str, str] | None:
        """Id and reason, if the machine is wanted up for work although calendar and orders have it off."""
        for hold in self._holds():
            if hold.needs_up:
                return f"wake@{_stamp(hold.since)}", f"needed by {hold.what} until {self._local(hold.until)}"
        need = self.given.backup
        if need is None or self.given.when_vm_off != "wake" or _is_done(need, need.due):
            return None
        if not need.due <= self.now < need.due + BACKUP_PATIENCE:
            return None
        return f"wake@{_stamp(need.due)}", f"a backup is due since {self._local(need.due)} and policy wakes"

    def _towards_up(self, id_: str, *woken: str) -> Decision:
        because = (self.wish.because, *woken)
        state = self.given.state
        if state is State.RUNNING:
            return self._before_the_stop(id_, because)
        if state is State.STARTING:
            return self._say(Act.NONE, id_, True, *because, "it is starting")
        if state in (State.STOPPING, State.DEALLOCATING):
            return self._say(Act.WAIT, id_, True, *because, "a stop under way has to end first")
        found = verdict(self.given.history, Act.START, id_, self.rules.settle, self.now)
        act = Act.START if found.may else Act.WAIT if found.not_before else Act.NONE
        because = (*because, found.because) if found.because else because
        return self._say(
            act, id_, True, *because,
            not_before=found.not_before,
            alarm=act is Act.NONE or found.failures > 0,
            alternatives=self.given.alternatives if found.no_capacity else (),
        )  # fmt: skip

    def _before_the_stop(self, id_: str, because: tuple[str, ...]) -> Decision:
        """It runs and should; warn, if it is soon to stop."""
        stop_at = self.wish.until if self.wish.up else None
        if stop_at is None:
            return self._say(Act.NONE, id_, True, *because)
        stop_at = max(stop_at, self._long_enough())
        lead = self.rules.warning + self.tick
        held = any(hold.until > stop_at for hold in self._holds())
        stop_id = _id("off", self.wish.until, last(self.given.history, Act.START))
        if held or self.now < stop_at - lead or self._warned(stop_id, stop_at) is not None:
            return self._say(Act.NONE, id_, True, *because)
        stop_at = max(stop_at, self.now + self.rules.warning)
        why = f"it will stop at {self._local(stop_at)}"
        wants = self._backup_before(stop_at, self._next_start_after(stop_at))
        return self._say(Act.WARN, stop_id, True, *because, why, stop_at=stop_at, backup_first=wants)

    # Towards off

    def _towards_off(self) -> Decision:
        started = last(self.given.history, Act.START)
        id_ = _id("off", self.wish.since, started)
        because, state = (*self._skipped(), self.wish.because), self.given.state
        if state in (State.DEALLOCATED, State.DEALLOCATING, State.STOPPING):
            return self._say(Act.NONE, id_, False, *because)
        holds = self._holds()
        if holds:
            until = max(hold.until for hold in holds)
            names = ", ".join(f"{hold.what} until {self._local(hold.until)}" for hold in holds)
            return self._say(Act.WAIT, id_, False, *because, f"held by {names}", not_before=until)
        if state is State.STARTING:
            return self._say(Act.WAIT, id_, False, *because, "a start under way has to end first")
        if state is State.STOPPED:
            return self._stop(id_, *because, "its guest is stopped, but it is still paid for")
        return self._stop_running(id_, because, started)

    def _stop_running(self, id_: str, because: tuple[str, ...], started: Attempt | None) -> Decision:
        begins = [self.wish.since, started.at if started else None]
        begun = max((moment for moment in begins if moment), default=self.now)
        if self._backup_before(begun, self.wish.until) and self.now < begun + BACKUP_PATIENCE:
            why = "a backup is due while it will be off, and policy makes it before the stop"
            return self._say(Act.WAIT, id_, False, *because, why, backup_first=True)
        stop_at = max(self.wish.since or self.now, self._long_enough())
        if started is not None and started.decision.startswith("wake@"):
            # It was woken for work at night; nobody was told that it would stay.
            return self._stop(id_, *because, "woken for work that is done")
        if self.now < stop_at - self.rules.warning - self.tick:
            why = f"it was started only at {self._local(started.at)}" if started else ""
            return self._say(Act.WAIT, id_, False, *because, why, not_before=stop_at)
        spent = verdict(self.given.history, Act.STOP, id_, self.rules.settle, self.now)
        warned = self._warned(id_, stop_at)
        if warned is None and spent.may:
            at = max(stop_at, self.now + self.rules.warning)
            why = f"it will stop at {self._local(at)}"
            return self._say(Act.WARN, id_, False, *because, why, stop_at=at)
        if warned is not None and self.now < max(stop_at, warned + self.rules.warning):
            until = max(stop_at, warned + self.rules.warning)
            why = f"warned, and stops at {self._local(until)}"
            return self._say(Act.WAIT, id_, False, *because, why, not_before=until)
        return self._stop(id_, *because)

    def _stop(self, id_: str, *because: str) -> Decision:
        found = verdict(self.given.history, Act.STOP, id_, self.rules.settle, self.now)
        act = Act.STOP if found.may else Act.WAIT if found.not_before else Act.NONE
        reasons = (*because, found.because) if found.because else because
        alarm = act is Act.NONE or found.failures > 0
        return self._say(act, id_, False, *reasons, not_before=found.not_before, alarm=alarm)

    # Facts

    def _holds(self) -> list[Hold]:
        """The holds in force; one that claims more than policy's longest is believed so long."""
        if not self.given.holds:
            return []
        longest = self.rules.max_hold
        bounded = (
            Hold(hold.what, hold.since, min(hold.until, hold.since + longest), hold.needs_up)
            for hold in self.given.holds
        )
        return [hold for hold in bounded if hold.since <= self.now < hold.until]

    def _long_enough(self) -> datetime:
        """When the machine has been up for policy's shortest time."""
        started = last(self.given.history, Act.START)
        return started.at + self.rules.min_up if started else self.now - self.rules.min_up

    def _warned(self, id_: str, stop_at: datetime) -> datetime | None:
        """When people were warned of this stop, if that is fresh enough."""
        for attempt in reversed(self.given.history):
            if attempt.act is Act.WARN and attempt.decision == id_:
                announced = max(stop_at, attempt.at + self.rules.warning)
                return attempt.at if self.now <= announced + STALE else None
        return None

    def _next_start_after(self, stop_at: datetime) -> datetime | None:
        return wish(self.given.calendar, self.given.orders, stop_at).until

    def _backup_before(self, stop_at: datetime, next_start: datetime | None) -> bool:
        need = self.given.backup
        if need is None or self.given.when_vm_off != "before_stop":
            return False
        falls_into_night = next_start is None or need.due < next_start
        return falls_into_night and not _is_done(need, stop_at - BACKUP_EARLY)

    def _skipped(self) -> tuple[str, ...]:
        need = self.given.backup
        if (
            need is None
            or self.given.when_vm_off != "skip"
            or self.now < need.due
            or _is_done(need, need.due)
        ):
            return ()
        return (f"the backup due at {self._local(need.due)} is skipped, since policy does not wake for it",)


def _is_done(need: BackupNeed, since: datetime) -> bool:
    return need.last_good is not None and need.last_good >= since


@lru_cache(maxsize=256)
def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _id(what: str, since: datetime | None, undone: Attempt | None) -> str:
    """The wish's id: when it came into force or, if later, when the opposite was last done."""
    moments = [moment for moment in (since, undone and undone.at) if moment]
    return f"{what}@{_stamp(max(moments))}" if moments else f"{what}@always"
