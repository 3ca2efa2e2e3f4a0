"""One deploy from gate to end, under the lease of its release: what is there decides what is next.

Each step is on record before it is done and again after it, so that a worker that was killed is followed by
one that finishes or undoes what it began. Whatever needs time is left and taken up again by a later message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from shared.deploy import notify as telling
from shared.deploy.chart.fetch import fetch
from shared.deploy.deps import DeployDeps, RequeueAfter
from shared.deploy.gates.base import log_place
from shared.deploy.gates.evaluate import Gating, ask
from shared.deploy.ports.forge import RateLimited
from shared.deploy.records.deploys import DeployRecord, DeployRequest
from shared.deploy.rollout.session import hold_name
from shared.deploy.rollout.steps import POLL_INTERVAL, Rollout
from shared.deploy.state_machine import DeployState, NextStep, ObservedRelease, abort_step, next_step
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, Locked, Refused

log = logging.getLogger(__name__)

_GATE_POLL_INTERVAL = timedelta(minutes=1)
OUTAGE_TIMEOUT = timedelta(hours=6)  # how long an outside system may be away in the middle of a deploy
REFUSAL_GRACE = timedelta(
    minutes=10
)  # how long one may refuse what it allowed before: it may only be starting
ALERT_AFTER = timedelta(minutes=30)
SLOW_POLL_AFTER = timedelta(minutes=10)
BACKUP_ALERT_AFTER = timedelta(hours=2)
_MAX_STEPS = 30
_MAX_INTERNAL_ERRORS = 3
_EARLY = (DeployState.QUEUED, DeployState.GATING, DeployState.BACKING_UP)


class DeployReconciler(Rollout):
    """One worker's part of one deploy."""

    def go(self) -> RequeueAfter | None:
        """As far as it goes: to its end (None), or to where it must wait. Raises Locked without the lease."""
        for _ in range(_MAX_STEPS):
            if self.record.state.final:
                return self._end()
            try:
                wait = self._step()
            except Locked:
                raise
            except GroundcrewError as error:
                wait = self._failed(error)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must end this deploy, not all of them
                wait = self._slipped(error)
            else:
                self._answered()
            if wait is not None:
                wait = self._bounded(wait)
            if wait is not None:
                return replace(wait, why=self.clean(wait.why))
        return RequeueAfter(_GATE_POLL_INTERVAL, "it takes more steps than one worker should do")

    def _step(self) -> RequeueAfter | None:
        if self.record.state in (DeployState.QUEUED, DeployState.GATING):
            return self._gate()
        if self.record.state is DeployState.BACKING_UP and not self.record.progress.backup:
            return self._back_up()
        self._learn_secrets()
        observed = self.look()
        step = next_step(self.record.progress, observed)
        actions: dict[str, Callable[[NextStep, ObservedRelease], RequeueAfter | None]] = {
            "await": self.await_other,
            "repair": self.repair,
            "apply": self.apply,
            "watch": self.watch,
            "smoke": self.smoke,
        }
        if step.action in actions:
            return actions[step.action](step, observed)
        return self.finish(step, observed)

    def _bounded(self, wait: RequeueAfter) -> RequeueAfter | None:
        """Nothing is waited for without end, and people hear of it before."""
        if not self.record.state.busy:
            return wait
        if self.waited() > OUTAGE_TIMEOUT:
            return self._give_up(f"gave up after {format_duration(OUTAGE_TIMEOUT)}: {wait.why}")
        if self.waited() > (
            BACKUP_ALERT_AFTER if self.record.state is DeployState.BACKING_UP else ALERT_AFTER
        ):
            telling.notify_stuck(self.deps, self.record, self.clean(wait.why))
        return wait

    def _answered(self) -> None:
        """What time it took to answer does not count against the deploy."""
        if self.record.unwell:
            self.save(replace(self.record, unwell=None, since=self.deps.clock.now()))

    def _learn_secrets(self) -> None:
        """Another worker opened the values: what is in them must not be said by this one either."""
        if self.record.progress.sha in self.deps.opened:
            return
        try:
            fetch(self.deps, self.record.progress.sha)
        except GroundcrewError as error:  # what looks like a secret is masked all the same
            log.warning("deploy.not_opened", extra={"deploy": self.record.progress.key, "error": str(error)})
        else:
            self.deps.opened.add(self.record.progress.sha)

    def _gate(self) -> RequeueAfter | None:
        if self.record.state is DeployState.QUEUED:
            self.move(DeployState.GATING, "the gates are asked")
        if not self.record.progress.deployment:
            made = telling.open_deployment(self.deps, self.record)
            self.save(replace(self.record, progress=replace(self.record.progress, deployment=made)))
        found = ask(self.deps, self.record.request, since=self.record.started)
        self._note(found)
        if found.standing == "done":
            self.move(DeployState.DONE, found.standing_reason)
        elif found.standing == "superseded":
            self.move(DeployState.SUPERSEDED, found.standing_reason)
        elif found.report.pending:
            return self._await_gates(found)
        elif not found.report.passed:
            closed = ", ".join(gate.name for gate in found.report.gates if not gate.passed)
            self.move(DeployState.FAILED, f"closed gates: {closed}")
        else:
            self._passed(found)
        return None

    def _note(self, found: Gating) -> None:
        """What the gates said, and who and what this is about."""
        record, pull = self.record, found.pull
        if pull is not None:
            progress = replace(record.progress, pull=pull.number)
            record = replace(
                record, progress=progress, by=pull.author, title=pull.title, merged_at=pull.merged_at
            )
        self.save(replace(record, gates=tuple(found.report.lines()), plan=found.text()))

    def _await_gates(self, found: Gating) -> RequeueAfter | None:
        waiting = ", ".join(gate.name for gate in found.report.gates if not gate.passed)
        # An environment's timer takes as long as its owners want.
        timed = [gate.name for gate in found.report.gates if not gate.passed and gate.name != "environment"]
        if timed and self.waited() > self.deps.policy.checks_timeout and not self.record.unwell:
            self.move(DeployState.FAILED, f"waited in vain for: {waiting}")
            return None
        # What takes longer is looked at less often: each look costs the forge some requests.
        return RequeueAfter(
            _GATE_POLL_INTERVAL if self.waited() < SLOW_POLL_AFTER else _GATE_POLL_INTERVAL * 5,
            f"waits for: {waiting}",
        )

    def _passed(self, found: Gating) -> None:
        self.chart = found.chart
        self.deps.opened.add(self.record.progress.sha)
        progress = replace(
            self.record.progress,
            version_before=found.version_before,
            version_after=found.version_after,
            revision_before=found.good.number if found.good else 0,
            revision_version=found.revision_version,
            had_data=found.had_data,
        )
        newest = found.newest.number if found.newest else 0
        self.record = replace(self.record, progress=progress, newest_before=newest)
        if progress.changes_version:
            old = progress.version_before or "what was there"
            reason = f"a backup first: {old} → {progress.version_after} may migrate the data"
            self.move(DeployState.BACKING_UP, reason)
        else:
            self.move(DeployState.APPLYING, "the gates are open")

    def _back_up(self) -> RequeueAfter | None:
        begun = self.record.backup_begun
        if not begun:
            begun = self.deps.backups.begin(f"deploy {self.record.progress.key}")
            self.save(replace(self.record, backup_begun=begun).noted(f"backup {begun} begun"))
        match self.deps.backups.state(begun):
            case "sealed":
                schema = self.deps.server().schema
                reason = f"the backup {begun} is sealed"
                self.move(DeployState.APPLYING, reason, backup=begun, schema_before=schema)
                return None
            case "open":
                return RequeueAfter(POLL_INTERVAL, f"waits for the backup {begun}")
        self.move(DeployState.FAILED, f"the backup {begun} failed: nothing was changed")
        return None

    def _failed(self, error: GroundcrewError) -> RequeueAfter | None:
        """An outside system said no, or nothing."""
        now = self.deps.clock.now()
        since = self.record.unwell or now
        begun = self.record.state not in _EARLY
        flaps = begun and isinstance(error, Refused) and now - since <= REFUSAL_GRACE
        if error.permanent and not flaps:
            return self._refused(str(error))
        self.save(replace(self.record, unwell=since).noted(f"waits: {error}"))
        if now - since > ALERT_AFTER:
            telling.notify_stuck(self.deps, self.record, self.clean(str(error)))
        if now - since > OUTAGE_TIMEOUT:
            return self._give_up(f"gave up: {error}")
        delay = error.retry_after if isinstance(error, RateLimited) else POLL_INTERVAL
        return RequeueAfter(max(delay, POLL_INTERVAL), str(error))

    def _refused(self, reason: str) -> RequeueAfter | None:
        """Trying again will not help: what was begun is undone, if anything was."""
        if self.record.state in _EARLY or self.record.state is DeployState.ROLLING_BACK:
            return self._give_up(reason)
        try:
            return self.after_failure(self.look(), reason)
        except Locked:
            raise
        except GroundcrewError as error:
            return self._give_up(f"{reason}; and what is there cannot be seen: {error}")

    def _slipped(self, error: Exception) -> RequeueAfter | None:
        """What nobody foresaw: tried again a few times, then told, so that no message goes round for ever."""
        log_place("deploy.slipped", error, deploy=self.record.progress.key)
        self.save(replace(self.record, slips=self.record.slips + 1))
        if self.record.slips < _MAX_INTERNAL_ERRORS:
            return RequeueAfter(_GATE_POLL_INTERVAL, f"a mistake in Groundcrew: {type(error).__name__}")
        return self._give_up(f"a mistake in Groundcrew, see its log: {type(error).__name__}")

    def _give_up(self, reason: str) -> RequeueAfter | None:
        """End it without having seen what is there."""
        if self.record.state is DeployState.QUEUED:
            self.move(DeployState.GATING, "the gates are asked")
        return self.finish(abort_step(self.record.progress, reason), ObservedRelease())

    def _end(self) -> RequeueAfter | None:
        """Let the machine go, then tell. What could not be told is told again later, but not for ever."""
        self.deps.holds.release(hold_name(self.record))
        self.settle()
        if not self.record.told:
            try:
                self._tell()
            except Locked:
                raise
            except GroundcrewError as error:
                if not error.permanent and self.waited() < OUTAGE_TIMEOUT:
                    return RequeueAfter(_GATE_POLL_INTERVAL, f"nobody heard how it ended: {error}")
                self.record = self.record.noted(f"nobody could be told how it ended: {error}")
            self.save(replace(self.record, told=True))
        close_deploy(self.deps, self.record, self.record.request)
        return None

    def _tell(self) -> None:
        if not self.record.forge_told:
            telling.report_deployment_status(self.deps, self.record)
            self.save(replace(self.record, forge_told=True))
        telling.notify_people(self.deps, self.record)


def close_deploy(deps: DeployDeps, record: DeployRecord, request: DeployRequest) -> None:
    """After the end: the machine may stop, and neither deploy nor delivery need be looked at again."""
    deps.holds.release(hold_name(record))
    deps.deploys.close(record)
    deps.deploys.complete(request)
