"""Reconciles one deploy, under the lease of its release: what is observed decides what is next.

Each step is recorded before it is done and again after it, so that a worker that was killed is followed by
one that finishes or undoes what it began. Whatever needs time is requeued and continued by a later message.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from shared.deploy.deps import DeployDeps, RequeueAfter
from shared.deploy.gates.base import log_exception_place
from shared.deploy.notify import notify_people, notify_stuck, report_deployment_status
from shared.deploy.ports.forge import RateLimited
from shared.deploy.progress import DeployState, ObservedRelease
from shared.deploy.records.deploy_record import DeployRecord
from shared.deploy.records.requests import DeployRequest
from shared.deploy.rollout.endings import end_deploy, record_success
from shared.deploy.rollout.observe import ReleaseObserver
from shared.deploy.rollout.preparation import GATE_POLL_INTERVAL, Preparation, enter_gating
from shared.deploy.rollout.session import DeploySession, hold_name
from shared.deploy.rollout.steps import POLL_INTERVAL, ReleaseSteps, StepFailed, StepResult
from shared.deploy.state_machine import NextStep, abort_step, next_step, step_after_failure
from shared.kernel.durations import format_duration
from shared.kernel.errors import GroundcrewError, Locked, Refused
from shared.kernel.ports import Lease

log = logging.getLogger(__name__)

OUTAGE_TIMEOUT = timedelta(hours=6)  # how long an outside system may be away in the middle of a deploy
REFUSAL_GRACE = timedelta(minutes=10)  # how long one may refuse what it allowed: it may be starting
# Longer than a machine takes to start and Rocket.Chat to be ready: below it nobody has to be woken.
ALERT_AFTER = timedelta(minutes=30)
# A large set takes its time, and nothing was changed yet.
BACKUP_ALERT_AFTER = timedelta(hours=2)
# More than any deploy takes (about ten): a circle of steps becomes a wait, and not a worker that never ends.
_MAX_STEPS = 30
# A restart of the worker mends some of them; a mistake in the code is there the third time too.
_MAX_INTERNAL_ERRORS = 3
_BEFORE_HELM = (DeployState.QUEUED, DeployState.GATING, DeployState.BACKING_UP)


class DeployReconciler:
    """One worker's part of one deploy: its session, and the steps that it takes."""

    def __init__(self, deps: DeployDeps, record: DeployRecord, lease: Lease) -> None:
        self._session = DeploySession(deps, record, lease)
        self._preparation = Preparation(self._session)
        self._observer = ReleaseObserver(self._session)
        self._steps = ReleaseSteps(self._session, self._observer)

    def reconcile(self) -> RequeueAfter | None:
        """To the deploy's end (None), or to where it must wait. Raises Locked if the lease was lost."""
        for _ in range(_MAX_STEPS):
            if self._session.state.final:
                return self._finish()
            wait = self._take_step()
            if wait is not None:
                wait = self._limit_wait(wait)
            if wait is not None:
                return replace(wait, reason=self._session.redact(wait.reason))
        return RequeueAfter(GATE_POLL_INTERVAL, "one worker took as many steps as it may")

    def _take_step(self) -> RequeueAfter | None:
        """One step, whatever it raises; only a lost lease is raised on."""
        try:
            wait = self._dispatch()
        except Locked:
            raise
        except GroundcrewError as error:
            return self._handle_error(error)
        except Exception as error:  # noqa: BLE001 - an error of ours must end this deploy, not all of them
            return self._handle_internal_error(error)
        session = self._session
        if session.record.unavailable_since:  # the time of the outage does not count against the deploy
            now = session.deps.clock.now()
            session.save(replace(session.record, unavailable_since=None, state_since=now))
        return wait

    def _dispatch(self) -> RequeueAfter | None:
        session = self._session
        if session.state in (DeployState.QUEUED, DeployState.GATING):
            return self._preparation.evaluate_gates()
        if session.state is DeployState.BACKING_UP and not session.progress.backup:
            return self._preparation.take_backup()
        # Before anything is observed: what the cluster says of the release may quote values.
        session.load_secrets()
        observed = self._observer.observe()
        return self._follow(next_step(session.progress, observed), observed)

    def _follow(self, step: NextStep, observed: ObservedRelease) -> RequeueAfter | None:
        """Do the step; after a failure also what follows from it, until it ends or must wait."""
        result = self._run(step, observed)
        while isinstance(result, StepFailed):
            step = step_after_failure(self._session.progress, result.observed, result.reason)
            result = self._run(step, result.observed)
        return result

    def _run(self, step: NextStep, observed: ObservedRelease) -> StepResult:
        # None if another worker evaluated the gates: the step fetches the same commit itself.
        self._steps.chart = self._preparation.chart
        match step.action:
            case "wait":
                return RequeueAfter(POLL_INTERVAL, step.reason)
            case "repair":
                return self._steps.repair(step.reason)
            case "apply":
                return self._steps.apply(step.reason)
            case "watch":
                return self._steps.watch(step.reason, observed)
            case "smoke_test":
                return self._steps.smoke_test(observed)
            case "roll_back":
                return self._steps.roll_back(step.reason, observed)
        end_deploy(self._session, step, observed)
        return None

    def _limit_wait(self, wait: RequeueAfter) -> RequeueAfter | None:
        """No wait is without end once the gates have passed, and people are notified before it."""
        session = self._session
        # At the gates nothing was begun yet; how long those may take is decided there.
        if not session.state.busy:
            return wait
        waited = session.time_in_state()
        if waited > OUTAGE_TIMEOUT:
            return self._abort(f"timed out after {format_duration(OUTAGE_TIMEOUT)}: {wait.reason}")
        if waited > (BACKUP_ALERT_AFTER if session.state is DeployState.BACKING_UP else ALERT_AFTER):
            notify_stuck(session.deps, session.record, session.redact(wait.reason))
        return wait

    def _handle_error(self, error: GroundcrewError) -> RequeueAfter | None:
        """An outside system refused, or does not answer."""
        session = self._session
        now = session.deps.clock.now()
        since = session.record.unavailable_since or now
        # The API server of a machine that is just starting answers 403 for a while, before its roles are
        # loaded.
        starting = (
            session.state not in _BEFORE_HELM and isinstance(error, Refused) and now - since <= REFUSAL_GRACE
        )
        if error.permanent and not starting:
            return self._handle_permanent_error(str(error))
        # Saved before the alert and the timeout below: they count from the first failure, whichever worker
        # saw it.
        session.save(replace(session.record, unavailable_since=since).with_log_line(f"waiting: {error}"))
        if now - since > ALERT_AFTER:
            notify_stuck(session.deps, session.record, session.redact(str(error)))
        if now - since > OUTAGE_TIMEOUT:
            return self._abort(f"timed out after {format_duration(OUTAGE_TIMEOUT)}: {error}")
        delay = error.retry_after if isinstance(error, RateLimited) else POLL_INTERVAL
        return RequeueAfter(max(delay, POLL_INTERVAL), str(error))

    def _handle_permanent_error(self, reason: str) -> RequeueAfter | None:
        """Trying again will not help: what was begun is undone, if anything was."""
        # Before Helm there is nothing to undo; and a rollback that is refused is not answered by another one.
        if self._session.state in _BEFORE_HELM or self._session.state is DeployState.ROLLING_BACK:
            return self._abort(reason)
        try:
            observed = self._observer.observe()
            step = step_after_failure(self._session.progress, observed, reason)
            return self._follow(step, observed)
        except Locked:
            raise
        except GroundcrewError as error:
            return self._abort(f"{reason}; the release could not be observed: {error}")

    def _handle_internal_error(self, error: Exception) -> RequeueAfter | None:
        """An error that nobody foresaw: retried a few times, then the deploy ends, so that no message goes
        round for ever."""
        session = self._session
        log_exception_place("deploy.internal_error", error, deploy=session.progress.key)
        # In the record, since the worker of the next message is another process.
        session.save(replace(session.record, internal_errors=session.record.internal_errors + 1))
        if session.record.internal_errors < _MAX_INTERNAL_ERRORS:
            return RequeueAfter(GATE_POLL_INTERVAL, f"internal error: {type(error).__name__}")
        return self._abort(f"internal error, see the log: {type(error).__name__}")

    def _abort(self, reason: str) -> RequeueAfter | None:
        """End it without having observed the release."""
        enter_gating(self._session)
        observed = ObservedRelease()
        return self._follow(abort_step(self._session.progress, reason), observed)

    def record_success(self) -> None:
        """What a worker that was killed right after the end of this deploy may have left to do."""
        record_success(self._session)

    def _finish(self) -> RequeueAfter | None:
        """Release the hold, then notify; a notification that fails is retried, but not for ever."""
        session = self._session
        # First: a notification that cannot be delivered for hours must not keep the machine running.
        session.deps.holds.release_hold(hold_name(session.record))
        record_success(session)
        if not session.record.notified:
            try:
                self._notify()
            except Locked:
                raise
            except GroundcrewError as error:
                failure = f"could not deliver the final notification: {error}"
                if not error.permanent and session.time_in_state() < OUTAGE_TIMEOUT:
                    return RequeueAfter(GATE_POLL_INTERVAL, failure)
                session.record = session.record.with_log_line(failure)
            session.save(replace(session.record, notified=True))
        close_deploy(session.deps, session.record, session.record.request)
        return None

    def _notify(self) -> None:
        session = self._session
        # Each of the two is recorded by itself, so that a retry repeats neither.
        if not session.record.status_reported:
            report_deployment_status(session.deps, session.record)
            session.save(replace(session.record, status_reported=True))
        notify_people(session.deps, session.record)


def close_deploy(deps: DeployDeps, record: DeployRecord, request: DeployRequest) -> None:
    """After the end: the machine may stop, and neither deploy nor delivery need be looked at again."""
    # Again, for a worker that was killed before `_finish` came to it; of no hold it is a no-op.
    deps.holds.release_hold(hold_name(record))
    deps.deploys.mark_closed(record)
    deps.deploys.complete_delivery(request)
