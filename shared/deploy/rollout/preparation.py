"""What a deploy does before it touches the release: evaluate the gates, take a backup if one is needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.deploy.chart.fetch import LoadedChart
from shared.deploy.deps import RequeueAfter
from shared.deploy.gates.evaluate import evaluate_gates
from shared.deploy.gates.rehearsal import NAME as REHEARSAL
from shared.deploy.gates.results import GateResults
from shared.deploy.notify import announce_downtime, open_deployment
from shared.deploy.progress import DeployState
from shared.deploy.rollout.session import DeploySession
from shared.deploy.rollout.steps import POLL_INTERVAL

GATE_POLL_INTERVAL = timedelta(minutes=1)
SLOW_POLL_AFTER = timedelta(minutes=10)


class Preparation:
    """The steps of one session up to the first change. `chart` is set once the gates have passed."""

    def __init__(self, session: DeploySession) -> None:
        self._session = session
        self.chart: LoadedChart | None = None

    def evaluate_gates(self) -> RequeueAfter | None:
        """Evaluate all gates, and continue, wait or end as they say."""
        session = self._session
        enter_gating(session)
        # Before the gates, so that people see on GitHub that somebody is waiting; a worker killed in between
        # finds it again by its description.
        if not session.progress.deployment:
            session.save_progress(deployment=open_deployment(session.deps, session.record))
        # Anew on every poll, and never from the record: an approval may have been withdrawn meanwhile.
        results = evaluate_gates(session.deps, session.record.request, since=session.record.started)
        self._save_gates(results)
        if results.commit.decision == "done":
            session.transition(DeployState.DONE, results.commit.reason)
        elif results.commit.decision == "superseded":
            session.transition(DeployState.SUPERSEDED, results.commit.reason)
        elif results.report.pending:
            self._begin_rehearsal(results)
            return self._wait_for_gates(results)
        elif not results.report.passed:
            session.transition(DeployState.FAILED, f"closed gates: {', '.join(_closed_gates(results))}")
        else:
            self._proceed(results)
        return None

    def _save_gates(self, results: GateResults) -> None:
        """What the gates said, and whose change this is."""
        record, pull = self._session.record, results.commit.pull
        if pull is not None:
            progress = replace(record.progress, pull=pull.number)
            record = replace(
                record, progress=progress, author=pull.author, title=pull.title, merged_at=pull.merged_at
            )
        self._session.save(replace(record, gates=tuple(results.report.lines()), plan=results.plan))

    def _begin_rehearsal(self, results: GateResults) -> None:
        """Asked on each poll until its record is there, so that nothing is lost with a worker that dies."""
        rehearsals, request = self._session.deps.rehearsals, self._session.record.request
        if results.rehearsal.begin and rehearsals is not None:
            pull = self._session.progress.pull
            rehearsals.begin(
                request.sha, pull, request.environment, by=self._session.record.author or "deploy"
            )

    def _wait_for_gates(self, results: GateResults) -> RequeueAfter | None:
        session, closed = self._session, _closed_gates(results)
        waited = session.time_in_state()
        # An environment's timer takes as long as its owners want, and an outage is no fault of the checks.
        # A rehearsal has limits of its own, and takes as long as the migrations of the data do.
        limited = (
            any(name not in ("environment", REHEARSAL) for name in closed)
            and not session.record.unavailable_since
        )
        if limited and waited > session.deps.policy.checks_timeout:
            session.transition(DeployState.FAILED, f"timed out waiting for: {', '.join(closed)}")
            return None
        # What takes longer is polled less often: each time costs some requests of GitHub's rate limit.
        delay = GATE_POLL_INTERVAL if waited < SLOW_POLL_AFTER else GATE_POLL_INTERVAL * 5
        return RequeueAfter(delay, f"waiting for: {', '.join(closed)}")

    def _proceed(self, results: GateResults) -> None:
        """All gates are open: note what this deploy starts from, and go on to the backup or to Helm."""
        session = self._session
        self.chart, release = results.chart.chart, results.chart.release
        deployed = release.deployed if release else None
        session.mark_decrypted()
        progress = replace(
            session.progress,
            version_before=results.versions.data,
            version_after=results.versions.target,
            revision_before=deployed.number if deployed else 0,
            rollback_version=results.versions.deployed,
            had_data=results.versions.had_data,
        )
        # The newest and the deployed one may differ: a failed upgrade leaves a revision behind. What comes
        # after the newest is this deploy's.
        newest = release.newest.number if release and release.newest else 0
        session.record = replace(session.record, progress=progress, newest_revision_before=newest)
        if results.rehearsal.downtime is not None:
            announce_downtime(session.deps, session.record, results.rehearsal.downtime)
        watermark = session.deps.watermarks.read()
        if progress.changes_version:
            before = progress.version_before or "an unknown version"
            reason = f"backup first: {before} → {progress.version_after} may migrate the data"
            session.transition(DeployState.BACKING_UP, reason)
        elif watermark is not None:
            # The pair of the proposal is older: what was written since would be lost with it.
            reason = f"backup first: a restore is proposed since {watermark.version} failed"
            session.transition(DeployState.BACKING_UP, reason)
        else:
            session.transition(DeployState.APPLYING, "all gates passed")

    def take_backup(self) -> RequeueAfter | None:
        """Start the backup or wait for it; once it is sealed the release may be changed."""
        session = self._session
        reference = session.record.backup_reference
        # The reference is saved before anything waits for it, so that a second worker waits for the same
        # backup instead of starting another.
        if not reference:
            reference = session.deps.backups.start(f"deploy {session.progress.key}")
            started = replace(session.record, backup_reference=reference)
            session.save(started.with_log_line(f"backup {reference} started"))
        match session.deps.backups.state(reference):
            case "sealed":
                # The schema that belongs to the backup: what a migration is recognized by later.
                schema = session.deps.database().schema
                reason = f"backup {reference} is sealed"
                session.transition(DeployState.APPLYING, reason, backup=reference, schema_before=schema)
                return None
            case "open":
                return RequeueAfter(POLL_INTERVAL, f"waiting for backup {reference}")
        session.transition(DeployState.FAILED, f"backup {reference} failed; nothing was changed")
        return None


def enter_gating(session: DeploySession) -> None:
    """From the queue to the gates, which is the only way to any end."""
    if session.state is DeployState.QUEUED:
        session.transition(DeployState.GATING, "evaluating gates")


def _closed_gates(results: GateResults) -> list[str]:
    return [gate.name for gate in results.report.gates if not gate.passed]
