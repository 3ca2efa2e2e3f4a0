"""What a tick does about one machine, under its lease: warn, stop, start, and look at what came of it.

Each act is put on record before it is done, so that one that dies in the middle is followed by another
that knows. Before a stop the guest's services are stopped; after a start the server's health is looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.cloud.machines import Machines
from shared.health.ports import Probe
from shared.kernel.durations import format_duration
from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused, Unavailable, UsageError
from shared.kernel.ports import Lease
from shared.notifications.ports import Notice, Notifier
from shared.power import notices
from shared.power.attempts import NO_CAPACITY, Act, Attempt, last, remembered
from shared.power.inventory import Fleet, Seen
from shared.power.model import Decision, State
from shared.power.records import Record
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

STOP_GUEST = 'PATH="$PATH:/snap/bin"; command -v microk8s >/dev/null || exit 0; microk8s stop'
START_GUEST = 'PATH="$PATH:/snap/bin"; command -v microk8s >/dev/null || exit 0; microk8s start'
HEALTH_PATIENCE = timedelta(minutes=20)
_THROTTLED = ("TooManyRequests", "OperationNotAllowed")


@dataclass(frozen=True)
class Power:
    """What power needs. `begin_backup` begins a nightly set if one is due, and says what it did."""

    fleet: Fleet
    guests: Machines | None  # for scripts inside virtual machines
    notifications: Notifier
    probes: Sequence[Probe] = ()
    begin_backup: Callable[[], str] | None = None

    @property
    def now(self) -> datetime:
        """The present."""
        return self.fleet.clock.now()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen of a machine, decided and done, in a sentence."""

    machine: str
    state: State
    decision: Decision
    done: str = ""
    error: str = ""
    started: datetime | None = None  # a start whose server is not well yet


def outcome_of(seen: Seen, done: str = "", error: str = "") -> Outcome:
    """What is told of a machine, after what was done about it."""
    return Outcome(seen.target.key, seen.target.power, seen.decision, done, error, seen.record.started)


def send_notice(power: Power, notice: Notice) -> None:
    """People are told; nobody to be told does not keep a machine running, since the chat may be on it."""
    try:
        power.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("power.not_told", extra={"title": notice.title, "error": str(error)})


def is_woken_for_backup(seen: Seen) -> bool:
    """Whether it runs for work that nobody has begun yet, as far as the holds show."""
    return (
        seen.decision.id.startswith("wake@")
        and seen.target.power is State.RUNNING
        and seen.situation.backup is not None
        and not any(hold.what.startswith("backup") for hold in seen.situation.holds)
    )


class Tending:
    """One machine under its lease: what was seen, and the record as it changes."""

    def __init__(self, power: Power, seen: Seen, lease: Lease) -> None:
        self.power, self.seen, self.lease = power, seen, lease
        self.target, self.decision = seen.target, seen.decision
        self.record: Record = seen.record
        self.done: list[str] = []

    def do(self) -> Outcome:
        """Remember, act, look at what came of acts before."""
        if not self.decision.wanted_up and self.target.power is State.DEALLOCATED:
            self.record = replace(self.record, started=None)  # nobody waits for it any more
        self._save(self.record)
        acts = {Act.WARN: self._warn, Act.STOP: self._stop, Act.START: self._start}
        if act := acts.get(self.decision.act):
            act()
        if self.target.power is State.RUNNING and self.decision.act is not Act.STOP:
            self._resume()
            self._look_after_start()
        if self.decision.backup_first or (is_woken_for_backup(self.seen) and self._is_settled()):
            self._begin_backup()
        done = replace(self.seen, record=self.record)
        return outcome_of(done, "; ".join(self.done))

    def _save(self, record: Record) -> None:
        self.lease.check()
        self.record = record
        self.power.fleet.records.save(self.target.key, record)

    def _remember(self, act: Act) -> None:
        attempt = Attempt(act, self.decision.id, self.power.now)
        self._save(replace(self.record, history=remembered(self.record.history, attempt)))

    def _warn(self) -> None:
        # Told before it is put on record: a death in between warns late, never not at all.
        send_notice(self.power, notices.warning(self.target.key, self.decision, self.seen.calendar))
        self._remember(Act.WARN)
        self.done.append("warned")

    def _start(self) -> None:
        # The time it takes counts from the first attempt for this wish.
        before = last(self.record.history, Act.START)
        again = self.record.started and before is not None and before.decision == self.decision.id
        started = self.record.started if again else self.power.now
        self.record = replace(self.record, started=started, quiesced=None)
        self._remember(Act.START)
        self._issue("start", self.power.fleet.switches[self.target.kind].begin_start)

    def _stop(self) -> None:
        self._remember(Act.STOP)
        if self.target.kind == "vm" and self.power.guests and self.target.power is State.RUNNING:
            self._quiesce(self.power.guests)
        self.lease.check()
        self._issue("stop", self.power.fleet.switches[self.target.kind].begin_deallocate)

    def _quiesce(self, guests: Machines) -> None:
        """An abrupt stop has corrupted MicroK8s' database before; a guest that hangs is stopped anyway."""
        self._save(replace(self.record, quiesced=self.power.now))
        try:
            result = guests.run_command(
                self.target.id, STOP_GUEST, timeout=self.power.fleet.policy.power.graceful_stop
            )
        except GroundcrewError as error:
            self.done.append("its services did not stop in time")
            log.warning("power.not_graceful", extra={"machine": self.target.key, "error": str(error)})
        else:
            said = f"`microk8s stop` ended with {result.exit_code}"
            self.done.append("its services were stopped" if result.exit_code == 0 else said)

    def _issue(self, what: str, begin: Callable[[str], None]) -> None:
        """Ask Azure, and put a refusal on record; one whose answer was lost shows in the next view."""
        because = "; ".join(self.decision.because)
        extra = {"act": what, "machine": self.target.key, "id": self.decision.id, "because": because}
        try:
            begin(self.target.id)
        except GroundcrewError as error:
            log.warning("power.refused", extra={**extra, "error": str(error)})
            failed = _outright(error)
            newest = self.record.history[-1]
            newest = replace(newest, outcome="failed" if failed else "issued", error=_error(error))
            self._save(replace(self.record, history=(*self.record.history[:-1], newest)))
            raise
        log.info("power.begun", extra=extra)
        AuditTrail(self.power.fleet.state, self.power.fleet.clock).append(
            "groundcrew", f"power.{what}", self.target.key, because
        )
        self.done.append(f"{what} begun")

    def _resume(self) -> None:
        """Its services were stopped for a stop that never came, and it is wanted again."""
        stop = last(self.record.history, Act.STOP)
        settles = self.power.fleet.policy.power.settle
        under_way = stop is not None and stop.outcome == "issued" and self.power.now < stop.at + settles
        if not (self.record.quiesced and self.decision.wanted_up and self.power.guests) or under_way:
            return
        guests, patience = self.power.guests, self.power.fleet.policy.power.graceful_stop
        guests.run_command(self.target.id, START_GUEST, timeout=patience)
        started = self.record.started or self.power.now
        self._save(replace(self.record, quiesced=None, started=started))
        self.done.append("its services were started again")

    def _look_after_start(self) -> None:
        """After a start: is the server well? Told once, with the time it took, or if it stays unwell."""
        started = self.record.started
        if started is None:
            return
        looks = [probe.check() for probe in self.power.probes]
        took = self.power.now - started
        if all(look.well for look in looks):
            found = "; ".join(look.found for look in looks) or "it runs (its health is not looked at)"
            if not self.decision.id.startswith("wake@"):  # nobody wants to read that every night
                send_notice(self.power, notices.healthy(self.target.key, started, took, found))
            self._save(replace(self.record, started=None))
            self.done.append(f"well after {format_duration(took)}: {found}")
            log.info("power.healthy", extra={"machine": self.target.key, "seconds": took.total_seconds()})
            return
        found = "; ".join(look.found for look in looks if not look.well)
        self.done.append(f"not well yet: {found}")
        if took > HEALTH_PATIENCE:
            send_notice(self.power, notices.unwell(self.target.key, started, took, found))

    def _is_settled(self) -> bool:
        """It is well, or has had its time: MongoDB may be well where the chat is not."""
        started = self.record.started
        return started is None or self.power.now - started > HEALTH_PATIENCE

    def _begin_backup(self) -> None:
        if self.power.begin_backup is None:
            return
        try:
            self.done.append(f"backup: {self.power.begin_backup()}")
        except GroundcrewError as error:
            log.warning("power.backup_failed", extra={"machine": self.target.key, "error": str(error)})
            self.done.append(f"backup: {error}")


def _outright(error: GroundcrewError) -> bool:
    """Whether nothing was begun for sure; an answer that got lost may hide a success."""
    if isinstance(error, Unavailable):
        return str(error.value) in (*NO_CAPACITY, *_THROTTLED)
    return isinstance(error, Conflict | Refused | NotFound | UsageError)


def _error(error: GroundcrewError) -> str:
    return f"{error.value}: {error.message}"[:300] if error.value else str(error)[:300]
