"""The restore drill: restore the newest good set into an empty scratch MongoDB, compare, sign what came out.

It may be killed at any step: the lease ends, and the next drill drops what this one left on the scratch
server. A drill that never got to the set (no key, no server) proves nothing and leaves no proof; one that
broke off leaves a proof that says so.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from shared.backup.proofs import DrillRecords, read_drill_records
from shared.formats.proofs import DrillProof
from shared.kernel.errors import GroundcrewError, Unavailable, UsageError
from shared.kernel.ports import Reporter
from shared.mongodb.model import Timestamp
from shared.restore.drill.cluster.scratch import check_scratch_cluster
from shared.restore.drill.decide import (
    MARKER,
    DrillDecision,
    check_empty,
    check_not_production,
    decide_drill,
)
from shared.restore.drill.deps import DrillDeps
from shared.restore.drill.follow_up import follow_up
from shared.restore.drill.notices import not_run_notice, send_notice
from shared.restore.drill.run import (
    HOLD,
    HOLD_TEXT,
    WAKE,
    describe_drill,
    run_in_cluster,
    run_on_server,
)
from shared.restore.drill.watch import DrillWatch

log = logging.getLogger(__name__)

GRACE = timedelta(hours=4)  # what catch_up leaves to the timer
# Renewed while the drill runs; a killed one is taken over after a minute.
_LEASE = timedelta(seconds=60)


def run_weekly(deps: DrillDeps, reporter: Reporter, *, grace: timedelta = timedelta()) -> str:
    """Run a drill if one is due; what was done, in a sentence. Level-triggered: a missed one is made up."""
    decision = preview_drill(deps, grace=grace)
    log.info("drill.decided", extra={"due": decision.due, "reason": decision.reason})
    if not decision.due:
        return f"nothing to do: {decision.reason}"
    if waiting := _wait_for_machine(deps):
        return waiting
    try:
        return describe_drill(run_drill(deps, reporter))
    # A key or a server that is not set: the doctor and the log say so, and no message each week helps.
    except UsageError:
        raise
    except GroundcrewError as error:
        send_notice(deps.notifications, not_run_notice(error))
        raise


def run_overdue(deps: DrillDeps, reporter: Reporter) -> str:
    """What `catch_up` does: a drill that the timer missed, or that waited for the machine to be up."""
    # The timer's turn was used up by waiting: with the grace the machine would stay up for four hours for
    # nothing.
    waited = any(hold.what == HOLD_TEXT for hold in deps.holds.list_in_force())
    return run_weekly(deps, reporter, grace=timedelta() if waited else GRACE)


def preview_drill(deps: DrillDeps, *, grace: timedelta = timedelta()) -> DrillDecision:
    """Whether a drill is due now, and why (not). Changes nothing."""
    newest = deps.catalogue.newest_good()
    reference = newest.info.reference if newest else None
    records = read_records(deps)
    return decide_drill(records.proofs, reference, deps.clock.now() - grace, deps.policy.every)


def read_records(deps: DrillDeps) -> DrillRecords:
    """All drills on record."""
    return read_drill_records(deps.state, deps.catalogue.trusted, deps.clock)


def check_scratch(deps: DrillDeps) -> str:
    """What health and the doctor ask: whether the scratch MongoDB answers, is empty, and is not production.

    Changes nothing. Raises Refused, Unavailable.
    """
    if deps.cluster is not None:
        return check_scratch_cluster(deps.cluster)
    server = deps.connect()
    try:
        hosts = server.list_hosts()
        check_not_production([*deps.addresses, *hosts], deps.production())
        namespaces = server.list_namespaces()
        if any(one.name == MARKER.name for one in namespaces):
            # A drill's own copy is no fault: it runs, or was killed, and the next one drops it.
            return f"{', '.join(hosts)} answers and holds a drill's copy"
        check_empty(namespaces, hosts)
        return f"{', '.join(hosts)} answers and is empty"
    finally:
        server.close()


def run_drill(
    deps: DrillDeps, reporter: Reporter, reference: str = "latest", until: Timestamp | None = None
) -> DrillProof:
    """Restore a set, or a moment, into the scratch MongoDB and sign the outcome, whatever it is.

    Of `latest` in turn the set itself and a random moment between the last two sets.

    Raises what keeps it from beginning: Locked if another runs, Refused for a server that is not empty or is
    production, UsageError without a key, Unavailable, NotFound without a good set.
    """
    with deps.state.lease("locks/drill", duration=_LEASE) as lease:
        if not deps.identities:
            raise UsageError("no key to decrypt with", hint="Set GROUNDCREW_DRILL_KEY.")
        watch = DrillWatch(deps.clock, lease, reporter)
        if deps.cluster is None:
            proof = run_on_server(deps, lease, watch, reference, until)
        else:
            proof = run_in_cluster(deps, deps.cluster, lease, watch, reference, until)
    follow_up(deps, proof)
    return proof


def _wait_for_machine(deps: DrillDeps) -> str:
    """While the machine is off on purpose and the drill's MongoDB with it: have it started, or skip."""
    offline = deps.offline_reason()
    if not offline:
        return ""
    try:
        deps.probe_target()
    # Asked even while the machine is off: the scratch server may run on another one.
    except Unavailable:
        if deps.policy.when_vm_off == "skip":
            return f"skipped: {offline}"
        deps.holds.add_hold(HOLD, HOLD_TEXT, WAKE, needs_up=True)
        log.info("drill.machine_held", extra={"hold": HOLD})
        return "waiting: the machine is off; it is started for the drill"
    return ""
