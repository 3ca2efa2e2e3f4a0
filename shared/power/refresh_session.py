"""Refreshing MicroK8s on one machine under its lease: begun in one tick, watched in those that follow."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from shared.cloud.machines import Machines
from shared.kernel.errors import GroundcrewError
from shared.power import notices
from shared.power.decide import TICK
from shared.power.guest import GuestReport, begin_refresh, hold_refreshes, watch_refresh
from shared.power.inventory import Inventory, ObservedMachine
from shared.power.model import PowerStatus
from shared.power.refresh import (
    REFRESH_LIMIT,
    RefreshProgress,
    RefreshState,
    find_unsnapped,
    judge_progress,
    needs_hold,
)
from shared.power.schedule import Schedule, Segment
from shared.power.session import MachineSession, send_notice
from shared.records.audit import AuditTrail

_NODE_FACTS = ("kernel", "host", "snap", "address")
log = logging.getLogger(__name__)


def refresh_schedule(inventory: Inventory) -> Schedule | None:
    """The windows of policy, less its days off, on which machines stay off; None without any."""
    windows, zone = inventory.policy.power.refresh_windows, ZoneInfo(inventory.policy.timezone)
    return Schedule(zone, windows, inventory.day_off) if windows else None


def is_refresh_due(observed: ObservedMachine, windows: Schedule | None, now: datetime) -> bool:
    """Whether there is anything to do about the snap of this machine now; costs no call."""
    state = observed.record.refresh
    if observed.target.kind != "vm" or not observed.target.carries:
        return False
    runs = observed.target.power is PowerStatus.RUNNING
    return bool(state.begun or (runs and needs_hold(state, now)) or find_due_window(state, windows, now))


def find_due_window(state: RefreshState, windows: Schedule | None, now: datetime) -> Segment | None:
    """The window that holds now, unless it was dealt with."""
    if windows is None:
        return None
    segment = windows.segment_at(now)
    is_new = segment.up and segment.since is not None and segment.since != state.window
    return segment if is_new else None


class RefreshSession:
    """One look at the snap; what it did is added to the session's `done`."""

    def __init__(self, session: MachineSession, windows: Schedule | None) -> None:
        self.session, self.windows = session, windows
        self.power, self.key = session.power, session.target.key

    @property
    def _state(self) -> RefreshState:
        return self.session.record.refresh

    def run(self) -> None:
        """Watch a refresh that was begun; begin one if its window is open; else see that it is held."""
        guests = self.power.guests
        if guests is None:
            return
        if self._state.begun:
            self._watch()
        elif segment := find_due_window(self._state, self.windows, self.power.now):
            self._refresh_in(segment)
        elif self._runs() and needs_hold(self._state, self.power.now):
            report = hold_refreshes(guests, self.session.target.id)
            # A machine without snap or MicroK8s has nothing to hold, and is not asked every five minutes.
            if not report.problems:
                self._note_node(report)
                self._save(replace(self._state, held=self.power.now))

    def _runs(self) -> bool:
        return self.session.target.power is PowerStatus.RUNNING

    def _save(self, state: RefreshState) -> None:
        self.session.save_record(replace(self.session.record, refresh=state))

    def _note_node(self, report: GuestReport) -> None:
        """The revision that runs: without it nobody could tell after a death whether it became newer."""
        known = {
            name: report.facts[name] for name in ("kernel", "host", "snap", "address") if name in report.facts
        }
        node = {**self.session.record.node, **known}
        self.session.save_record(replace(self.session.record, node=node))

    def _refresh_in(self, segment: Segment) -> None:
        reason = self._reason_against()
        if not reason:
            self._begin(segment)
        elif segment.until is None or self.power.now + TICK >= segment.until:
            # It was looked at in each tick of the window; a machine that is never refreshed is to be known.
            send_notice(self.power, notices.refresh_missed_notice(self.key, reason, segment.since))
            log.warning("power.refresh_missed", extra={"machine": self.key, "reason": reason})
            self._save(replace(self._state, window=segment.since))
        else:
            self.session.done.append(f"MicroK8s is not refreshed yet: {reason}")

    def _reason_against(self) -> str:
        """Why MicroK8s is not to be refreshed now; empty if it may be."""
        observed, now = self.session.observed, self.power.now
        if not self._runs():
            return f"the machine is {observed.target.power}"
        if self.session.record.started or self.session.record.scaled:
            return "the server is starting"
        if observed.situation.holds:
            return f"held by {', '.join(hold.what for hold in observed.situation.holds)}"
        if not observed.decision.desired_up:
            return "the machine is to stop"
        change = observed.decision.next_change
        if change is not None and change - now < REFRESH_LIMIT:
            return f"the machine stops at {observed.schedule.format_local(change)}"
        return self._missing_snapshots()

    def _missing_snapshots(self) -> str:
        disks, zone = self.power.disks, ZoneInfo(self.power.inventory.policy.timezone)
        if disks is None:
            return "snapshots cannot be seen"
        try:
            # Asked of Azure and not of our record of the newest cycle: somebody may have deleted one since.
            missing = find_unsnapped(
                disks.list(), disks.list_snapshots(), self.session.target.id, zone, self.power.now
            )
        except GroundcrewError as error:
            return f"snapshots cannot be seen: {error.message}"
        return f"no good snapshot of today: {', '.join(missing)}" if missing else ""

    def _begin(self, segment: Segment) -> None:
        guests, now = self.power.guests, self.power.now
        assert guests is not None  # noqa: S101 - `run` has looked
        # On record and held before it begins: who dies here is followed by one that watches.
        self.power.inventory.holds.add_hold(f"refresh/{self.key}", "refresh of MicroK8s", REFRESH_LIMIT)
        before = self.session.record.node.get("snap", "")
        self._save(replace(self._state, window=segment.since, begun=now, change="", before=before))
        self._request(guests)

    def _request(self, guests: Machines) -> None:
        """Ask snapd for it; asked again it says that a refresh is in progress, or that nothing is newer."""
        report, state = begin_refresh(guests, self.session.target.id), self._state
        revision, change = report.facts.get("snap", ""), report.facts.get("change", "")
        if report.problems:
            self._end(RefreshProgress.FAILED, "; ".join(report.problems))
        elif report.facts.get("refresh") == "none":
            # Unless a run that died had asked before: then it is newer by now.
            self._end(RefreshProgress.DONE, "", after=revision if state.before not in ("", revision) else "")
        elif change.isdigit():
            self._save(replace(state, before=revision or state.before, change=change))
            send_notice(self.power, notices.refresh_begun_notice(self.key, revision, self.power.now))
            trail = AuditTrail(self.power.inventory.state, self.power.inventory.clock)
            trail.append("groundcrew", "power.refresh", self.key, f"MicroK8s, from revision {revision}")
            self.session.done.append("refresh of MicroK8s begun")
        elif state.begun is None or self.power.now - state.begun >= REFRESH_LIMIT:
            self._end(RefreshProgress.STUCK, "snapd says that a refresh is in progress")

    def _watch(self) -> None:
        guests, state = self.power.guests, self._state
        assert guests is not None  # noqa: S101 - `run` has looked
        if not self._runs():
            self._end(RefreshProgress.STUCK, f"the machine is {self.session.target.power}")
            return
        if not state.change:  # the run that began it died before it heard of snapd
            self._request(guests)
            return
        report = watch_refresh(guests, self.session.target.id, state.change)
        probes = self.power.probes if "rocketchat" in self.session.target.carries else ()
        results = [probe.check() for probe in probes]
        unhealthy = [result.message for result in results if not result.healthy]
        status, ready = report.facts.get("change_status", "unknown"), report.facts.get("ready") == "yes"
        progress = judge_progress(state, status, self.power.now, ready=ready, healthy=not unhealthy)
        detail = "; ".join(
            [f"snapd says {status}", *([] if ready else ["MicroK8s is not ready"]), *unhealthy]
        )
        if progress is RefreshProgress.RUNNING:
            self.session.done.append(f"refresh of MicroK8s is running: {detail}")
            return
        self._end(progress, detail, after=report.facts.get("snap", ""))

    def _end(self, progress: RefreshProgress, detail: str, *, after: str = "") -> None:
        state = self._state
        # Nothing was newer: nobody wants to read that every week.
        if progress is not RefreshProgress.DONE or after:
            notice = notices.refresh_ended_notice(self.key, progress, state, after, detail)
            send_notice(self.power, notice)
        level = logging.INFO if progress is RefreshProgress.DONE else logging.WARNING
        extra = {"machine": self.key, "progress": str(progress), "revision": after, "detail": detail}
        log.log(level, "power.refresh_ended", extra=extra)
        self.power.inventory.holds.release_hold(f"refresh/{self.key}")
        node = {**self.session.record.node, **({"snap": after} if after else {})}
        self.session.save_record(replace(self.session.record, node=node))
        self._save(RefreshState(window=state.window, held=self.power.now))
        self.session.done.append(f"refresh of MicroK8s {progress}" + (f": {detail}" if detail else ""))
