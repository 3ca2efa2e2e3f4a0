"""One machine under its lease: what is on record of it, and the steps inside of it.

Before a stop the guest's services are stopped, after a start they are put back. Each step is put on record
before it is done, so that one that dies in the middle is followed by another that knows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from shared.cloud.machines import Machines
from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Lease
from shared.notifications.ports import Notice
from shared.power import notices
from shared.power.attempts import Act, Attempt, Outcome, append_attempt, last_attempt
from shared.power.boot_guard import address_changed, judge_guest
from shared.power.deps import PowerDeps
from shared.power.guest import GuestReport, check_guest, start_services, stop_services
from shared.power.inventory import ObservedMachine
from shared.power.records import PowerRecord

log = logging.getLogger(__name__)


def send_notice(power: PowerDeps, notice: Notice) -> None:
    """People are told; nobody to be told does not keep a machine running, since the chat may be on it."""
    try:
        power.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("power.notification_failed", extra={"title": notice.title, "error": str(error)})


def merge_facts(
    before: Mapping[str, str], now: Mapping[str, str], *, keeps: tuple[str, ...]
) -> Mapping[str, str]:
    """What is kept of a machine: what it said now, and of before what begins with one of `keeps`.

    All of before where it said nothing now.
    """
    if not now:
        return before
    return {name: value for name, value in before.items() if name.startswith(keeps)} | dict(now)


class MachineSession:
    """One machine under its lease: what was seen, and the record as it changes."""

    def __init__(self, power: PowerDeps, observed: ObservedMachine, lease: Lease) -> None:
        self.power, self.observed, self.lease = power, observed, lease
        self.target, self.decision = observed.target, observed.decision
        self.record: PowerRecord = observed.record
        self.done: list[str] = []

    def save_record(self, record: PowerRecord) -> None:
        self.lease.check()
        self.record = record
        self.power.inventory.records.save(self.target.key, record)

    def record_attempt(self, act: Act) -> None:
        stop_at = self.decision.stop_at if act is Act.WARN else None
        attempt = Attempt(act, self.decision.id, self.power.now, stop_at=stop_at)
        self.save_record(replace(self.record, history=append_attempt(self.record.history, attempt)))

    def close_attempt(self, outcome: Outcome, error: str, *, at: datetime | None = None) -> None:
        newest = self.record.history[-1]
        newest = replace(newest, outcome=outcome, error=error[:300], at=at or newest.at)
        self.save_record(replace(self.record, history=(*self.record.history[:-1], newest)))

    def capture_oplog(self) -> None:
        """A slice of now, of the machine that the database is on; a failure is said, and stops nothing."""
        if self.power.capture_oplog and "rocketchat" in self.target.carries:
            self.done.append(f"oplog: {self.power.capture_oplog()}")

    def run_probes(self) -> None:
        """Whether people can work on the server that was started; what fails is told by the probes."""
        if (
            self.power.run_probes
            and "rocketchat" in self.target.carries
            and (text := self.power.run_probes())
        ):
            self.done.append(text)

    def stop_services(self, guests: Machines) -> None:
        """An abrupt stop has corrupted MicroK8s' database before; a guest that hangs is stopped anyway."""
        # While MongoDB still answers: what was written since the last slice else waits for a start.
        self.capture_oplog()
        now, policy = self.power.now, self.power.inventory.policy
        self.save_record(replace(self.record, quiesced=now, scaled=now))
        report = stop_services(guests, self.target.id, policy.deploy.namespace, policy.power.graceful_stop)
        node = merge_facts(self.record.node, report.facts, keeps=("cert_", "collector"))
        self.save_record(replace(self.record, node=node))
        if not report.problems:
            self.done.append("services were stopped")
            return
        problems = "; ".join(report.problems)
        self.done.append(f"not stopped cleanly: {problems}")
        log.warning("power.services_stop_failed", extra={"machine": self.target.key, "error": problems})
        send_notice(self.power, notices.unclean_stop_notice(self.target.key, self.decision, problems))

    def start_services(self, guests: Machines) -> bool:
        """Start MicroK8s and put the replicas back; whether that was done, else the next tick tries again."""
        policy = self.power.inventory.policy
        report = start_services(
            guests,
            self.target.id,
            policy.deploy.namespace,
            policy.power.graceful_stop,
            asks_collector=policy.power.ask_collector,
        )
        self._tell_boot(report)
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
        # Not the collector of the start before: nobody asked, or this start says anew.
        node = merge_facts(self.record.node, report.facts, keeps=("cert_",))
        refresh = self.record.refresh
        if report.facts.get("refreshes"):  # the start holds them, too
            refresh = replace(refresh, held=self.power.now)
        self.save_record(
            replace(
                self.record, history=history, quiesced=None, scaled=None, started=started, node=node,
                refresh=refresh,
            )
        )  # fmt: skip
        self.done.append("services were started again")
        return True

    def check_next_start(self, guests: Machines) -> None:
        """Before a stop: what endangers the next start is told, and may put the stop off."""
        policy, key = self.power.inventory.policy, self.target.key
        report = check_guest(guests, self.target.id, policy.deploy.namespace)
        if report.problems:
            extra = {"machine": key, "error": "; ".join(report.problems)}
            log.warning("power.guest_check_failed", extra=extra)
        # For the calendar, which has the ends of MicroK8s' certificates from here.
        ends = {name: value for name, value in report.facts.items() if name.startswith("cert_")}
        self.save_record(replace(self.record, node={**self.record.node, **ends}))
        for finding in judge_guest(report.facts, self.power.now):
            send_notice(self.power, notices.guest_notice(key, finding))
            log.warning("power.start_endangered", extra={"machine": key, "finding": finding.key})
            # Once for each: who does not act on it in that time has decided.
            if finding.holds and self.record.held_for != finding.key:
                self.power.inventory.holds.add_hold(f"guest/{key}", finding.title, policy.power.max_hold)
                self.save_record(replace(self.record, held_for=finding.key))
                self.done.append(f"held: {finding.title}")

    def _tell_boot(self, report: GuestReport) -> None:
        """What the start showed: a store that was put back from a copy, or could not be; another address."""
        key, at = self.target.key, self.power.now
        broken = [problem for problem in report.problems if "cluster store" in problem]
        if report.facts.get("store_restored") or broken:
            send_notice(self.power, notices.store_notice(key, report.facts, broken, at))
            extra = {
                "machine": key,
                "copy": report.facts.get("store_restored", ""),
                "error": "; ".join(broken),
            }
            log.warning("power.store_broken", extra=extra)
        if collector := report.facts.get("collector"):
            send_notice(self.power, notices.collector_notice(key, collector))
        if address_changed(self.record.node, report.facts):
            send_notice(self.power, notices.address_notice(key, self.record.node, report.facts))

    def restart_services(self) -> None:
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
        self.start_services(self.power.guests)

    def resume_after_failed_stop(self) -> None:
        """A machine that is not deallocated after all is paid for: then the chat on it is to run, too.

        Unless the next attempt is near: people were warned, and a second stop would warn them again.
        """
        attempts = [a for a in self.record.history if a.act is Act.STOP and a.decision == self.decision.id]
        newest = attempts[-1]
        again_soon = newest.outcome == "issued" or (newest.outcome == "failed" and len(attempts) == 1)
        if self.record.quiesced and self.power.guests and not again_soon:
            self.start_services(self.power.guests)
