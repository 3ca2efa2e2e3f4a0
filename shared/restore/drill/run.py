"""One drill: into a server that is there, or into one that is started for it; always signed at its end.

It may be killed at any step: the lease ends, and the next drill drops what this one left on the scratch
server, or removes the Job that it ran in.
"""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial

from shared.backup.proofs import describe_proof, write_proof
from shared.backup.sets import format_set_id
from shared.formats.proofs import PROVEN, DrillProof
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import GroundcrewError, NotFound
from shared.kernel.ports import Lease
from shared.mongodb.model import Timestamp
from shared.mongodb.ports import ScratchServer
from shared.restore.deps import RestoreDeps
from shared.restore.drill.cluster.scratch import ClusterScratch, RunningScratch, open_scratch
from shared.restore.drill.decide import (
    check_empty,
    check_not_production,
    list_databases,
    measure_data_loss,
)
from shared.restore.drill.deps import JOB, DrillDeps
from shared.restore.drill.findings import DrillFindings, check_set_state, judge_findings
from shared.restore.drill.notices import describe_measures, left_behind_notice, send_notice
from shared.restore.drill.scratch import ScratchClaim
from shared.restore.drill.subject import DrillSubject, choose_subject
from shared.restore.drill.watch import DrillWatch
from shared.restore.erasure_ledger import ErasureLedger
from shared.restore.job import restore_set
from shared.restore.model import RestoreResult
from shared.restore.timing import read_timing

log = logging.getLogger(__name__)

HOLD = "drill/machine"
HOLD_TEXT = "restore drill"
WAKE = timedelta(hours=2)  # for how long the machine is held up until the drill's MongoDB answers


def describe_drill(proof: DrillProof) -> str:
    """How it ended, with what it measured."""
    measures = f"; {describe_measures(proof)}" if proof.outcome == PROVEN else ""
    return f"{describe_proof(proof)}{measures}"


def run_on_server(
    deps: DrillDeps, lease: Lease, watch: DrillWatch, reference: str, until: Timestamp | None
) -> DrillProof:
    """On the server of the settings, which must be empty and is given back so."""
    with closing(deps.connect()) as server:
        check_not_production([*deps.addresses, *server.list_hosts()], deps.production())
        subject = choose_subject(deps, reference, until, watch)
        # By the manifest as well: the setting of production may have been changed since the set was made.
        check_not_production(server.list_hosts(), subject.verified.manifest.source.hosts)
        drill = _Drill(deps, server, lease, watch, subject, deps.clock.now())
        drill.prepare()
        return drill.run()


def run_in_cluster(
    deps: DrillDeps,
    home: ClusterScratch,
    lease: Lease,
    watch: DrillWatch,
    reference: str,
    until: Timestamp | None,
) -> DrillProof:
    """On a server that is made for this drill, and removed with all that is on it."""
    subject = choose_subject(deps, reference, until, watch)
    started = deps.clock.now()
    # From here on, since the server is on the machine itself: it is not to be stopped under the Job.
    deps.holds.add_hold(HOLD, HOLD_TEXT, WAKE)
    try:
        notify_left = partial(_notify_left, deps)
        run, manifest = format_set_id(started), subject.verified.manifest
        with open_scratch(home, run, manifest, watch, notify_left) as scratch:
            check_not_production(scratch.server.list_hosts(), deps.production())
            drill = _Drill(deps, scratch.server, lease, watch, subject, started, scratch)
            drill.prepare()
            return drill.run()
    finally:
        deps.holds.release_hold(HOLD)


def _notify_left(deps: DrillDeps, error: GroundcrewError) -> None:
    send_notice(deps.notifications, left_behind_notice(error))


class _Drill:
    """One drill of one set."""

    def __init__(
        self,
        deps: DrillDeps,
        server: ScratchServer,
        lease: Lease,
        watch: DrillWatch,
        subject: DrillSubject,
        started: datetime,
        scratch: RunningScratch | None = None,
    ) -> None:
        self._deps, self._server, self._lease = deps, server, lease
        self._subject, self._manifest = subject, subject.verified.manifest
        self._watch, self._started, self._scratch = watch, started, scratch
        self._claim = ScratchClaim(server)
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
            deps.holds.add_hold(HOLD, HOLD_TEXT, WAKE)
            self._claim.take(self._run, list_databases(self._manifest))
            findings = self._restore()
        except BaseException as error:
            # On record before it is raised: a drill that vanishes would look like one that was not due.
            progress.finish("failed", f"drill of {where} broke off", str(error) or type(error).__name__)
            raise
        finally:
            self._clear()
            deps.holds.release_hold(HOLD)
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
            # Without users: those of production must not be able to sign in on a scratch server.
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
            return DrillFindings(error=self._scratch.explain(error) if self._scratch else error)
        return DrillFindings(result, invalid, validated, seconds, state=state)

    def _validate(self, result: RestoreResult) -> tuple[int, dict[str, list[str]]]:
        """The server's own check of each collection and its indexes; none where the server has no such."""
        self._watch.phase("Validating collections", len(result.plan.collections))
        restored = {entry.name for entry in result.plan.collections}
        invalid: dict[str, list[str]] = {}
        for namespace in self._server.list_namespaces():
            # The marker and the server's own are no part of the set.
            if namespace.name not in restored:
                continue
            try:
                invalid[namespace.name] = self._server.validate_collection(namespace)
            except NotFound as error:
                self._watch.note(f"not validated: {error}")
                # No such command for one is none for all: nothing is called validated.
                return 0, {}
            self._watch.advance(1)
        return len(invalid), invalid

    def _clear(self) -> None:
        """However the drill ended. What cannot be dropped now is dropped by the next drill."""
        if self._scratch:
            return  # it is removed whole, and may be gone already
        try:
            self._claim.clear()
        except GroundcrewError as error:
            log.exception("drill.scratch_not_cleared", extra={"run": self._run})
            _notify_left(self._deps, error)

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
            target=(self._scratch.place,) if self._scratch else self._server.list_hosts(),
            tool=self._deps.tool,
            cluster_state=findings.state.summary if findings.state else "",
        )
