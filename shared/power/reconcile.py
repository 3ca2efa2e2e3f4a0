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
from shared.health.ports import Health
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.ports import Lease
from shared.notifications.ports import Notice
from shared.power import notices
from shared.power.attempts import Act, Attempt, Outcome, append_attempt, last_attempt
from shared.power.deps import PowerDeps
from shared.power.failures import format_failure, is_definite_failure
from shared.power.guest import start_services, stop_services
from shared.power.inventory import ObservedMachine
from shared.power.model import PowerDecision, PowerStatus
from shared.power.records import PowerRecord
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

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
        stays = self.target.power is PowerStatus.RUNNING and self.decision.act is not Act.STOP
        if stays:
            self._restart_services()
        acts = {Act.WARN: self._send_warning, Act.STOP: self._stop_machine, Act.START: self._start_machine}
        if act := acts.get(self.decision.act):
            act()
        if stays:
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
        stop_at = self.decision.stop_at if act is Act.WARN else None
        attempt = Attempt(act, self.decision.id, self.power.now, stop_at=stop_at)
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
        """Stop services, then deallocate; what changed meanwhile is looked at before each of the two."""
        before = self.record
        if reason := self._reason_against_stop(before):
            self.done.append(f"stop cancelled: {reason}")
            return
        self._record_attempt(Act.STOP)
        if self.target.kind == "vm" and self.power.guests and self.target.power is PowerStatus.RUNNING:
            self._stop_services(self.power.guests)
            try:
                reason = self._reason_against_stop(before, begun=True)
            except GroundcrewError as error:
                self._close_attempt("failed", format_failure(error))
                raise
            if reason:
                self._close_attempt("cancelled", reason)
                self._start_services(self.power.guests)
                self.done.append(f"stop cancelled: {reason}")
                return
        self._close_attempt("issued", "", at=self.power.now)  # the graceful stop is no part of `settle`
        try:
            self._request_azure("stop", self.power.inventory.switches[self.target.kind].begin_deallocate)
        except GroundcrewError:
            self._resume_after_failed_stop()
            raise

    def _reason_against_stop(self, record: PowerRecord, *, begun: bool = False) -> str:
        """Why the machine is not to be stopped after all; empty if it still is.

        A tag that was removed, a hold, an order: all that may have come since the tick began, and while the
        services were stopped. Raises what keeps it from being looked at: then nothing is deallocated.
        """
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

    def _stop_services(self, guests: Machines) -> None:
        """An abrupt stop has corrupted MicroK8s' database before; a guest that hangs is stopped anyway."""
        now, policy = self.power.now, self.power.inventory.policy
        self._save_record(replace(self.record, quiesced=now, scaled=now))
        report = stop_services(guests, self.target.id, policy.deploy.namespace, policy.power.graceful_stop)
        self._save_record(replace(self.record, node=report.facts or self.record.node))
        if not report.problems:
            self.done.append("services were stopped")
            return
        problems = "; ".join(report.problems)
        self.done.append(f"not stopped cleanly: {problems}")
        log.warning("power.services_stop_failed", extra={"machine": self.target.key, "error": problems})
        send_notice(self.power, notices.unclean_stop_notice(self.target.key, self.decision, problems))

    def _resume_after_failed_stop(self) -> None:
        """A machine that is not deallocated after all is paid for: then the chat on it is to run, too.

        Unless the next attempt is near: people were warned, and a second stop would warn them again.
        """
        attempts = [a for a in self.record.history if a.act is Act.STOP and a.decision == self.decision.id]
        newest = attempts[-1]
        again_soon = newest.outcome == "issued" or (newest.outcome == "failed" and len(attempts) == 1)
        if self.record.quiesced and self.power.guests and not again_soon:
            self._start_services(self.power.guests)

    def _close_attempt(self, outcome: Outcome, error: str, *, at: datetime | None = None) -> None:
        newest = self.record.history[-1]
        newest = replace(newest, outcome=outcome, error=error[:300], at=at or newest.at)
        self._save_record(replace(self.record, history=(*self.record.history[:-1], newest)))

    def _start_services(self, guests: Machines) -> bool:
        """Start MicroK8s and put the replicas back; whether that was done, else the next tick tries again."""
        policy = self.power.inventory.policy
        report = start_services(guests, self.target.id, policy.deploy.namespace, policy.power.graceful_stop)
        if report.problems:
            problems = "; ".join(report.problems)
            self.done.append(f"services are not started yet: {problems}")
            log.warning("power.services_start_failed", extra={"machine": self.target.key, "error": problems})
            return False
        # Only where it is to stay up is its health looked at, and told; else another stop is warned of anew.
        history = self.record.history
        if not self.decision.desired_up:
            history = tuple(replace(a, outcome="cancelled") if a.act is Act.WARN else a for a in history)
        started = self.record.started or (self.power.now if self.decision.desired_up else None)
        node = report.facts or self.record.node
        self._save_record(
            replace(self.record, history=history, quiesced=None, scaled=None, started=started, node=node)
        )
        self.done.append("services were started again")
        return True

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
            self._close_attempt("refused" if refused else outcome, format_failure(error))
            raise
        log.info("power.request_accepted", extra=extra)
        AuditTrail(self.power.inventory.state, self.power.inventory.clock).append(
            "groundcrew", f"power.{what}", self.target.key, reasons
        )
        self.done.append(f"{what} begun")

    def _restart_services(self) -> None:
        """Services that were stopped for a stop run again, after the next start or if the stop never came."""
        stop = last_attempt(self.record.history, Act.STOP)
        settles = self.power.inventory.policy.power.settle
        in_progress = stop is not None and stop.outcome == "issued" and self.power.now < stop.at + settles
        if not (self.record.quiesced or self.record.scaled) or self.power.guests is None or in_progress:
            return
        # It is still to stop, and soon: not if that was refused or cancelled, nor if it is announced anew.
        stays = stop is not None and stop.outcome in ("refused", "cancelled")
        if self.record.quiesced and not (self.decision.desired_up or stays or self.decision.act is Act.WARN):
            return
        self._start_services(self.power.guests)

    def _check_health_after_start(self) -> None:
        """After a start: is the server well? Told once, with the time it took, or if it stays unwell."""
        started = self.record.started
        if started is None:
            return
        probes = self.power.probes if "rocketchat" in self.target.carries else ()
        results = [probe.check() for probe in probes]
        if self.record.scaled:
            results.append(Health(False, "workloads are not scaled up yet"))
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
