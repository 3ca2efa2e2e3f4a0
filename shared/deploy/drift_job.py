"""Drift: once a day the cluster is compared with what was deployed, and people hear who changed what.

A change by hand works until the next deploy takes it back, so it is told while its author remembers; where
policy wants it, it is taken back the same day.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.deploy.deps import LEASE_DURATION, DeployDeps
from shared.deploy.diff.drift import Drift, find_drift
from shared.kernel.errors import Locked, NotFound, Refused
from shared.kernel.ports import Lease
from shared.kubernetes.manifest import Manifest
from shared.notifications.ports import Notice, Severity
from shared.records.audit import AuditTrail

log = logging.getLogger(__name__)

_MOST_TOLD = 20
_OWNER = "groundcrew"
CORRECTED = "corrected"


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What is not as deployed. `revision` 0: there is no release; `skipped` says why nobody looked; `unread`
    are kinds that may not be read, with the reason; `left` is what a correction did not take back."""

    revision: int
    drifts: tuple[Drift, ...] = ()
    skipped: str = ""
    corrected: str = ""
    unread: tuple[str, ...] = ()
    left: tuple[Drift, ...] = ()

    def lines(self) -> list[str]:
        """One for each field that differs."""
        return [str(one) for one in self.drifts]

    @property
    def by_hand(self) -> tuple[Drift, ...]:
        """What somebody changed and applying again takes back."""
        return tuple(one for one in self.drifts if one.by_hand and one.restorable)


def compare_release(deps: DeployDeps) -> DriftReport:
    """Compare. Changes nothing. Raises `Unavailable`, and `Refused` if nothing at all may be read."""
    newest = deps.releases.status()
    if newest is None:
        return DriftReport(0, skipped="there is no release")
    if newest.status != "deployed":
        # What is live then may be of this revision or of the one before: neither is what should be there.
        return DriftReport(
            newest.number, skipped=f"revision {newest.number} is {newest.status}: not compared"
        )
    deployed, live, unread = _live(deps, deps.releases.manifests(newest.number))
    found = find_drift(deployed, live, namespace=deps.policy.namespace)
    log.info("drift.looked", extra={"revision": newest.number, "drifts": len(found), "unread": len(unread)})
    return DriftReport(newest.number, tuple(found), unread=unread)


def _live(
    deps: DeployDeps, manifests: Sequence[Manifest]
) -> tuple[list[Manifest], list[Manifest | None], tuple[str, ...]]:
    """The manifests that can be compared, the live object behind each, and the kinds that may not be read."""
    readable: list[Manifest] = []
    live: list[Manifest | None] = []
    refused: dict[str, Refused] = {}
    for manifest in manifests:
        kind = str(manifest.get("kind"))
        if kind in refused:
            continue
        try:
            live += deps.cluster.live([manifest])
            readable.append(manifest)
        except Refused as error:
            refused[kind] = error
    if refused and not readable:
        raise next(iter(refused.values()))
    unread = (f"{kind}: {error.value or error.message}" for kind, error in refused.items())
    return readable, live, tuple(unread)


def check_drift(deps: DeployDeps) -> DriftReport:
    """Compare and tell; the same drift is told again after the time that policy sets."""
    found = compare_release(deps)
    _tell(deps, found)
    return found


def correct_drift(deps: DeployDeps, *, by: str) -> DriftReport:
    """Apply the deployed manifests again, as a new revision. Raises Locked if a deploy is at it."""
    with deps.state.lease(deps.lease_name, duration=LEASE_DURATION) as lease:
        found = compare_release(deps)
        if busy := _busy(deps):
            raise Locked(busy, hint="Let it end, then look again.")
        return _corrected(deps, found, lease, by=by) if found.drifts else found


def _busy(deps: DeployDeps) -> str:
    """Why the release is not to be touched now: a deploy is at it, or a restore is to be decided about."""
    if deps.watermarks.read() is not None:
        return "a restore is proposed"
    return deps.deploys.busy_reason()


def _corrected(deps: DeployDeps, found: DriftReport, lease: Lease, *, by: str) -> DriftReport:
    outcome = deps.releases.rollback(
        found.revision, timeout=deps.policy.helm_timeout, on_progress=lambda _line: lease.check()
    )
    if outcome.succeeded and outcome.revision is not None:
        now, made = deps.clock.now(), outcome.revision.number
        for environment in deps.policy.environments:
            version = deps.ledger.read(environment).version
            deps.ledger.record_rollback(environment, found.revision, made, version, now)
    left: tuple[Drift, ...] = ()
    word = f"not corrected: {outcome.reason}"
    if outcome.succeeded:
        left = compare_release(deps).drifts
        word = f"corrected, but for {len(left)} of {len(found.drifts)} fields" if left else CORRECTED
    AuditTrail(deps.state, deps.clock).append(by, "deploy.drift", f"revision {found.revision}", word)
    return replace(found, corrected=word, left=left)


def run_daily_check(deps: DeployDeps) -> str:
    """What the timer does; returns it in a sentence. A deploy under way is left alone."""
    try:
        with deps.state.lease(deps.lease_name, duration=LEASE_DURATION) as lease:
            found = compare_release(deps)
            may = deps.policy.correct_drift and not _busy(deps)
            if may and found.by_hand and _digest(found.by_hand) != _kept(deps):
                found = _corrected(deps, found, lease, by=_OWNER)
                # What applying did not take back, it will not take back tomorrow either: no revision a day.
                _keep(deps, _digest(replace(found, drifts=found.left).by_hand))
            _tell(deps, found)
    except Locked:
        return "a deploy is at it: looked tomorrow"
    fields = f"revision {found.revision}: {len(found.drifts)} fields are not as deployed"
    said = [found.skipped or fields, found.corrected, *(f"not compared: {one}" for one in found.unread)]
    return "; ".join(filter(None, said))


def _digest(drifts: Sequence[Drift]) -> str:
    return hashlib.sha256("\n".join(map(str, drifts)).encode()).hexdigest()[:16]


def _place(deps: DeployDeps) -> str:
    return f"deploys/drift/{deps.policy.namespace}-{deps.policy.release}"


def _kept(deps: DeployDeps) -> str:
    """The digest of what the last correction left."""
    try:
        return deps.state.read(_place(deps))[0].decode()
    except NotFound:
        return ""


def _keep(deps: DeployDeps, digest: str) -> None:
    deps.state.replace(_place(deps), digest.encode(), etag=None)


def _tell(deps: DeployDeps, found: DriftReport) -> None:
    release = deps.policy.release
    if found.corrected.startswith(CORRECTED):
        deps.notifications.notify(_taken_back(release, found))
    elif found.drifts:
        deps.notifications.notify(_differs(release, found))
    if found.unread:
        deps.notifications.notify(_not_compared(release, found.unread))


def _differs(release: str, found: DriftReport) -> Notice:
    lines = found.lines()
    hint = "Bring it into the repository, or take it back: groundcrew deploy drift --correct"
    return Notice(
        Severity.WARNING,
        f"{release} is not as deployed: {len(lines)} fields",
        "\n".join(filter(None, [_cut(lines), found.corrected])),
        hint,
        key=f"drift/{_digest(found.drifts)}",
        again=True,
    )


def _taken_back(release: str, found: DriftReport) -> Notice:
    """Each time, since each time it is somebody's change that is gone."""
    left = [str(one) for one in found.left]
    # By the place: the time at which a field was changed may be another after the correction.
    places = {(one.subject, one.path) for one in found.left}
    back = [str(one) for one in found.drifts if (one.subject, one.path) not in places]
    rest = (
        [f"Not taken back, since applying removes nothing that it does not know:\n{_cut(left)}"]
        if left
        else []
    )
    hint = "Bring what is still wanted into the repository"
    title = f"{release} was changed by hand: {len(back)} fields were taken back"
    return Notice(Severity.WARNING, title, "\n".join([_cut(back), *rest]), hint)


def _not_compared(release: str, unread: Sequence[str]) -> Notice:
    return Notice(
        Severity.WARNING,
        f"{release}: {len(unread)} kinds cannot be compared with what was deployed",
        _cut(unread),
        "Add the verb get for them to infra/chart/rbac.yaml, and apply it",
        key="drift/unread",
    )


def _cut(lines: Sequence[str]) -> str:
    rest = len(lines) - _MOST_TOLD
    return "\n".join([*lines[:_MOST_TOLD], *([f"and {rest} more"] if rest > 0 else [])])
