"""Applying a release, watching it, and undoing it: what a deploy does to the cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.core.deploy_state import Seen, State, Step, after_failure, may_roll_back, propose_restore
from shared.core.workloads import unhealthy
from shared.errors import Conflict
from shared.ports import Lease
from shared.state.charts import Chart, fetch
from shared.state.deploys import AGREED, Kept
from shared.state.logbook import Logbook
from shared.state.shipping import Shipping, Wait

SOON = timedelta(seconds=10)
SETTLE = timedelta(minutes=5)  # how long a release that Helm called ready may take to let people in


class Rollout(Logbook):
    """The steps of one deploy that touch the release."""

    def __init__(self, shipping: Shipping, kept: Kept, lease: Lease) -> None:
        super().__init__(shipping, kept, lease)
        self.chart: Chart | None = None

    def look(self) -> Seen:
        """What is there now. A revision that was there before this deploy counts as its starting point."""
        record, newest = self.kept.record, self.shipping.releases.status()
        if newest is None:
            return Seen()
        number = newest.number
        if number <= self.kept.newest_before and not newest.pending:
            return Seen(record.revision_before, "deployed")
        if not record.changes_version:
            return Seen(number, newest.status, newest.description)
        schema = self.shipping.server().schema
        return Seen(number, newest.status, newest.description, schema, self._started())

    def _started(self) -> bool | None:
        """Whether a pod of the new version ever ran; None if there is none that could tell."""
        tag = f":{self.kept.record.version_after}"
        pods = [pod for pod in self.shipping.cluster.pods() if any(tag in image for image in pod.images)]
        return any(pod.started for pod in pods) if pods else None

    def repair(self, step: Step, _seen: Seen) -> Wait | None:
        """Make a release that was left pending fit to be upgraded again."""
        self.move(State.APPLYING, step.reason)
        done = self.shipping.releases.repair()
        self.save(self.kept.noted(done.reason))
        return None

    def apply(self, step: Step, _seen: Seen) -> Wait | None:
        """Let Helm install or upgrade; between versions it must not go back by itself."""
        chart = self.chart or fetch(self.shipping, self.kept.record.sha)
        self.move(State.APPLYING, step.reason, attempts=self.kept.record.attempts + 1)
        try:
            outcome = self.shipping.releases.upgrade_install(
                chart.package,
                timeout=self.shipping.policy.helm_timeout,
                rollback_on_failure=may_roll_back(self.kept.record),
                say=self.say,
            )
        except Conflict:  # somebody left it pending a moment ago: it is repaired first
            return Wait(SOON, "the release is in the middle of another operation")
        self.save(self.kept.noted("Helm is done" if outcome.succeeded else f"Helm failed: {outcome.reason}"))
        if outcome.succeeded:
            self.move(State.WATCHING, "Helm is done")
            return None
        return self.after_failure(self.look(), outcome.reason)

    def watch(self, step: Step, seen: Seen) -> Wait | None:
        """Until every workload is ready, or had its time."""
        self.move(State.WATCHING, step.reason)
        ill = unhealthy(self.shipping.cluster.workloads(), self.shipping.cluster.pods())
        if not ill:
            self.move(State.SMOKE, "all workloads are ready")
            return None
        if self.waited() < SETTLE:
            return Wait(SOON, "; ".join(ill))
        return self.after_failure(seen, f"not healthy: {'; '.join(ill)}")

    def smoke(self, _step: Step, seen: Seen) -> Wait | None:
        """Until the server says its version and lets people in, or had its time."""
        health = self.shipping.smoke(self.kept.record.version_after)
        if health.well:
            self.move(State.DONE, f"{health.found}; revision {seen.revision}")
            return None
        if self.waited() < SETTLE:
            return Wait(SOON, health.found)
        return self.after_failure(seen, f"the smoke test failed: {health.found}")

    def after_failure(self, seen: Seen, reason: str) -> Wait | None:
        """Undo what can be undone, propose what cannot."""
        return self.finish(after_failure(self.kept.record, seen, reason), seen)

    def finish(self, step: Step, seen: Seen) -> Wait | None:
        """An end, or the way to it."""
        match step.action:
            case "roll_back":
                return self.undo(step.reason, seen)
            case "propose_restore":
                found = propose_restore(
                    self.kept.record, step.reason, namespace=self.shipping.policy.namespace
                )
                told = [found.reason, *found.warnings, AGREED, *found.commands]
                self.kept = replace(self.kept, proposal="\n".join(told))
                self.move(State.RESTORE_PROPOSED, step.reason)
            case _:
                self.move(step.state, step.reason)
        return None

    def undo(self, reason: str, seen: Seen) -> Wait | None:
        """Back to the revision from before; begun on record, so that an heir goes on with it."""
        record = self.kept.record
        if self.kept.state is State.ROLLING_BACK:
            reason = record.reason
        self.move(State.ROLLING_BACK, reason, ways_back=record.ways_back + 1)
        if seen.pending:
            self.shipping.releases.repair()
        outcome = self.shipping.releases.rollback(
            record.revision_before, timeout=self.shipping.policy.helm_timeout, say=self.say
        )
        if outcome.succeeded:
            self.move(State.ROLLED_BACK, f"{reason}; rolled back to {record.revision_before}")
            return None
        self.save(self.kept.noted(f"the way back failed: {outcome.reason}"))
        return Wait(SOON, f"the way back failed: {outcome.reason}")
