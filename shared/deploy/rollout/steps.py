"""Applying a release, watching it, and undoing it: what a deploy does to the cluster."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from shared.deploy.chart.fetch import Chart, fetch
from shared.deploy.deps import DeployDeps, RequeueAfter
from shared.deploy.ports.releases import Revision
from shared.deploy.records.deploys import AGREED, DeployRecord
from shared.deploy.rollout.session import DeploySession
from shared.deploy.state_machine import (
    DeployState,
    NextStep,
    ObservedRelease,
    may_roll_back,
    step_after_failure,
)
from shared.deploy.watermark import RUNBOOK, VersionWatermark, propose_restore, raise_watermark
from shared.kernel.errors import Conflict, Corrupt, GroundcrewError, Unavailable
from shared.kernel.ports import Lease
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import of_release, unhealthy

log = logging.getLogger(__name__)

POLL_INTERVAL = timedelta(seconds=10)
READINESS_GRACE = timedelta(minutes=5)  # how long a release that Helm called ready may take to let people in
SCHEMA_UNKNOWN_AFTER = timedelta(
    minutes=15
)  # how long the database may be away before its schema counts as unknown
_CLOCK_SKEW = timedelta(seconds=1)
_HELM_START_WINDOW = timedelta(minutes=2)  # how soon after its start Helm writes the revision down


class Rollout(DeploySession):
    """The steps of one deploy that touch the release."""

    def __init__(self, deps: DeployDeps, record: DeployRecord, lease: Lease) -> None:
        super().__init__(deps, record, lease)
        self.chart: Chart | None = None
        self._applied: tuple[int, Sequence[Manifest]] = (0, ())

    def look(self) -> ObservedRelease:
        """What is there now. A revision that was there before this deploy counts as its starting point."""
        progress, newest = self.record.progress, self.deps.releases.status()
        if newest is None:
            return ObservedRelease()
        number = newest.number
        if number <= self.record.newest_before and not newest.pending:
            return ObservedRelease(progress.revision_before, "deployed")
        observed = ObservedRelease(number, newest.status, newest.description, foreign=self._foreign(newest))
        if not progress.changes_version:
            return observed
        return replace(observed, schema=self._schema(), started=self._started())

    def _foreign(self, newest: Revision) -> bool:
        """Whether somebody else's Helm is at it: neither ours nor left lying for longer than any may take."""
        if not newest.pending or newest.at is None:
            return False
        begun = self.record.applied
        ours = begun is not None and begun - _CLOCK_SKEW <= newest.at <= begun + _HELM_START_WINDOW
        # Hooks before and after, the wait, the way back: each may take the timeout.
        return not ours and self.deps.clock.now() - newest.at < 4 * self.deps.policy.helm_timeout

    def _schema(self) -> int | None:
        """The data's, None if it cannot be told. Raises Unavailable at first: it may only be a moment."""
        try:
            found = self.deps.server().schema
        except GroundcrewError as error:
            now = self.deps.clock.now()
            since = self.record.blind or now
            self.record = replace(self.record, blind=since)  # whatever is saved next has it
            if isinstance(error, Unavailable) and now - since < SCHEMA_UNKNOWN_AFTER:
                raise
            log.warning("deploy.no_schema", extra={"deploy": self.record.progress.key, "error": str(error)})
            return None
        self.record = replace(self.record, blind=None)
        return found

    def _started(self) -> bool | None:
        """Whether a pod of the new version ever ran; None if there is none that could tell."""
        tag = f":{self.record.progress.version_after}"
        pods = [pod for pod in self.deps.cluster.pods() if any(tag in image for image in pod.images)]
        return any(pod.started for pod in pods) if pods else None

    def ill(self, observed: ObservedRelease) -> list[str]:
        """What of the release is not healthy; what else runs in the namespace is none of its business."""
        if self._applied[0] != observed.revision:
            self._applied = observed.revision, self.deps.releases.manifests(observed.revision)
        cluster = self.deps.cluster
        return unhealthy(*of_release(self._applied[1], cluster.workloads(), cluster.pods()))

    def await_other(self, step: NextStep, _seen: ObservedRelease) -> RequeueAfter | None:
        """Somebody else's Helm is at it: let it end."""
        return RequeueAfter(POLL_INTERVAL, step.reason)

    def repair(self, step: NextStep, _seen: ObservedRelease) -> RequeueAfter | None:
        """Make a release that was left pending fit to be upgraded again."""
        self.move(DeployState.APPLYING, step.reason)
        done = self.deps.releases.repair()
        self.save(self.record.noted(done.reason))
        return None

    def apply(self, step: NextStep, _seen: ObservedRelease) -> RequeueAfter | None:
        """Let Helm install or upgrade; between versions it must not go back by itself."""
        chart = self.chart or fetch(self.deps, self.record.progress.sha)
        now, progress = self.deps.clock.now(), self.record.progress
        if progress.version_after != progress.revision_version or progress.way_back_is_older:
            watermarks = self.deps.watermarks
            watermarks.set(raise_watermark(watermarks.read(), progress, now))
        before, self.record = self.record.applied, replace(self.record, applied=now)
        self.move(DeployState.APPLYING, step.reason, attempts=progress.attempts + 1)
        try:
            outcome = self.deps.releases.upgrade_install(
                chart.package,
                timeout=self.deps.policy.helm_timeout,
                rollback_on_failure=may_roll_back(progress),
                say=self.say,
            )
        except Conflict:  # somebody was faster: it is waited for, or repaired first if it was left lying
            self.record = replace(self.record, applied=before)
            self.move(DeployState.APPLYING, "another operation is at the release", attempts=progress.attempts)
            return RequeueAfter(POLL_INTERVAL, "the release is in the middle of another operation")
        self.save(
            self.record.noted("Helm is done" if outcome.succeeded else f"Helm failed: {outcome.reason}")
        )
        if outcome.succeeded:
            made = outcome.revision.number if outcome.revision else 0
            self.move(DeployState.WATCHING, "Helm is done", revision_after=made)
            return None
        return self.after_failure(self.look(), outcome.reason)

    def watch(self, step: NextStep, observed: ObservedRelease) -> RequeueAfter | None:
        """Until every workload is ready, or had its time."""
        self.move(DeployState.WATCHING, step.reason)
        ill = self.ill(observed)
        if not ill:
            self.move(DeployState.SMOKE, "all workloads are ready")
            return None
        if self._settling():
            return RequeueAfter(POLL_INTERVAL, "; ".join(ill))
        return self.after_failure(observed, f"not healthy: {'; '.join(ill)}")

    def smoke(self, _step: NextStep, observed: ObservedRelease) -> RequeueAfter | None:
        """Until the server says its version and lets people in, or had its time."""
        health = self.deps.smoke(self.record.progress.version_after)
        if health.well:
            self.move(DeployState.DONE, f"{health.found}; revision {observed.revision}")
            return None
        if self._settling():
            return RequeueAfter(POLL_INTERVAL, health.found)
        return self.after_failure(observed, f"the smoke test failed: {health.found}")

    def _settling(self) -> bool:
        """Whether it may still get well: an outage that has just ended took none of its time."""
        return self.waited() < READINESS_GRACE or self.record.unwell is not None

    def settle(self) -> None:
        """What a good end means for those that come after, before any of them looks. Again is fine."""
        record, watermarks = self.record, self.deps.watermarks
        if record.state is not DeployState.DONE or not record.progress.attempts:
            return
        progress = record.progress
        made = progress.sha, progress.revision_after, progress.version_after
        try:
            self.deps.ledger.done(progress.environment, *made, record.since)
            watermark = watermarks.read()
            if watermark is not None and (watermark.deploy == progress.key or watermark.at <= record.since):
                watermarks.clear()
        except Corrupt as error:  # it closes the gates of those that come after, until somebody looks
            log.error("deploy.record_unreadable", extra={"error": str(error)})  # noqa: TRY400

    def after_failure(self, observed: ObservedRelease, reason: str) -> RequeueAfter | None:
        """Undo what can be undone, propose what cannot."""
        return self.finish(step_after_failure(self.record.progress, observed, reason), observed)

    def finish(self, step: NextStep, observed: ObservedRelease) -> RequeueAfter | None:
        """An end, or the way to it."""
        match step.action:
            case "roll_back":
                return self.undo(step.reason, observed)
            case "propose_restore":
                self.propose(step.reason)
            case "fail_unclear":
                self.move(step.state, step.reason, unclear=True)
            case "fail_first":
                if not self._has_data():
                    self._unmark()
                self.move(step.state, step.reason)
            case _:
                self._unmark()
                if step.state is DeployState.ROLLED_BACK:
                    self._note_way_back(observed)
                self.move(step.state, step.reason)
        return None

    def _has_data(self) -> bool:
        """Whether a first release, which is gone again, left data of its version."""
        try:
            return self.deps.server().schema is not None
        except GroundcrewError as error:
            log.warning("deploy.no_schema", extra={"deploy": self.record.progress.key, "error": str(error)})
            return self.record.progress.had_data

    def _note_way_back(self, observed: ObservedRelease) -> None:
        progress, now = self.record.progress, self.deps.clock.now()
        version = progress.revision_version
        self.deps.ledger.went_back(
            progress.environment, progress.revision_before, observed.revision, version, now
        )

    def propose(self, reason: str) -> None:
        """The paired restore, for two people to agree to; the mark stands until it was done."""
        watermark = self._pair()
        if watermark is None:
            told = [f"{reason}; which backup and which revision belong together is not known: see {RUNBOOK}"]
        else:
            found = propose_restore(watermark, reason, namespace=self.deps.policy.namespace)
            told = [found.reason, *found.warnings, AGREED, *found.commands]
        self.record = replace(self.record, proposal="\n".join(told))
        self.move(DeployState.RESTORE_PROPOSED, reason)

    def _pair(self) -> VersionWatermark | None:
        """The mark, made anew if it is gone and this deploy's own pair is whole."""
        progress, watermarks = self.record.progress, self.deps.watermarks
        try:
            watermark = watermarks.read()
        except Corrupt as error:
            log.error("deploy.mark_unreadable", extra={"error": str(error)})  # noqa: TRY400
            return None
        if watermark is None and not progress.way_back_is_older:
            watermark = raise_watermark(None, progress, self.deps.clock.now())
            watermarks.set(watermark)
        return watermark

    def undo(self, reason: str, observed: ObservedRelease) -> RequeueAfter | None:
        """Back to the revision from before; begun on record, so that an heir goes on with it."""
        progress = self.record.progress
        if self.record.state is DeployState.ROLLING_BACK:
            reason = progress.reason
        self.record = replace(self.record, applied=self.deps.clock.now())
        self.move(DeployState.ROLLING_BACK, reason, ways_back=progress.ways_back + 1, clean=True)
        if observed.pending:
            self.deps.releases.repair()
        outcome = self.deps.releases.rollback(
            progress.revision_before, timeout=self.deps.policy.helm_timeout, say=self.say
        )
        if not outcome.succeeded:
            self.save(self.record.noted(f"the way back failed: {outcome.reason}"))
            return RequeueAfter(POLL_INTERVAL, f"the way back failed: {outcome.reason}")
        return self.finish(step_after_failure(self.record.progress, self.look(), reason), observed)

    def _unmark(self) -> None:
        """This deploy is proven to have left the data alone: only then an end like this is reached."""
        progress, watermarks = self.record.progress, self.deps.watermarks
        try:
            watermark = watermarks.read()
        except Corrupt as error:  # it stands, and closes the gates until somebody looks
            log.error("deploy.mark_unreadable", extra={"error": str(error)})  # noqa: TRY400
            return
        if watermark is None or watermark.deploy != progress.key:
            return
        if progress.way_back_is_older:  # an earlier one's, which stands
            watermarks.set(replace(watermark, version=progress.version_before))
        else:
            watermarks.clear()
