"""Going back to an earlier revision by hand: between versions only after a restore, and by two people."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import NotFound, Refused, Unavailable
from shared.ports_deploy import Revision
from shared.ports_notify import Notice, Severity
from shared.state.approvals import Approvals
from shared.state.audit import Audit
from shared.state.charts import chat_version
from shared.state.gating import good_one, revision
from shared.state.shipping import LEASE, Shipping

log = logging.getLogger(__name__)

ACTION = "deploy.rollback"


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where. `restored` is the backup that was restored for it."""

    target: Revision
    version_now: str
    version_then: str
    restored: str = ""

    @property
    def crosses(self) -> bool:
        """Whether another version of Rocket.Chat would start on the data."""
        return self.version_now != self.version_then

    @property
    def arguments(self) -> dict[str, str]:
        """What an approval of it is bound to."""
        return {
            "revision": str(self.target.number),
            "from": self.version_now,
            "to": self.version_then,
            "restored": self.restored,
        }


def plan(shipping: Shipping, number: int, restored: str = "") -> Way:
    """What going back would mean. Raises NotFound for a revision there is not."""
    target = revision(shipping, number)
    now = good_one(shipping.releases.history())
    if now is None:
        raise NotFound("nothing is deployed", cure="There is nothing to go back from.")
    versions = [
        chat_version(shipping.releases.manifests(one.number)) or one.app_version for one in (now, target)
    ]
    return Way(target, versions[0], versions[1], restored)


def go(shipping: Shipping, way: Way, *, by: str, say: Callable[[str], None]) -> str:
    """Do it; returns what was done, in a sentence.

    Raises Refused without the restore or the approval that another version needs, naming how to get it;
    Locked if a deploy is at it.
    """
    approver = _agreed(shipping, way, by) if way.crosses else ""
    with shipping.state.lease(shipping.lock, duration=LEASE):
        last = shipping.releases.status()
        if last is not None and last.pending:
            shipping.releases.repair()
        outcome = shipping.releases.rollback(way.target.number, timeout=shipping.policy.helm_timeout, say=say)
    told = (
        f"{shipping.policy.release} went back to revision {way.target.number}, Rocket.Chat {way.version_then}"
    )
    who = f"by {by}" + (f", approved by {approver}" if approver else "")
    Audit(shipping.state, shipping.clock).append(
        by, ACTION, f"revision {way.target.number}", "done" if outcome.succeeded else "failed"
    )
    if not outcome.succeeded:
        raise Unavailable("the way back failed", value=outcome.reason, cure="See groundcrew deploy status.")
    try:
        shipping.notifications.tell(Notice(Severity.WARNING, told, who))
    except Unavailable as error:
        log.warning("deploy.not_told", extra={"error": str(error)})
    return f"{told}, {who}"


def _agreed(shipping: Shipping, way: Way, by: str) -> str:
    """Who approved it."""
    if not way.restored:
        raise Refused(
            f"{way.version_then} is not started on data that {way.version_now} may have migrated",
            cure="Restore the backup that was taken before, then give it with --restored CLASS/SET.",
        )
    approvals = Approvals(shipping.state, shipping.clock)
    found = approvals.use(ACTION, way.arguments)
    if found is not None:
        return found.approver
    lasting = shipping.policy.approval_timeout
    asked = approvals.request(ACTION, way.arguments, by=by, lasting=lasting)
    raise Refused(
        f"going back from {way.version_now} to {way.version_then} needs the approval of another person",
        value=asked.id,
        cure=f"Let them run: groundcrew deploy approve {asked.id}",
    )
