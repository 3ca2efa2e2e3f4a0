"""Applying a release, watching it, and undoing it: what a deploy does to the cluster."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from shared.deploy.chart.fetch import Chart, fetch
from shared.deploy.deps import Shipping, Wait
from shared.deploy.ports.releases import Revision
from shared.deploy.records.deploys import AGREED, Kept
from shared.deploy.rollout.session import Logbook
from shared.deploy.state_machine import Seen, State, Step, after_failure, may_roll_back
from shared.deploy.watermark import RUNBOOK, Mark, propose_restore, raised
from shared.kernel.errors import Conflict, Corrupt, GroundcrewError, Unavailable
from shared.kernel.ports import Lease
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import of_release, unhealthy

log = logging.getLogger(__name__)

SOON = timedelta(seconds=10)
SETTLE = timedelta(minutes=5)  # how long a release that Helm called ready may take to let people in
BLIND = timedelta(minutes=15)  # how long the database may be away before its schema counts as unknown
_SKEW = timedelta(seconds=1)
_BEGINS = timedelta(minutes=2)  # how soon after its start Helm writes the revision down


class Rollout(Logbook):
    """The steps of one deploy that touch the release."""

    def __init__(self, shipping: Shipping, kept: Kept, lease: Lease) -> None:
        super().__init__(shipping, kept, lease)
        self.chart: Chart | None = None
        self._applied: tuple[int, Sequence[Manifest]] = (0, ())

    def look(self) -> Seen:
        """What is there now. A revision that was there before this deploy counts as its starting point."""
        record, newest = self.kept.record, self.shipping.releases.status()
        if newest is None:
            return Seen()
        number = newest.number
        if number <= self.kept.newest_before and not newest.pending:
            return Seen(record.revision_before, "deployed")
        seen = Seen(number, newest.status, newest.description, foreign=self._foreign(newest))
        if not record.changes_version:
            return seen
        return replace(seen, schema=self._schema(), started=self._started())

    def _foreign(self, newest: Revision) -> bool:
        """Whether somebody else's Helm is at it: neither ours nor left lying for longer than any may take."""
        if not newest.pending or newest.at is None:
            return False
        begun = self.kept.applied
        ours = begun is not None and begun - _SKEW <= newest.at <= begun + _BEGINS
        # Hooks before and after, the wait, the way back: each may take the timeout.
        return not ours and self.shipping.clock.now() - newest.at < 4 * self.shipping.policy.helm_timeout

    def _schema(self) -> int | None:
        """The data's, None if it cannot be told. Raises Unavailable at first: it may only be a moment."""
        try:
            found = self.shipping.server().schema
        except GroundcrewError as error:
            now = self.shipping.clock.now()
            since = self.kept.blind or now
            self.kept = replace(self.kept, blind=since)  # whatever is saved next has it
            if isinstance(error, Unavailable) and now - since < BLIND:
                raise
            log.warning("deploy.no_schema", extra={"deploy": self.kept.record.key, "error": str(error)})
            return None
        self.kept = replace(self.kept, blind=None)
        return found

    def _started(self) -> bool | None:
        """Whether a pod of the new version ever ran; None if there is none that could tell."""
        tag = f":{self.kept.record.version_after}"
        pods = [pod for pod in self.shipping.cluster.pods() if any(tag in image for image in pod.images)]
        return any(pod.started for pod in pods) if pods else None

    def ill(self, seen: Seen) -> list[str]:
        """What of the release is not healthy; what else runs in the namespace is none of its business."""
        if self._applied[0] != seen.revision:
            self._applied = seen.revision, self.shipping.releases.manifests(seen.revision)
        cluster = self.shipping.cluster
        return unhealthy(*of_release(self._applied[1], cluster.workloads(), cluster.pods()))

    def await_other(self, step: Step, _seen: Seen) -> Wait | None:
        """Somebody else's Helm is at it: let it end."""
        return Wait(SOON, step.reason)

    def repair(self, step: Step, _seen: Seen) -> Wait | None:
        """Make a release that was left pending fit to be upgraded again."""
        self.move(State.APPLYING, step.reason)
        done = self.shipping.releases.repair()
        self.save(self.kept.noted(done.reason))
        return None

    def apply(self, step: Step, _seen: Seen) -> Wait | None:
        """Let Helm install or upgrade; between versions it must not go back by itself."""
        chart = self.chart or fetch(self.shipping, self.kept.record.sha)
        now, record = self.shipping.clock.now(), self.kept.record
        if record.version_after != record.revision_version or record.way_back_is_older:
            marks = self.shipping.marks
            marks.set(raised(marks.read(), record, now))
        before, self.kept = self.kept.applied, replace(self.kept, applied=now)
        self.move(State.APPLYING, step.reason, attempts=record.attempts + 1)
        try:
            outcome = self.shipping.releases.upgrade_install(
                chart.package,
                timeout=self.shipping.policy.helm_timeout,
                rollback_on_failure=may_roll_back(record),
                say=self.say,
            )
        except Conflict:  # somebody was faster: it is waited for, or repaired first if it was left lying
            self.kept = replace(self.kept, applied=before)
            self.move(State.APPLYING, "another operation is at the release", attempts=record.attempts)
            return Wait(SOON, "the release is in the middle of another operation")
        self.save(self.kept.noted("Helm is done" if outcome.succeeded else f"Helm failed: {outcome.reason}"))
        if outcome.succeeded:
            made = outcome.revision.number if outcome.revision else 0
            self.move(State.WATCHING, "Helm is done", revision_after=made)
            return None
        return self.after_failure(self.look(), outcome.reason)

    def watch(self, step: Step, seen: Seen) -> Wait | None:
        """Until every workload is ready, or had its time."""
        self.move(State.WATCHING, step.reason)
        ill = self.ill(seen)
        if not ill:
            self.move(State.SMOKE, "all workloads are ready")
            return None
        if self._settling():
            return Wait(SOON, "; ".join(ill))
        return self.after_failure(seen, f"not healthy: {'; '.join(ill)}")

    def smoke(self, _step: Step, seen: Seen) -> Wait | None:
        """Until the server says its version and lets people in, or had its time."""
        health = self.shipping.smoke(self.kept.record.version_after)
        if health.well:
            self.move(State.DONE, f"{health.found}; revision {seen.revision}")
            return None
        if self._settling():
            return Wait(SOON, health.found)
        return self.after_failure(seen, f"the smoke test failed: {health.found}")

    def _settling(self) -> bool:
        """Whether it may still get well: an outage that has just ended took none of its time."""
        return self.waited() < SETTLE or self.kept.unwell is not None

    def settle(self) -> None:
        """What a good end means for those that come after, before any of them looks. Again is fine."""
        kept, marks = self.kept, self.shipping.marks
        if kept.state is not State.DONE or not kept.record.attempts:
            return
        record = kept.record
        made = record.sha, record.revision_after, record.version_after
        try:
            self.shipping.ledger.done(record.environment, *made, kept.since)
            mark = marks.read()
            if mark is not None and (mark.deploy == record.key or mark.at <= kept.since):
                marks.clear()
        except Corrupt as error:  # it closes the gates of those that come after, until somebody looks
            log.error("deploy.record_unreadable", extra={"error": str(error)})  # noqa: TRY400

    def after_failure(self, seen: Seen, reason: str) -> Wait | None:
        """Undo what can be undone, propose what cannot."""
        return self.finish(after_failure(self.kept.record, seen, reason), seen)

    def finish(self, step: Step, seen: Seen) -> Wait | None:
        """An end, or the way to it."""
        match step.action:
            case "roll_back":
                return self.undo(step.reason, seen)
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
                if step.state is State.ROLLED_BACK:
                    self._note_way_back(seen)
                self.move(step.state, step.reason)
        return None

    def _has_data(self) -> bool:
        """Whether a first release, which is gone again, left data of its version."""
        try:
            return self.shipping.server().schema is not None
        except GroundcrewError as error:
            log.warning("deploy.no_schema", extra={"deploy": self.kept.record.key, "error": str(error)})
            return self.kept.record.had_data

    def _note_way_back(self, seen: Seen) -> None:
        record, now = self.kept.record, self.shipping.clock.now()
        version = record.revision_version
        self.shipping.ledger.went_back(
            record.environment, record.revision_before, seen.revision, version, now
        )

    def propose(self, reason: str) -> None:
        """The paired restore, for two people to agree to; the mark stands until it was done."""
        mark = self._pair()
        if mark is None:
            told = [f"{reason}; which backup and which revision belong together is not known: see {RUNBOOK}"]
        else:
            found = propose_restore(mark, reason, namespace=self.shipping.policy.namespace)
            told = [found.reason, *found.warnings, AGREED, *found.commands]
        self.kept = replace(self.kept, proposal="\n".join(told))
        self.move(State.RESTORE_PROPOSED, reason)

    def _pair(self) -> Mark | None:
        """The mark, made anew if it is gone and this deploy's own pair is whole."""
        record, marks = self.kept.record, self.shipping.marks
        try:
            mark = marks.read()
        except Corrupt as error:
            log.error("deploy.mark_unreadable", extra={"error": str(error)})  # noqa: TRY400
            return None
        if mark is None and not record.way_back_is_older:
            mark = raised(None, record, self.shipping.clock.now())
            marks.set(mark)
        return mark

    def undo(self, reason: str, seen: Seen) -> Wait | None:
        """Back to the revision from before; begun on record, so that an heir goes on with it."""
        record = self.kept.record
        if self.kept.state is State.ROLLING_BACK:
            reason = record.reason
        self.kept = replace(self.kept, applied=self.shipping.clock.now())
        self.move(State.ROLLING_BACK, reason, ways_back=record.ways_back + 1, clean=True)
        if seen.pending:
            self.shipping.releases.repair()
        outcome = self.shipping.releases.rollback(
            record.revision_before, timeout=self.shipping.policy.helm_timeout, say=self.say
        )
        if not outcome.succeeded:
            self.save(self.kept.noted(f"the way back failed: {outcome.reason}"))
            return Wait(SOON, f"the way back failed: {outcome.reason}")
        return self.finish(after_failure(self.kept.record, self.look(), reason), seen)

    def _unmark(self) -> None:
        """This deploy is proven to have left the data alone: only then an end like this is reached."""
        record, marks = self.kept.record, self.shipping.marks
        try:
            mark = marks.read()
        except Corrupt as error:  # it stands, and closes the gates until somebody looks
            log.error("deploy.mark_unreadable", extra={"error": str(error)})  # noqa: TRY400
            return
        if mark is None or mark.deploy != record.key:
            return
        if record.way_back_is_older:  # an earlier one's, which stands
            marks.set(replace(mark, version=record.version_before))
        else:
            marks.clear()
