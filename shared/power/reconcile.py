"""What a tick does about one machine, under its lease: warn, stop, start, and look at what came of it.

Each act is put on record before it is done, so that one that dies in the middle is followed by another
that knows. Before a stop the guest's services are stopped; after a start the server's health is looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.health.ports import Health
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, Refused
from shared.power import notices
from shared.power.attempts import Act, Outcome, last_attempt
from shared.power.failures import format_failure, is_definite_failure
from shared.power.inventory import ObservedMachine
from shared.power.model import PowerDecision, PowerStatus
from shared.power.records import PowerRecord
from shared.power.refresh_session import RefreshSession, is_refresh_due, refresh_schedule
from shared.power.session import MachineSession, send_notice
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

# Past it people are told; before it a start is only slow.
# MicroK8s has to be ready first, and images that were evicted are pulled again.
HEALTH_TIMEOUT = timedelta(minutes=20)


@dataclass(frozen=True, slots=True)
class TickResult:
    """What was seen of a machine, decided and done, in a sentence."""

    machine: str
    state: PowerStatus
    decision: PowerDecision
    done: str = ""
    error: str = ""
    started: datetime | None = None  # a start whose server is not healthy yet
    carries: frozenset[str] = frozenset()  # of "mongodb" and "rocketchat"


def build_result(observed: ObservedMachine, done: str = "", error: str = "") -> TickResult:
    """What is told of a machine, after what was done about it."""
    target = observed.target
    return TickResult(
        target.key, target.power, observed.decision, done, error, observed.record.started, target.carries
    )


def is_woken_for_backup(observed: ObservedMachine) -> bool:
    """Whether it runs for work that nobody has begun yet, as far as the holds show."""
    return (
        observed.decision.id.startswith("wake@")
        and observed.target.power is PowerStatus.RUNNING
        and observed.situation.backup is not None
        and not any(hold.what.startswith("backup") for hold in observed.situation.holds)
    )


class MachineReconciler(MachineSession):
    """One machine under its lease: what was seen, and the record as it changes."""

    def reconcile(self) -> TickResult:
        """Remember, act, look at what came of acts before."""
        if not self.decision.desired_up and self.target.power is PowerStatus.DEALLOCATED:
            self.record = replace(self.record, started=None)  # nobody waits for it any more
        self.save_record(self.record)
        # Services are not brought up, nor is their health asked for, right before they are stopped.
        stays = self.target.power is PowerStatus.RUNNING and self.decision.act is not Act.STOP
        if stays:
            self.restart_services()
        acts = {Act.WARN: self._send_warning, Act.STOP: self._stop_machine, Act.START: self._start_machine}
        if act := acts.get(self.decision.act):
            act()
        if stays:
            self._check_health_after_start()
        windows = refresh_schedule(self.power.inventory)
        # Beside a start or a stop nothing else is done to the guest.
        if self.decision.act not in (Act.START, Act.STOP) and is_refresh_due(
            self.observed, windows, self.power.now
        ):
            RefreshSession(self, windows).run()
        if self.decision.backup_first or (is_woken_for_backup(self.observed) and self._is_settled()):
            self._begin_backup()
        done = replace(self.observed, record=self.record)
        return build_result(done, "; ".join(self.done))

    def _send_warning(self) -> None:
        # Told before it is put on record: a death in between warns late, never not at all.
        send_notice(
            self.power, notices.stop_warning_notice(self.target.key, self.decision, self.observed.schedule)
        )
        self.record_attempt(Act.WARN)
        self.done.append("warned")
        guests = self.power.guests
        if guests and self.target.kind == "vm" and self.target.carries and self._runs():
            self.check_next_start(guests)

    def _runs(self) -> bool:
        return self.target.power is PowerStatus.RUNNING

    def _start_machine(self) -> None:
        # The time it takes counts from the first attempt for this wish.
        before = last_attempt(self.record.history, Act.START)
        again = self.record.started and before is not None and before.decision == self.decision.id
        started = self.record.started if again else self.power.now
        self.record = replace(self.record, started=started, quiesced=None)
        if self.record.up_for and not self.record.scaled and self.target.kind == "vm" and self.target.carries:
            # It ran before and was not stopped from here: its store may not have survived that.
            self.record = replace(self.record, scaled=self.power.now)
        self.record_attempt(Act.START)
        self._request_azure("start", self.power.inventory.switches[self.target.kind].begin_start)

    def _stop_machine(self) -> None:
        """Stop services, then deallocate; what changed meanwhile is looked at before each of the two."""
        before = self.record
        # An order or a hold may have come since the tick looked: people were told that those count.
        if reason := self._reason_against_stop(before):
            self.done.append(f"stop cancelled: {reason}")
            return
        self.record_attempt(Act.STOP)
        if self.target.kind == "vm" and self.power.guests and self.target.power is PowerStatus.RUNNING:
            # This may take minutes, in which people go on giving orders: hence the second look.
            self.stop_services(self.power.guests)
            try:
                reason = self._reason_against_stop(before, begun=True)
            except GroundcrewError as error:
                self.close_attempt("failed", format_failure(error))
                raise
            if reason:
                # Closed as cancelled, or the next tick would wait for a stop that nobody asked Azure for.
                self.close_attempt("cancelled", reason)
                self.start_services(self.power.guests)
                self.done.append(f"stop cancelled: {reason}")
                return
        self.close_attempt("issued", "", at=self.power.now)  # the graceful stop is no part of `settle`
        try:
            self._request_azure("stop", self.power.inventory.switches[self.target.kind].begin_deallocate)
        except GroundcrewError:
            self.resume_after_failed_stop()
            raise

    def _reason_against_stop(self, record: PowerRecord, *, begun: bool = False) -> str:
        """Why the machine is not to be stopped after all; empty if it still is.

        A tag that was removed, a hold, an order: all that may have come since the tick began, and while the
        services were stopped. Raises what keeps it from being looked at: then nothing is deallocated.
        """
        # With the record from before the attempt: the attempt itself must not count as a reason.
        fresh = self.power.inventory.observe_again(self.observed, record)
        if fresh is None:
            return "the machine is no longer under schedule"
        if fresh.target.power not in (PowerStatus.RUNNING, PowerStatus.STOPPED):
            return f"the machine is {fresh.target.power}"
        # One that began at the announced time may take longer than a warning is good for.
        acts = (Act.STOP, Act.WARN) if begun else (Act.STOP,)
        if fresh.decision.act in acts and fresh.decision.id == self.decision.id:
            return ""
        return fresh.decision.reasons[-1]

    def _request_azure(self, what: str, begin: Callable[[str], None]) -> None:
        """Ask Azure, and put a refusal on record; one whose answer was lost shows in the next view."""
        reasons = "; ".join(self.decision.reasons)
        extra = {"act": what, "machine": self.target.key, "id": self.decision.id, "reasons": reasons}
        try:
            begin(self.target.id)
        except GroundcrewError as error:
            log.warning("power.request_refused", extra={**extra, "error": str(error)})
            outcome: Outcome = "failed" if is_definite_failure(error) else "issued"
            # A lock or a missing right is somebody's decision: stopping the chat every hour changes nothing.
            refused = what == "stop" and isinstance(error, Refused)
            self.close_attempt("refused" if refused else outcome, format_failure(error))
            raise
        log.info("power.request_accepted", extra=extra)
        AuditTrail(self.power.inventory.state, self.power.inventory.clock).append(
            "groundcrew", f"power.{what}", self.target.key, reasons
        )
        self.done.append(f"{what} begun")

    def _check_health_after_start(self) -> None:
        """After a start: is the server well? Told once, with the time it took, or if it stays unwell."""
        started = self.record.started
        if started is None:
            return
        probes = self.power.probes if "rocketchat" in self.target.carries else ()
        results = [probe.check() for probe in probes]
        # The probes may answer from the pods of before; until all is scaled up they prove nothing.
        if self.record.scaled:
            results.append(Health(False, "workloads are not scaled up yet"))
        took = self.power.now - started
        if all(result.healthy for result in results):
            summary = (
                "; ".join(result.message for result in results) or "running (no health check is configured)"
            )
            # The first slice after the pause shows at once whether the oplog still reaches back so far.
            self.capture_oplog()
            if not self.decision.id.startswith("wake@"):  # nobody wants to read that every night
                send_notice(self.power, notices.started_notice(self.target.key, started, took, summary))
            self.save_record(replace(self.record, started=None))
            self.done.append(f"healthy after {format_duration(took)}: {summary}")
            # Once for each start, and after that is on record: nothing of the start waits for it.
            self.run_probes()
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
