"""The steps of a deploy that touch the release: repair, apply, watch, smoke test, roll back.

Each returns how it went; what follows from a failure is decided by the reconciler.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from shared.deploy.chart.fetch import LoadedChart, fetch_chart
from shared.deploy.deps import RequeueAfter
from shared.deploy.progress import DeployState, ObservedRelease
from shared.deploy.rollout.observe import ReleaseObserver
from shared.deploy.rollout.session import DeploySession
from shared.deploy.state_machine import may_roll_back
from shared.deploy.watermark import raise_watermark
from shared.kernel.errors import Conflict

POLL_INTERVAL = timedelta(seconds=10)
READINESS_GRACE = timedelta(minutes=5)  # how long a release that Helm called ready may take to serve


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The new release did not become healthy; `observed` is the release after that."""

    observed: ObservedRelease
    reason: str


# None: the step is done, look again what is next.
StepResult = RequeueAfter | StepFailed | None


class ReleaseSteps:
    """The steps of one session. `chart` is the chart if the gates of this session have fetched it."""

    def __init__(self, session: DeploySession, observer: ReleaseObserver) -> None:
        self._session, self._observer = session, observer
        self.chart: LoadedChart | None = None

    def repair(self, reason: str) -> StepResult:
        """Make a release that was left pending fit to be upgraded again."""
        self._session.transition(DeployState.APPLYING, reason)
        self._session.add_log_line(self._session.deps.releases.repair().reason)
        return None

    def apply(self, reason: str) -> StepResult:
        """Let Helm install or upgrade; between versions it must not roll back by itself."""
        session = self._session
        deps, progress, now = session.deps, session.progress, session.deps.clock.now()
        chart = self.chart or fetch_chart(deps, progress.sha)
        # Before Helm starts anything: a worker that is killed right then must not leave the old version free
        # to be started on data that the new one migrated.
        if progress.version_after != progress.rollback_version or progress.rollback_is_downgrade:
            deps.watermarks.save(raise_watermark(deps.watermarks.read(), progress, now))
        before = session.record
        session.record = replace(before, applied_at=now, first_applied_at=before.first_applied_at or now)
        # Counted before the attempt: one that kills its worker each time ends too.
        session.transition(DeployState.APPLYING, reason, attempts=progress.attempts + 1)
        try:
            result = deps.releases.upgrade_install(
                chart.package,
                timeout=deps.policy.helm_timeout,
                # Never between versions: the old one would be started on data that the new one migrated.
                rollback_on_failure=may_roll_back(progress),
                on_progress=session.report_progress,
            )
        except Conflict:  # another client was faster: it is waited for, or repaired first if it was left
            session.record = replace(session.record, applied_at=before.applied_at)
            conflict = "another Helm operation is in progress"
            session.transition(DeployState.APPLYING, conflict, attempts=progress.attempts)
            return RequeueAfter(POLL_INTERVAL, conflict)
        session.add_log_line("helm succeeded" if result.succeeded else f"helm failed: {result.reason}")
        if result.succeeded:
            revision = result.revision.number if result.revision else 0
            session.transition(DeployState.WATCHING, "helm succeeded", revision_after=revision)
            return None
        return StepFailed(self._observer.observe(), result.reason)

    def watch(self, reason: str, observed: ObservedRelease) -> StepResult:
        """Until every workload is ready, or had its time."""
        self._session.transition(DeployState.WATCHING, reason)
        # Helm has waited already; this is for what breaks after it looked away, and for a worker that took
        # over.
        unhealthy = "; ".join(self._observer.unhealthy_workloads(observed.revision))
        if not unhealthy:
            self._session.transition(DeployState.SMOKE, "all workloads are ready")
            return None
        if self._within_grace():
            return RequeueAfter(POLL_INTERVAL, unhealthy)
        return StepFailed(observed, f"unhealthy: {unhealthy}")

    def smoke_test(self, observed: ObservedRelease) -> StepResult:
        """Until the server says its version and serves its login page, or had its time."""
        health = self._session.deps.smoke_test(self._session.progress.version_after)
        if health.healthy:
            return self._try_as_people(health.message, observed)
        if self._within_grace():
            return RequeueAfter(POLL_INTERVAL, health.message)
        return StepFailed(observed, f"smoke test failed: {health.message}")

    def _try_as_people(self, message: str, observed: ObservedRelease) -> StepResult:
        """Probes: what begins to fail is told; it undoes a deploy only where policy says so.

        Never one between versions: their data may be migrated, and people who can do most of their work are
        better off than with the proposal of a restore.
        """
        session = self._session
        patient = self._within_grace()
        report = session.deps.run_probes(session.progress.sha, not patient)
        if report.regressed and patient:
            return RequeueAfter(POLL_INTERVAL, report.text)
        if report.regressed and report.undoes and may_roll_back(session.progress):
            return StepFailed(observed, f"probes failed: {report.text}")
        summary = "; ".join(part for part in (message, report.text) if part)
        session.transition(DeployState.DONE, f"{summary}; revision {observed.revision}")
        return None

    def _within_grace(self) -> bool:
        """Whether it may still become healthy: an outage that has just ended took none of its time."""
        session = self._session
        return session.time_in_state() < READINESS_GRACE or session.record.unavailable_since is not None

    def roll_back(self, reason: str, observed: ObservedRelease) -> StepResult:
        """To the revision from before; recorded first, so that the next worker continues with it."""
        session = self._session
        deps, progress = session.deps, session.progress
        if session.state is DeployState.ROLLING_BACK:
            reason = progress.reason  # the first one, not that of the last attempt
        session.record = replace(session.record, applied_at=deps.clock.now())
        attempts = progress.rollback_attempts + 1
        # `data_unchanged` is what was proven before the pods that proved it are replaced.
        session.transition(DeployState.ROLLING_BACK, reason, rollback_attempts=attempts, data_unchanged=True)
        # Nobody is at work on it, or it would be waited for: it stays pending for ever unless it is repaired.
        if observed.pending:
            deps.releases.repair()
        result = deps.releases.rollback(
            progress.revision_before,
            timeout=deps.policy.helm_timeout,
            on_progress=session.report_progress,
        )
        if not result.succeeded:
            failure = f"rollback failed: {result.reason}"
            session.add_log_line(failure)
            return RequeueAfter(POLL_INTERVAL, failure)
        return StepFailed(self._observer.observe(), session.progress.reason)
