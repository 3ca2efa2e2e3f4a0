"""What a tick does about one machine, under its lease: warn, stop, start, and look at what came of it.

Each act is put on record before it is done, so that one that dies in the middle is followed by another
that knows. Before a stop the guest's services are stopped; after a start the server's health is looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.cloud.machines import Machines
from shared.kernel.durations import format_duration
from shared.kernel.errors import Conflict, GroundcrewError, NotFound, Refused, Unavailable, UsageError
from shared.kernel.ports import Lease
from shared.notifications.ports import Notice
from shared.power import notices
from shared.power.attempts import NO_CAPACITY, Act, Attempt, append_attempt, last_attempt
from shared.power.deps import PowerDeps
from shared.power.inventory import ObservedMachine
from shared.power.model import PowerDecision, PowerStatus
from shared.power.records import PowerRecord
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

STOP_GUEST = 'PATH="$PATH:/snap/bin"; command -v microk8s >/dev/null || exit 0; microk8s stop'
START_GUEST = 'PATH="$PATH:/snap/bin"; command -v microk8s >/dev/null || exit 0; microk8s start'
HEALTH_TIMEOUT = timedelta(minutes=20)
_THROTTLED = ("TooManyRequests", "OperationNotAllowed")


@dataclass(frozen=True, slots=True)
class TickResult:
    """What was seen of a machine, decided and done, in a sentence."""

    machine: str
    state: PowerStatus
    decision: PowerDecision
    done: str = ""
    error: str = ""
    started: datetime | None = None  # a start whose server is not healthy yet


def build_result(observed: ObservedMachine, done: str = "", error: str = "") -> TickResult:
    """What is told of a machine, after what was done about it."""
    return TickResult(
        observed.target.key, observed.target.power, observed.decision, done, error, observed.record.started
    )


def send_notice(power: PowerDeps, notice: Notice) -> None:
    """People are told; nobody to be told does not keep a machine running, since the chat may be on it."""
    try:
        power.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("power.notification_failed", extra={"title": notice.title, "error": str(error)})


def is_woken_for_backup(observed: ObservedMachine) -> bool:
    """Whether it runs for work that nobody has begun yet, as far as the holds show."""
    return (
        observed.decision.id.startswith("wake@")
        and observed.target.power is PowerStatus.RUNNING
        and observed.situation.backup is not None
        and not any(hold.what.startswith("backup") for hold in observed.situation.holds)
    )


class MachineReconciler:
    """One machine under its lease: what was seen, and the record as it changes."""

    def __init__(self, power: PowerDeps, observed: ObservedMachine, lease: Lease) -> None:
        self.power, self.observed, self.lease = power, observed, lease
        self.target, self.decision = observed.target, observed.decision
        self.record: PowerRecord = observed.record
        self.done: list[str] = []

    def reconcile(self) -> TickResult:
        """Remember, act, look at what came of acts before."""
        if not self.decision.desired_up and self.target.power is PowerStatus.DEALLOCATED:
            self.record = replace(self.record, started=None)  # nobody waits for it any more
        self._save_record(self.record)
        acts = {Act.WARN: self._send_warning, Act.STOP: self._stop_machine, Act.START: self._start_machine}
        if act := acts.get(self.decision.act):
            act()
        if self.target.power is PowerStatus.RUNNING and self.decision.act is not Act.STOP:
            self._restart_services()
            self._check_health_after_start()
        if self.decision.backup_first or (is_woken_for_backup(self.observed) and self._is_settled()):
            self._begin_backup()
        done = replace(self.observed, record=self.record)
        return build_result(done, "; ".join(self.done))

    def _save_record(self, record: PowerRecord) -> None:
        self.lease.check()
        self.record = record
        self.power.inventory.records.save(self.target.key, record)

    def _record_attempt(self, act: Act) -> None:
        attempt = Attempt(act, self.decision.id, self.power.now)
        self._save_record(replace(self.record, history=append_attempt(self.record.history, attempt)))

    def _send_warning(self) -> None:
        # Told before it is put on record: a death in between warns late, never not at all.
        send_notice(
            self.power, notices.stop_warning_notice(self.target.key, self.decision, self.observed.schedule)
        )
        self._record_attempt(Act.WARN)
        self.done.append("warned")

    def _start_machine(self) -> None:
        # The time it takes counts from the first attempt for this wish.
        before = last_attempt(self.record.history, Act.START)
        again = self.record.started and before is not None and before.decision == self.decision.id
        started = self.record.started if again else self.power.now
        self.record = replace(self.record, started=started, quiesced=None)
        self._record_attempt(Act.START)
        self._request_azure("start", self.power.inventory.switches[self.target.kind].begin_start)

    def _stop_machine(self) -> None:
        self._record_attempt(Act.STOP)
        if self.target.kind == "vm" and self.power.guests and self.target.power is PowerStatus.RUNNING:
            self._stop_services(self.power.guests)
        self.lease.check()
        self._request_azure("stop", self.power.inventory.switches[self.target.kind].begin_deallocate)

    def _stop_services(self, guests: Machines) -> None:
        """An abrupt stop has corrupted MicroK8s' database before; a guest that hangs is stopped anyway."""
        self._save_record(replace(self.record, quiesced=self.power.now))
        try:
            result = guests.run_command(
                self.target.id, STOP_GUEST, timeout=self.power.inventory.policy.power.graceful_stop
            )
        except GroundcrewError as error:
            self.done.append("services did not stop in time")
            log.warning("power.services_stop_failed", extra={"machine": self.target.key, "error": str(error)})
        else:
            exit_text = f"`microk8s stop` ended with {result.exit_code}"
            self.done.append("services were stopped" if result.exit_code == 0 else exit_text)

    def _request_azure(self, what: str, begin: Callable[[str], None]) -> None:
        """Ask Azure, and put a refusal on record; one whose answer was lost shows in the next view."""
        reasons = "; ".join(self.decision.reasons)
        extra = {"act": what, "machine": self.target.key, "id": self.decision.id, "reasons": reasons}
        try:
            begin(self.target.id)
        except GroundcrewError as error:
            log.warning("power.request_refused", extra={**extra, "error": str(error)})
            failed = _is_definite_failure(error)
            newest = self.record.history[-1]
            newest = replace(newest, outcome="failed" if failed else "issued", error=_format_error(error))
            self._save_record(replace(self.record, history=(*self.record.history[:-1], newest)))
            raise
        log.info("power.request_accepted", extra=extra)
        AuditTrail(self.power.inventory.state, self.power.inventory.clock).append(
            "groundcrew", f"power.{what}", self.target.key, reasons
        )
        self.done.append(f"{what} begun")

    def _restart_services(self) -> None:
        """Its services were stopped for a stop that never came, and it is wanted again."""
        stop = last_attempt(self.record.history, Act.STOP)
        settles = self.power.inventory.policy.power.settle
        in_progress = stop is not None and stop.outcome == "issued" and self.power.now < stop.at + settles
        if not (self.record.quiesced and self.decision.desired_up and self.power.guests) or in_progress:
            return
        guests, timeout = self.power.guests, self.power.inventory.policy.power.graceful_stop
        guests.run_command(self.target.id, START_GUEST, timeout=timeout)
        started = self.record.started or self.power.now
        self._save_record(replace(self.record, quiesced=None, started=started))
        self.done.append("services were started again")

    def _check_health_after_start(self) -> None:
        """After a start: is the server well? Told once, with the time it took, or if it stays unwell."""
        started = self.record.started
        if started is None:
            return
        results = [probe.check() for probe in self.power.probes]
        took = self.power.now - started
        if all(result.healthy for result in results):
            summary = (
                "; ".join(result.message for result in results) or "running (no health check is configured)"
            )
            if not self.decision.id.startswith("wake@"):  # nobody wants to read that every night
                send_notice(self.power, notices.started_notice(self.target.key, started, took, summary))
            self._save_record(replace(self.record, started=None))
            self.done.append(f"healthy after {format_duration(took)}: {summary}")
            log.info(
                "power.server_healthy", extra={"machine": self.target.key, "seconds": took.total_seconds()}
            )
            return
        summary = "; ".join(result.message for result in results if not result.healthy)
        self.done.append(f"not healthy yet: {summary}")
        if took > HEALTH_TIMEOUT:
            send_notice(self.power, notices.unhealthy_notice(self.target.key, started, took, summary))

    def _is_settled(self) -> bool:
        """It is well, or has had its time: MongoDB may be well where the chat is not."""
        started = self.record.started
        return started is None or self.power.now - started > HEALTH_TIMEOUT

    def _begin_backup(self) -> None:
        if self.power.begin_backup is None:
            return
        try:
            self.done.append(f"backup: {self.power.begin_backup()}")
        except GroundcrewError as error:
            log.warning("power.backup_failed", extra={"machine": self.target.key, "error": str(error)})
            self.done.append(f"backup: {error}")


def _is_definite_failure(error: GroundcrewError) -> bool:
    """Whether nothing was begun for sure; an answer that got lost may hide a success."""
    if isinstance(error, Unavailable):
        return str(error.value) in (*NO_CAPACITY, *_THROTTLED)
    return isinstance(error, Conflict | Refused | NotFound | UsageError)


def _format_error(error: GroundcrewError) -> str:
    return f"{error.value}: {error.message}"[:300] if error.value else str(error)[:300]
