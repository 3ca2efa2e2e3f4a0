"""A restore that two people ask the app for: into a server that policy names, never into production (ADR 19).

The server is empty before. A marker says what the restore may drop again if it breaks off, so that a worker
may be killed at any step and the restore asked for anew; it goes when the restore ends, and the data stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.backup import verify
from shared.backup.catalogue import SetCatalogue
from shared.backup.sets import format_set_id
from shared.formats.agekeys import Identity
from shared.formats.manifest import VerifiedManifest
from shared.kernel.errors import NotFound, UsageError
from shared.kernel.ports import Blobs, Clock, Reporter
from shared.mongodb.model import Namespace, Timestamp
from shared.mongodb.ports import ScratchServer
from shared.pitr.catalogue import SliceCatalogue
from shared.pitr.moment import format_moment
from shared.pitr.tail import OplogTail
from shared.records.holds import Holds
from shared.restore.deps import RestoreDeps
from shared.restore.drill.decide import (
    check_empty,
    check_not_production,
    find_first_problem,
    list_databases,
)
from shared.restore.drill.scratch import ScratchClaim
from shared.restore.erasure_ledger import ErasureLedger
from shared.restore.job import restore_set
from shared.restore.model import RestoreResult

log = logging.getLogger(__name__)

# Another than the drill's: neither may ever drop what the other one restored.
MARKER = Namespace("groundcrew_restore", "marker")
_HINT = "Drop them if they are nobody's, or restore into another server that policy names."
_OTHER = "Set GROUNDCREW_RESTORE_TARGETS to a MongoDB of its own."
_LEASE = timedelta(seconds=60)


@dataclass(frozen=True)
class RequestedRestoreDeps:
    """What it needs of the outside.

    - `name`: how policy calls the target. `addresses`: `host:port` as its URI names it.
    - `production`: `host:port` of production, as its URI and, if it answers, its members name it.
    - `others`: `host:port` of servers that are somebody else's, as that of the drills.
    """

    name: str
    connect: Callable[[], ScratchServer]
    addresses: Sequence[str]
    production: Callable[[], Sequence[str]]
    others: Sequence[str]
    catalogue: SetCatalogue
    state: Blobs
    clock: Clock
    identities: Sequence[Identity]
    jobs: int = 2

    @property
    def holds(self) -> Holds:
        """What keeps the machine up meanwhile."""
        return Holds(self.state, self.clock)


@dataclass(frozen=True)
class RequestedRestore:
    """What would be restored: a set whose manifest was verified, and the oplog up to a moment."""

    verified: VerifiedManifest
    hosts: tuple[str, ...]  # of the target, as it names itself
    tail: OplogTail | None = None

    @property
    def reference(self) -> str:
        """`class/id` of the set."""
        return f"{self.verified.manifest.klass}/{self.verified.manifest.set}"

    def describe_binding(self, name: str) -> str:
        """All that an approval is bound to: if any of it changes, the approval is over."""
        until = f" until {self.tail.plan.until}" if self.tail else ""
        return f"{self.reference} {self.verified.sha256}{until} into {name} at {', '.join(self.hosts)}"


def plan_requested_restore(
    deps: RequestedRestoreDeps, reference: str, until: Timestamp | None
) -> RequestedRestore:
    """What would be done now. Changes nothing.

    Raises NotFound for no backup, Refused for a server that is production or holds anything, UsageError
    without a key, Corrupt if the key does not fit, Unavailable.
    """
    if not deps.identities:
        raise UsageError("no key to decrypt with", hint="Set GROUNDCREW_DRILL_KEY.")
    subject, tail = _find_subject(deps, reference, until)
    server = deps.connect()
    try:
        hosts = server.list_hosts()
        _check_target(deps, subject, hosts)
        existing = server.list_namespaces()
        # What a restore of ours left is dropped when it is done anew.
        if not any(n.name == MARKER.name for n in existing):
            check_empty(existing, hosts, what=deps.name, hint=_HINT)
    finally:
        server.close()
    # Before anybody is asked to approve what cannot be decrypted here.
    verify.verify_key(deps.catalogue.blobs, subject.manifest, subject.manifest.parts, deps.identities)
    if tail is not None:
        tail.check_key()
    return RequestedRestore(subject, tuple(hosts), tail)


def _find_subject(
    deps: RequestedRestoreDeps, reference: str, until: Timestamp | None
) -> tuple[VerifiedManifest, OplogTail | None]:
    plan = SliceCatalogue(deps.catalogue).plan(until, reference) if until is not None else None
    entry = deps.catalogue.find(plan.base.reference if plan else reference)
    if entry.verified is None:
        where = f"{entry.info.folder} is {entry.state}"
        raise NotFound(f"{where}: it is not a backup", value=entry.problem or None)
    return entry.verified, OplogTail(deps.catalogue.blobs, plan, deps.identities) if plan else None


def _check_target(deps: RequestedRestoreDeps, subject: VerifiedManifest, hosts: Sequence[str]) -> None:
    """Raises Refused if it is production by any of its names, or a server of the drills."""
    own = [*deps.addresses, *hosts]
    check_not_production(
        own, [*deps.production(), *subject.manifest.source.hosts], what=deps.name, hint=_OTHER
    )
    check_not_production(own, deps.others, what=deps.name, whose="the MongoDB of the drills", hint=_OTHER)


def run_requested_restore(deps: RequestedRestoreDeps, planned: RequestedRestore, reporter: Reporter) -> str:
    """Do it; what was done, in a sentence.

    Raises what keeps it from beginning, Locked among it, and a failure of the outside systems. Differences
    from the backup are in the sentence.
    """
    manifest = planned.verified.manifest
    with deps.state.lease(f"locks/restores/{deps.name}", duration=_LEASE) as lease:
        server = deps.connect()
        try:
            # Again, and of this connection: what was looked at before may be another server by now.
            _check_target(deps, planned.verified, server.list_hosts())
            claim = ScratchClaim(server, MARKER)
            if dropped := claim.clear():
                reporter.note(f"dropped what an earlier restore left: {', '.join(dropped)}")
            claim.take(format_set_id(deps.clock.now()), list_databases(manifest))
            lease.check()
            log.info("restore.requested_begun", extra={"set": planned.reference, "target": deps.name})
            result = _restore(deps, planned, server, reporter)
            lease.check()
            claim.release()
        finally:
            server.close()
    return _describe(planned, deps.name, result)


def _restore(
    deps: RequestedRestoreDeps, planned: RequestedRestore, server: ScratchServer, reporter: Reporter
) -> RestoreResult:
    # Users stay in the backup: their passwords would open a server that is only to be looked at.
    restore = RestoreDeps(
        deps.catalogue, server, deps.identities, reporter, deps.clock,
        holds=deps.holds, jobs=deps.jobs, writes_users=False, tail=planned.tail,
        # What was erased on purpose is not to be looked at either.
        erasures=ErasureLedger(deps.state, deps.catalogue.trusted).read_for_restore,
    )  # fmt: skip
    # The server holds the marker only, which `into_non_empty` lets pass.
    return restore_set(restore, planned.reference, into_non_empty=True)


def _describe(planned: RequestedRestore, name: str, result: RestoreResult) -> str:
    what = planned.reference
    if planned.tail is not None:
        what = f"{what} until {format_moment(planned.tail.plan.until)}"
    if problem := find_first_problem(result, {}):
        return f"restored {what} into {name}, but it is NOT what was backed up: {problem}"
    compared = [one for one in result.verdicts if one.basis == "compared"]
    documents = sum(one.documents for one in compared)
    log.info("restore.requested_ended", extra={"set": planned.reference, "target": name})
    erased = f"; {result.erased.describe()}" if result.erased.entries else ""
    return (
        f"restored {what} into {name}: {len(compared)} namespaces, {documents} documents, all equal{erased}"
    )
