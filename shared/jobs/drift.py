"""Drift: once a day the cluster is compared with what was deployed, and people hear who changed what.

A change by hand works until the next deploy takes it back, so it is told while its author remembers.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from shared.core.deploy_drift import Drift, drift
from shared.errors import Locked
from shared.ports_notify import Notice, Severity
from shared.state.audit import Audit
from shared.state.shipping import LEASE, Shipping

log = logging.getLogger(__name__)

_MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Found:
    """What is not as deployed. `revision` 0: there is no release; `skipped` says why nobody looked."""

    revision: int
    drifts: tuple[Drift, ...] = ()
    skipped: str = ""
    corrected: str = ""

    def lines(self) -> list[str]:
        """One for each field that differs."""
        return [str(one) for one in self.drifts]


def look(shipping: Shipping) -> Found:
    """Compare. Changes nothing. Raises `Unavailable`."""
    newest = shipping.releases.status()
    if newest is None:
        return Found(0, skipped="there is no release")
    if newest.pending:
        return Found(newest.number, skipped=f"revision {newest.number} is {newest.status}")
    deployed = shipping.releases.manifests(newest.number)
    live = shipping.cluster.live(deployed)
    found = drift(deployed, live, namespace=shipping.policy.namespace)
    log.info("drift.looked", extra={"revision": newest.number, "drifts": len(found)})
    return Found(newest.number, tuple(found))


def check(shipping: Shipping) -> Found:
    """Compare and tell; the same drift is told again after the time that policy sets."""
    found = look(shipping)
    if found.drifts:
        shipping.notifications.tell(_notice(shipping, found))
    return found


def correct(shipping: Shipping, *, by: str) -> Found:
    """Apply the deployed manifests again, as a new revision. Raises Locked if a deploy is at it."""
    with shipping.state.lease(shipping.lock, duration=LEASE):
        found = look(shipping)
        if not found.drifts:
            return found
        outcome = shipping.releases.rollback(
            found.revision, timeout=shipping.policy.helm_timeout, say=lambda _line: None
        )
    word = "corrected" if outcome.succeeded else f"not corrected: {outcome.reason}"
    Audit(shipping.state, shipping.clock).append(by, "deploy.drift", f"revision {found.revision}", word)
    return Found(found.revision, found.drifts, corrected=word)


def daily(shipping: Shipping) -> str:
    """What the timer does; returns it in a sentence. A deploy under way is left alone."""
    try:
        with shipping.state.lease(shipping.lock, duration=LEASE):
            found = check(shipping)
    except Locked:
        return "a deploy is at it: looked tomorrow"
    return found.skipped or f"revision {found.revision}: {len(found.drifts)} fields are not as deployed"


def _notice(shipping: Shipping, found: Found) -> Notice:
    lines = found.lines()
    rest = len(lines) - _MOST_TOLD
    text = "\n".join([*lines[:_MOST_TOLD], *([f"and {rest} more"] if rest > 0 else [])])
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return Notice(
        Severity.WARNING,
        f"{shipping.policy.release} is not as deployed: {len(lines)} fields",
        text,
        "Bring it into the repository, or take it back: groundcrew deploy drift --correct",
        key=f"drift/{digest}",
        again=True,
    )
