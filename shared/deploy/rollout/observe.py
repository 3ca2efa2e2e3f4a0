"""Observes the release that a deploy changes: its newest revision, the data's schema, pods and workloads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.deploy.ports.releases import Revision
from shared.deploy.progress import ObservedRelease
from shared.deploy.rollout.session import DeploySession
from shared.deploy.state_machine import may_roll_back
from shared.kernel.errors import GroundcrewError, Unavailable
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import describe_unhealthy, select_of_release

log = logging.getLogger(__name__)

SCHEMA_UNKNOWN_AFTER = timedelta(minutes=15)  # how long the database may be away before its schema is unknown
# Kubernetes and Helm write whole seconds, and not by the clock of this process.
_CLOCK_SKEW = timedelta(seconds=1)
_HELM_START_WINDOW = timedelta(minutes=2)  # how soon after its start Helm writes the new revision


class ReleaseObserver:
    """What one session sees of its release."""

    def __init__(self, session: DeploySession) -> None:
        self._session = session
        self._applied: tuple[int, Sequence[Manifest]] = (0, ())  # a revision, and what Helm applied for it

    def observe(self) -> ObservedRelease:
        """The release as it is now.

        A revision that was there before the deploy, whatever became of it, counts as the deploy's start: the
        last deployed one. Raises what the ports raise; `Unavailable` also while the schema cannot be read.
        """
        record, newest = self._session.record, self._session.deps.releases.status()
        if newest is None:
            return ObservedRelease()
        # A pending one is never "unchanged", whatever its number: somebody is at work on it, or was killed at
        # it.
        if newest.number <= record.newest_revision_before and not newest.pending:
            return self._observe_unchanged(newest)
        observed = ObservedRelease(
            newest.number, newest.status, newest.description, external=self._is_external(newest)
        )
        # The two observations below cost a query of MongoDB and of the cluster, and only decide whether a
        # migration may have run: within one version none does.
        if not record.progress.changes_version:
            return observed
        return replace(
            observed, schema=self._read_schema(), new_version_started=self._has_new_version_started()
        )

    def _observe_unchanged(self, newest: Revision) -> ObservedRelease:
        """The release where no revision was written since the deploy began."""
        record = self._session.record
        observed = ObservedRelease(record.progress.revision_before, "deployed")
        # Nothing was ever started, or the old version may be started again anyway: no proof is needed.
        if may_roll_back(record.progress) or record.first_applied_at is None:
            return observed
        untouched = self._are_pods_older(newest, record.first_applied_at)
        return replace(observed, schema=self._read_schema(), untouched=untouched)

    def _are_pods_older(self, newest: Revision, first_applied_at: datetime) -> bool:
        """Whether the release's pods have been running since before Helm was first started, with no trace of
        the new version: Helm writes a revision before it applies anything, but somebody may delete one."""
        manifests, cluster = self._session.deps.releases.manifests(newest.number), self._session.deps.cluster
        workloads, pods = select_of_release(manifests, cluster.list_workloads(), cluster.list_pods())
        images = [image for workload in workloads for image in workload.images]
        images += [image for pod in pods for image in pod.images]
        progress = self._session.progress
        if progress.changes_version and any(f":{progress.version_after}" in image for image in images):
            return False
        older = all(pod.created and pod.created < first_applied_at - _CLOCK_SKEW for pod in pods)
        # Of no pods at all every pod is older: that proves nothing.
        return older and any(pod.started for pod in pods)

    def _is_external(self, newest: Revision) -> bool:
        """Whether another client's operation is in progress: not ours, and not older than any may take."""
        # Without a time it cannot be said whether it hangs; it is then taken for a leftover, which is
        # repaired.
        if not newest.pending or newest.at is None:
            return False
        applied_at, deps = self._session.record.applied_at, self._session.deps
        is_own = (
            applied_at is not None
            and applied_at - _CLOCK_SKEW <= newest.at <= applied_at + _HELM_START_WINDOW
        )
        # Hooks before and after, the wait, the rollback: each may take the timeout.
        return not is_own and deps.clock.now() - newest.at < 4 * deps.policy.helm_timeout

    def _read_schema(self) -> int | None:
        """Of the data; None if it is unknown. Raises Unavailable at first: it may only take a moment."""
        session = self._session
        try:
            schema = session.deps.database().schema
        except GroundcrewError as error:
            now = session.deps.clock.now()
            since = session.record.schema_unknown_since or now
            session.record = replace(session.record, schema_unknown_since=since)  # written with the next save
            # A database that is starting anew is the common case in the middle of a deploy.
            if isinstance(error, Unavailable) and now - since < SCHEMA_UNKNOWN_AFTER:
                raise
            facts = {"deploy": session.progress.key, "error": str(error)}
            log.warning("deploy.schema_unreadable", extra=facts)
            return None
        session.record = replace(session.record, schema_unknown_since=None)
        return schema

    def _has_new_version_started(self) -> bool | None:
        """Whether a pod of the new version ever ran; None if there is no pod of it."""
        tag = f":{self._session.progress.version_after}"
        pods = [
            pod for pod in self._session.deps.cluster.list_pods() if any(tag in image for image in pod.images)
        ]
        # One that ran is enough: a migration runs in the first pod that starts.
        return any(pod.started for pod in pods) if pods else None

    def unhealthy_workloads(self, revision: int) -> list[str]:
        """What of that revision is not healthy, one sentence each; other releases' workloads do not count."""
        # The manifests of a revision never change, and they are asked for on each poll.
        if self._applied[0] != revision:
            self._applied = revision, self._session.deps.releases.manifests(revision)
        cluster = self._session.deps.cluster
        return describe_unhealthy(
            *select_of_release(self._applied[1], cluster.list_workloads(), cluster.list_pods())
        )
