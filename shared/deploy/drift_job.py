"""Drift: once a day the cluster is compared with what was deployed, and people hear who changed what.

A change by hand works until the next deploy undoes it, so its author is notified while they remember; where
policy says so, it is undone the same day.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.deploy.chart.fetch import read_deployed_secrets
from shared.deploy.deps import LEASE_DURATION, DeployDeps
from shared.deploy.diff.drift import Drift, find_drift, hide_values
from shared.deploy.records.drift import DriftCheck, load_drift_check, save_drift_check
from shared.kernel.errors import Locked, NotFound, Refused, Unavailable
from shared.kernel.ports import Lease
from shared.kubernetes.manifest import Manifest
from shared.notifications.ports import Notice, Severity
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

# A message in a chat: who wants more runs the command.
_MAX_LISTED = 20
_OVERDUE = timedelta(hours=25)  # the timer looks once a day
_AUTHOR = "groundcrew"
CORRECTED = "corrected"


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Where the cluster is not as deployed.

    - `revision`: that was compared; 0 if there is no release.
    - `drifts`: the fields that differ.
    - `skipped`: why nothing was compared; empty if it was.
    - `corrected`: how the correction went; empty if none was tried.
    - `unread`: kinds that may not be read, each with the reason.
    - `remaining`: what the correction did not undo.
    """

    revision: int
    drifts: tuple[Drift, ...] = ()
    skipped: str = ""
    corrected: str = ""
    unread: tuple[str, ...] = ()
    remaining: tuple[Drift, ...] = ()

    def lines(self) -> list[str]:
        """One for each field that differs."""
        return [str(drift) for drift in self.drifts]

    @property
    def by_hand(self) -> tuple[Drift, ...]:
        """What somebody changed and applying again undoes."""
        return tuple(drift for drift in self.drifts if drift.by_hand and drift.restorable)


def compare_release(deps: DeployDeps) -> DriftReport:
    """Compare. Changes nothing. Raises `Unavailable`, and `Refused` if nothing at all may be read."""
    newest = deps.releases.status()
    if newest is None:
        return DriftReport(0, skipped="there is no release")
    if newest.status != "deployed":
        # What is live then may be of this revision or of the one before: neither is what should be there.
        reason = f"revision {newest.number} is {newest.status}: not compared"
        return DriftReport(newest.number, skipped=reason)
    deployed, live, unread = _read_live(deps, deps.releases.manifests(newest.number))
    drifts = _find_masked_drift(deps, deployed, live)
    facts = {"revision": newest.number, "drifts": len(drifts), "unread": len(unread)}
    log.info("drift.compared", extra=facts)
    return DriftReport(newest.number, tuple(drifts), unread=unread)


def _find_masked_drift(
    deps: DeployDeps, deployed: Sequence[Manifest], live: Sequence[Manifest | None]
) -> list[Drift]:
    """The drifts without what was encrypted in the repository; without any value where that is not known."""
    namespace = deps.policy.namespace
    drifts = find_drift(deployed, live, namespace=namespace)
    if not drifts:
        return []  # the forge is asked only where there is something to mask
    try:
        secrets = read_deployed_secrets(deps)
    except Unavailable as error:
        log.warning("drift.secrets_unknown", extra={"release": deps.policy.release, "error": str(error)})
        secrets = None
    if secrets is None:
        return [hide_values(drift) for drift in drifts]
    return find_drift(deployed, live, namespace=namespace, secrets=secrets)


def _read_live(
    deps: DeployDeps, manifests: Sequence[Manifest]
) -> tuple[list[Manifest], list[Manifest | None], tuple[str, ...]]:
    """The manifests that can be compared, the live object of each, and the kinds that may not be read."""
    readable: list[Manifest] = []
    live: list[Manifest | None] = []
    refused: dict[str, Refused] = {}
    for manifest in manifests:
        kind = str(manifest.get("kind"))
        if kind in refused:
            continue
        try:
            live += deps.cluster.get_live_objects([manifest])
            readable.append(manifest)
        except Refused as error:
            refused[kind] = error
    if refused and not readable:
        raise next(iter(refused.values()))
    unread = (f"{kind}: {error.value or error.message}" for kind, error in refused.items())
    return readable, live, tuple(unread)


def check_drift(deps: DeployDeps) -> DriftReport:
    """Compare and notify; the same drift is repeated after the time that policy sets."""
    report = compare_release(deps)
    _notify(deps, report)
    return report


def correct_drift(deps: DeployDeps, *, by: str) -> DriftReport:
    """Apply the deployed manifests again, as a new revision. Raises Locked while a deploy is in progress."""
    with deps.state.lease(deps.lease_name, duration=LEASE_DURATION) as lease:
        report = compare_release(deps)
        # Under the lease: a deploy lets it go while it waits, for an approval or for the machine.
        if busy := _busy_reason(deps):
            raise Locked(busy, hint="Wait for it to finish, then try again.")
        return _correct(deps, report, lease, by=by) if report.drifts else report


def _busy_reason(deps: DeployDeps) -> str:
    """Why the release must not be touched now: a deploy is in progress, or a restore is proposed."""
    if deps.watermarks.read() is not None:
        return "a restore is proposed"
    return deps.deploys.busy_reason()


def _correct(deps: DeployDeps, report: DriftReport, lease: Lease, *, by: str) -> DriftReport:
    result = deps.releases.rollback(
        report.revision, timeout=deps.policy.helm_timeout, on_progress=lambda _line: lease.check()
    )
    if result.succeeded and result.revision is not None:
        now, revision = deps.clock.now(), result.revision.number
        # Which one the release is of is not asked: the ledger is per environment, and there is one release.
        for environment in deps.policy.environments:
            version = deps.ledger.read(environment).version
            deps.ledger.record_rollback(environment, report.revision, revision, version, now)
    remaining: tuple[Drift, ...] = ()
    outcome = f"not corrected: {result.reason}"
    if result.succeeded:
        remaining = compare_release(deps).drifts
        outcome = CORRECTED
        if remaining:
            outcome = f"corrected except {len(remaining)} of {len(report.drifts)} fields"
    AuditTrail(deps.state, deps.clock).append(by, "deploy.drift", f"revision {report.revision}", outcome)
    return replace(report, corrected=outcome, remaining=remaining)


def run_daily_check(deps: DeployDeps) -> str:
    """What the timer does; returns it in a sentence. A deploy in progress is left alone."""
    try:
        with deps.state.lease(deps.lease_name, duration=LEASE_DURATION) as lease:
            report = compare_release(deps)
            allowed = deps.policy.correct_drift and not _busy_reason(deps)
            if allowed and report.by_hand and _digest(report.by_hand) != _load_digest(deps):
                report = _correct(deps, report, lease, by=_AUTHOR)
                # What applying did not undo, it will not undo tomorrow either: no revision a day.
                _save_digest(deps, _digest(replace(report, drifts=report.remaining).by_hand))
            _record_check(deps, report)
            _notify(deps, report)
    except Locked:
        return "skipped: a deploy is in progress; next check tomorrow"
    fields = f"revision {report.revision}: {len(report.drifts)} fields differ from what was deployed"
    parts = [report.skipped or fields, report.corrected, *(f"not compared: {kind}" for kind in report.unread)]
    return "; ".join(filter(None, parts))


def run_overdue_check(deps: DeployDeps) -> str:
    """What `catch_up` does: a daily check that was missed, or that never was."""
    last = load_drift_check(deps.state, deps.policy.namespace, deps.policy.release)
    if last is not None and deps.clock.now() - last.at < _OVERDUE:
        return "nothing to do: last check less than a day ago"
    return run_daily_check(deps)


def _record_check(deps: DeployDeps, report: DriftReport) -> None:
    drifts = report.remaining if report.corrected.startswith(CORRECTED) else report.drifts
    # Objects, not fields: what somebody has to look at.
    objects = None if report.skipped else len({str(drift.subject) for drift in drifts})
    check = DriftCheck(deps.clock.now(), objects, report.skipped, report.unread)
    save_drift_check(deps.state, deps.policy.namespace, deps.policy.release, check)


def _digest(drifts: Sequence[Drift]) -> str:
    return hashlib.sha256("\n".join(map(str, drifts)).encode()).hexdigest()[:16]


def _digest_blob(deps: DeployDeps) -> str:
    return f"deploys/drift/{deps.policy.namespace}-{deps.policy.release}"


def _load_digest(deps: DeployDeps) -> str:
    """The digest of what the last correction did not undo; empty if there was none."""
    try:
        return deps.state.read(_digest_blob(deps))[0].decode()
    except NotFound:
        return ""


def _save_digest(deps: DeployDeps, digest: str) -> None:
    deps.state.replace(_digest_blob(deps), digest.encode(), etag=None)


def _notify(deps: DeployDeps, report: DriftReport) -> None:
    release = deps.policy.release
    if report.corrected.startswith(CORRECTED):
        deps.notifications.notify(_corrected_notice(release, report))
    elif report.drifts:
        deps.notifications.notify(_drift_notice(release, report))
    if report.unread:
        deps.notifications.notify(_unread_notice(release, report.unread))


def _drift_notice(release: str, report: DriftReport) -> Notice:
    lines = report.lines()
    return Notice(
        Severity.WARNING,
        f"{release} drifted: {len(lines)} fields differ from what was deployed",
        "\n".join(filter(None, [_list_lines(lines), report.corrected])),
        "Commit the change to the repository, or undo it: groundcrew deploy drift --correct",
        key=f"drift/{_digest(report.drifts)}",
        again=True,
    )


def _corrected_notice(release: str, report: DriftReport) -> Notice:
    """Each time, since each time it is somebody's change that is undone."""
    # By the place: the time at which a field was changed may be another after the correction.
    remaining = {(drift.subject, drift.path) for drift in report.remaining}
    undone = [str(drift) for drift in report.drifts if (drift.subject, drift.path) not in remaining]
    parts = [_list_lines(undone)]
    if remaining:
        lines = _list_lines([str(drift) for drift in report.remaining])
        parts.append(f"Not undone, since applying does not remove what it does not know:\n{lines}")
    return Notice(
        Severity.WARNING,
        f"{release} was changed by hand: {len(undone)} fields were undone",
        "\n".join(parts),
        "Commit what is still needed to the repository",
    )


def _unread_notice(release: str, unread: Sequence[str]) -> Notice:
    return Notice(
        Severity.WARNING,
        f"{release}: {len(unread)} kinds cannot be compared with what was deployed",
        _list_lines(unread),
        "Add the verb get for them to infra/chart/rbac.yaml, and apply it",
        key="drift/unread",
    )


def _list_lines(lines: Sequence[str]) -> str:
    more = len(lines) - _MAX_LISTED
    return "\n".join([*lines[:_MAX_LISTED], *([f"and {more} more"] if more > 0 else [])])
