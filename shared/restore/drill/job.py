"""The restore drill: restore the newest good set into an empty scratch MongoDB, compare, sign what came out.

It may be killed at any step: the lease ends, and the next drill drops what this one left on the scratch
server. A drill that never got to the set (no key, no server) proves nothing and leaves no proof; one that
broke off leaves a proof that says so.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from shared.backup.proofs import DrillRecords, describe_proof, read_drill_records, write_proof
from shared.backup.sets import format_set_id
from shared.formats.proofs import PROVEN, DrillProof
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import GroundcrewError, NotFound, Unavailable, UsageError
from shared.kernel.ports import Lease, Reporter
from shared.mongodb.model import Timestamp
from shared.mongodb.ports import ScratchServer
from shared.restore.deps import RestoreDeps
from shared.restore.drill.decide import (
    DrillDecision,
    check_empty,
    check_not_production,
    decide_drill,
    list_databases,
    measure_data_loss,
)
from shared.restore.drill.deps import JOB, DrillDeps
from shared.restore.drill.findings import DrillFindings, check_set_state, judge_findings
from shared.restore.drill.follow_up import follow_up
from shared.restore.drill.notices import (
    describe_measures,
    left_behind_notice,
    not_run_notice,
    send_notice,
)
from shared.restore.drill.scratch import ScratchClaim
from shared.restore.drill.subject import DrillSubject, choose_subject
from shared.restore.drill.watch import DrillWatch
from shared.restore.erasure_ledger import ErasureLedger
from shared.restore.job import restore_set
from shared.restore.model import RestoreResult
from shared.restore.timing import read_timing

log = logging.getLogger(__name__)

GRACE = timedelta(hours=4)  # what catch_up leaves to the timer
# Renewed while the drill runs; a killed one is taken over after a minute.
_LEASE = timedelta(seconds=60)
_HOLD = "drill/machine"
_HOLD_TEXT = "restore drill"
_WAKE = timedelta(hours=2)  # for how long the machine is held up until the drill's MongoDB answers


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
    except UsageError:
        raise
    except GroundcrewError as error:
        send_notice(deps.notifications, not_run_notice(error))
        raise


def run_overdue(deps: DrillDeps, reporter: Reporter) -> str:
    """What `catch_up` does: a drill that the timer missed, or that waited for the machine to be up."""
    waited = any(hold.what == _HOLD_TEXT for hold in deps.holds.list_in_force())
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
    """What the doctor asks: whether the scratch MongoDB answers, is empty, and is not production.

    Changes nothing. Raises Refused, Unavailable.
    """
    server = deps.connect()
    try:
        hosts = server.list_hosts()
        check_not_production([*deps.addresses, *hosts], deps.production())
        check_empty(server.list_namespaces(), hosts)
        return f"{', '.join(hosts)} answers and is empty"
    finally:
        server.close()


def describe_drill(proof: DrillProof) -> str:
    """How it ended, with what it measured."""
    measures = f"; {describe_measures(proof)}" if proof.outcome == PROVEN else ""
    return f"{describe_proof(proof)}{measures}"


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
        server = deps.connect()
        try:
            check_not_production([*deps.addresses, *server.list_hosts()], deps.production())
            subject = choose_subject(deps, reference, until, reporter)
            # By the manifest as well: the setting of production may have been changed since the set was made.
            check_not_production(server.list_hosts(), subject.verified.manifest.source.hosts)
            drill = _Drill(deps, server, lease, reporter, subject)
            drill.prepare()
            proof = drill.run()
        finally:
            server.close()
    follow_up(deps, proof)
    return proof


class _Drill:
    """One drill of one set."""

    def __init__(
        self,
        deps: DrillDeps,
        server: ScratchServer,
        lease: Lease,
        reporter: Reporter,
        subject: DrillSubject,
    ) -> None:
        self._deps, self._server, self._lease = deps, server, lease
        self._subject, self._manifest = subject, subject.verified.manifest
        self._watch = DrillWatch(deps.clock, lease, reporter)
        self._claim = ScratchClaim(server)
        self._started = deps.clock.now()
        self._run = format_set_id(self._started)

    def prepare(self) -> None:
        """Drop what a killed drill left. Raises Refused if the server then is not empty."""
        if left := self._claim.clear():
            self._watch.note(f"dropped what an earlier drill left: {', '.join(left)}")
        check_empty(self._server.list_namespaces(), self._server.list_hosts())

    def run(self) -> DrillProof:
        """Restore, compare, validate, drop it all again, and sign. Raises Locked if the lease is lost."""
        deps, where = self._deps, f"{self._manifest.klass}/{self._manifest.set}"
        progress = deps.runs.begin_run(JOB, self._run, f"restoring {where}")
        try:
            deps.holds.add_hold(_HOLD, _HOLD_TEXT, _WAKE)
            self._claim.take(self._run, list_databases(self._manifest))
            findings = self._restore()
        except BaseException as error:
            progress.finish("failed", f"drill of {where} broke off", str(error) or type(error).__name__)
            raise
        finally:
            self._clear()
            deps.holds.release_hold(_HOLD)
        self._lease.check()
        proof = self._build_proof(findings)
        write_proof(deps.state, proof, deps.signer)
        state = "done" if proof.outcome == PROVEN else "failed"
        measured = {"restore_seconds": proof.restore_seconds, "data_loss_seconds": proof.data_loss_seconds}
        told = {"outcome": proof.outcome, "set": where, **(measured if proof.outcome == PROVEN else {})}
        progress.finish(state, describe_drill(proof), proof.problem, **told)
        log.info("drill.ended", extra={"run": self._run, "set": where, "outcome": proof.outcome})
        return proof

    def _restore(self) -> DrillFindings:
        """Everything between the claim and the clean-up; faults of set and systems come back as values."""
        deps, began = self._deps, self._deps.clock.now()
        restore = RestoreDeps(
            deps.catalogue, self._server, deps.identities, self._watch, deps.clock,
            holds=deps.holds, jobs=deps.jobs, writes_users=False, tail=self._subject.tail,
            timing=partial(read_timing, deps.state, deps.catalogue),
            erasures=ErasureLedger(deps.state, deps.catalogue.trusted).read_for_restore,
        )  # fmt: skip
        reference = f"{self._manifest.klass}/{self._manifest.set}"
        try:
            # The server holds the marker only, which `into_non_empty` lets pass.
            result = restore_set(restore, reference, into_non_empty=True)
            seconds = (deps.clock.now() - began).total_seconds()
            if result.erased.entries:
                self._watch.note(result.erased.describe())
            validated, invalid = self._validate(result)
            state = check_set_state(deps, self._manifest, self._watch)
        except GroundcrewError as error:
            self._lease.check()  # a lost lease is no fault of the set, and the server is not ours any more
            return DrillFindings(error=error)
        return DrillFindings(result, invalid, validated, seconds, state=state)

    def _validate(self, result: RestoreResult) -> tuple[int, dict[str, list[str]]]:
        """The server's own check of each collection and its indexes; none where the server has no such."""
        self._watch.phase("Validating collections", len(result.plan.collections))
        restored = {entry.name for entry in result.plan.collections}
        invalid: dict[str, list[str]] = {}
        for namespace in self._server.list_namespaces():
            if namespace.name not in restored:
                continue
            try:
                invalid[namespace.name] = self._server.validate_collection(namespace)
            except NotFound as error:
                self._watch.note(f"not validated: {error}")
                return 0, {}
            self._watch.advance(1)
        return len(invalid), invalid

    def _clear(self) -> None:
        """However the drill ended. What cannot be dropped now is dropped by the next drill."""
        try:
            self._claim.clear()
        except GroundcrewError as error:
            log.exception("drill.scratch_not_cleared", extra={"run": self._run})
            send_notice(self._deps.notifications, left_behind_notice(error))

    def _build_proof(self, findings: DrillFindings) -> DrillProof:
        outcome, problem = judge_findings(findings)
        compared = [v for v in findings.result.verdicts if v.basis == "compared"] if findings.result else []
        plan = self._subject.plan
        until = str(plan.until) if plan else self._manifest.oplog.end
        return DrillProof(
            format=FORMAT,
            run=self._run,
            set=self._manifest.set,
            klass=self._manifest.klass,
            manifest_sha256=self._subject.verified.sha256,
            outcome=outcome,
            problem=problem,
            until=until,
            slices=len(plan.slices) if plan else 0,
            started=self._started,
            ended=self._deps.clock.now(),
            restore_seconds=round(findings.restore_seconds, 3),
            data_loss_seconds=round(measure_data_loss(self._subject.newest, self._started), 3),
            phases=self._watch.phases(),
            namespaces=len(compared),
            documents=sum(verdict.documents for verdict in compared),
            validated=findings.validated,
            target=self._server.list_hosts(),
            tool=self._deps.tool,
            cluster_state=findings.state.summary if findings.state else "",
        )


def _wait_for_machine(deps: DrillDeps) -> str:
    """While the machine is off on purpose and the drill's MongoDB with it: have it started, or skip."""
    offline = deps.offline_reason()
    if not offline:
        return ""
    try:
        deps.connect().close()
    except Unavailable:
        if deps.policy.when_vm_off == "skip":
            return f"skipped: {offline}"
        deps.holds.add_hold(_HOLD, _HOLD_TEXT, _WAKE, needs_up=True)
        log.info("drill.machine_held", extra={"hold": _HOLD})
        return "waiting: the machine is off; it is started for the drill"
    return ""
