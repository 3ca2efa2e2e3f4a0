"""Going back to an earlier revision by hand: between versions only after a restore, and by two people."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import GroundcrewError, Locked, NotFound, Refused, Unavailable
from shared.ports import Lease
from shared.ports_deploy import Outcome, Revision
from shared.ports_notify import Notice, Severity
from shared.state.approvals import Approvals
from shared.state.asking import good_one
from shared.state.audit import Audit
from shared.state.charts import chat_version
from shared.state.gating import revision
from shared.state.logbook import HOLD
from shared.state.shipping import LEASE, Shipping

log = logging.getLogger(__name__)

ACTION = "deploy.rollback"
_HOLD = "deploy/rollback"


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where. `target` is None where nothing was deployed before; `restored` is the backup that
    was restored for it, `schema` Rocket.Chat's migration counter in that backup, None if it is not known."""

    target: Revision | None
    version_now: str
    version_then: str
    restored: str = ""
    schema: int | None = None

    @property
    def crosses(self) -> bool:
        """Whether another version of Rocket.Chat would start on the data."""
        return self.version_now != self.version_then or not self.version_then

    @property
    def arguments(self) -> dict[str, str]:
        """What an approval of it is bound to."""
        return {
            "revision": str(self.target.number if self.target else 0),
            "from": self.version_now,
            "to": self.version_then,
            "restored": self.restored,
        }

    def __str__(self) -> str:
        if self.target is None:
            return f"the data are those of {self.restored}"
        version = self.version_then or "of a version that its image does not tell"
        return f"went back to revision {self.target.number}, Rocket.Chat {version}"


def plan(shipping: Shipping, number: int, restored: str = "") -> Way:
    """What going back would mean. Raises NotFound for a revision or a backup there is not.

    Number 0 starts nothing: it only says that the data were restored, where nothing was deployed before.
    """
    mark = shipping.marks.read()
    now = mark.version if mark else _running(shipping)
    target = revision(shipping, number) if number else None
    if target is None and mark is None:
        raise NotFound("the release has no such revision", value=0, cure="See groundcrew deploy history.")
    then = chat_version(shipping.releases.manifests(number)) if target else ""
    if restored and shipping.backups.state(restored) != "sealed":
        raise Refused("that is no sealed backup", value=restored, cure="See groundcrew backups list.")
    return Way(target, now, then, restored, _schema_of(shipping, restored))


def _running(shipping: Shipping) -> str:
    now = good_one(shipping.releases.history())
    if now is None:
        raise NotFound("nothing is deployed", cure="There is nothing to go back from.")
    return chat_version(shipping.releases.manifests(now.number))


def _schema_of(shipping: Shipping, backup: str) -> int | None:
    """Of the data in a backup that was taken for a deploy, as that deploy noted it."""
    mark = shipping.marks.read()
    if mark is not None and backup and mark.backup == backup:
        return mark.schema
    found = [one.record for one in shipping.deploys.all() if backup and one.record.backup == backup]
    return found[-1].schema_before if found else None


def go(shipping: Shipping, way: Way, *, by: str, say: Callable[[str], None]) -> str:
    """Do it; returns what was done, in a sentence.

    Raises Refused without the restore or the approval that another version needs, naming how to get it, and
    if the release is not any more as it was when the way was planned; Locked if a deploy is at it.
    """
    if way.crosses:
        _restored(shipping, way)
    with shipping.state.lease(shipping.lock, duration=LEASE) as lease:
        _still(shipping, way)
        approver = _agreed(shipping, way, by) if way.crosses else ""
        shipping.holds.put(_HOLD, f"going back by {by}", HOLD, needs_up=True)
        try:
            outcome = _back(shipping, way, lease, say)
            if outcome is None or outcome.succeeded:
                _note(shipping, way, outcome)
        finally:
            shipping.holds.release(_HOLD)
    who = f"by {by}" + (f", approved by {approver}" if approver else "")
    done = outcome is None or outcome.succeeded
    subject = f"revision {way.arguments['revision']}"
    Audit(shipping.state, shipping.clock).append(by, ACTION, subject, "done" if done else "failed")
    if outcome is not None and not outcome.succeeded:
        raise Unavailable("the way back failed", value=outcome.reason, cure="See groundcrew deploy history.")
    told = f"{shipping.policy.release}: {way}"
    try:
        shipping.notifications.tell(Notice(Severity.WARNING, told, who))
    except GroundcrewError as error:
        log.warning("deploy.not_told", extra={"error": str(error)})
    return f"{told}, {who}"


def _restored(shipping: Shipping, way: Way) -> None:
    """Whether the data are really those of the backup, as far as that can be seen."""
    if not way.restored:
        raise Refused(
            f"{way.version_then or 'another version'} is not started on data that {way.version_now} may have "
            "migrated",
            cure="Restore the backup that was taken before, then give it with --restored CLASS/SET.",
        )
    there = shipping.server().schema
    if None not in (there, way.schema) and there != way.schema:
        raise Refused(
            f"the database that MONGODB_URI names is not that of {way.restored}",
            value=f"schema {there} instead of {way.schema}",
            cure="Restore it, and let the chat and MONGODB_URI use it.",
        )


def _still(shipping: Shipping, way: Way) -> None:
    """Nobody deployed since the way was planned, and no deploy is in the middle of it."""
    number = way.target.number if way.target else 0
    if plan(shipping, number, way.restored) != way:
        raise Refused("the release changed meanwhile", cure="Look again: groundcrew deploy history.")
    busy = [one for one in shipping.deploys.open() if one.record.attempts and not one.state.final]
    if busy:
        sha = busy[0].record.sha[:7]
        raise Locked(f"the deploy of {sha} is {busy[0].state.value}", cure="Let it end, then look again.")


def _back(shipping: Shipping, way: Way, lease: Lease, say: Callable[[str], None]) -> Outcome | None:
    """Let Helm go back; None where nothing is to be started."""
    if way.target is None:
        return None

    def tell(line: str) -> None:
        lease.check()
        if line:
            say(line)

    last = shipping.releases.status()
    if last is not None and last.pending:
        shipping.releases.repair()
    return shipping.releases.rollback(way.target.number, timeout=shipping.policy.helm_timeout, say=tell)


def _note(shipping: Shipping, way: Way, outcome: Outcome | None) -> None:
    """What is deployed now is another commit's, and the forge no longer says that the last one is."""
    shipping.marks.clear()
    if way.target is None or outcome is None or outcome.revision is None:
        return
    now = shipping.clock.now()
    for environment in shipping.policy.environments:
        before = shipping.ledger.read(environment)
        if not before.sha:
            continue
        shipping.ledger.went_back(environment, way.target.number, outcome.revision.number, now)
        try:
            for made in shipping.forge.deployments(environment, sha=before.sha):
                if made.state == "success":
                    shipping.forge.set_deployment_status(made.id, "inactive", str(way))
        except GroundcrewError as error:
            log.warning("deploy.not_told", extra={"error": str(error)})


def _agreed(shipping: Shipping, way: Way, by: str) -> str:
    """Who approved it."""
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
