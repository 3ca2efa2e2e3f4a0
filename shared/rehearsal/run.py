"""One rehearsal: choose, plan, check, restore, start, try, remove; its end as a record that is not saved yet.

It may be killed at any step: the lease ends, the message comes again, and the next worker removes the Job
that this one left and begins anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.backup.catalogue import CatalogueEntry
from shared.formats.manifest import VerifiedManifest
from shared.formats.rehearsals import FAILED, Rehearsal
from shared.kernel.errors import Corrupt, GroundcrewError, Locked, Refused, Unavailable, UsageError
from shared.kernel.ports import Lease, Reporter
from shared.rehearsal.blanked import AREAS
from shared.rehearsal.decide import (
    check_set_age,
    find_chat_database,
    find_set_end,
    judge_probes,
    name_job,
    size_storage,
)
from shared.rehearsal.deps import RehearsalDeps
from shared.rehearsal.model import ChatPlan, RehearsalSpec
from shared.rehearsal.notices import left_behind_notice, send_notice
from shared.rehearsal.stage import RehearsalStage, check_before, open_stage, remove_leftovers
from shared.rehearsal.start import ChatStart, StartOutcome
from shared.restore.deps import RestoreDeps
from shared.restore.drill.cluster.decide import choose_image
from shared.restore.drill.watch import DrillWatch
from shared.restore.erasure_ledger import ErasureLedger
from shared.restore.job import restore_set

log = logging.getLogger(__name__)

HOLD, HOLD_TEXT = "rehearsal/machine", "rehearsal"
# Renewed as it goes on; one that was killed keeps the machine up no longer.
_HOLD_FOR = timedelta(hours=1)
_BEAT = timedelta(minutes=1)
_MOST_NAMES = 10


@dataclass(frozen=True)
class RehearsalSubject:
    """The backup, what is started on it, and the Job that both run in."""

    verified: VerifiedManifest
    plan: ChatPlan
    spec: RehearsalSpec
    room: str  # which node has room


def choose_subject(deps: RehearsalDeps, sha: str, run: str) -> RehearsalSubject:
    """What would be rehearsed now; begins nothing.

    Raises Refused for what cannot be rehearsed (no room, no young backup, an open namespace), Unavailable.
    """
    if not deps.identities:
        raise UsageError("no key to decrypt with", hint="Set GROUNDCREW_DRILL_KEY.")
    verified = _newest(deps.catalogue.newest_good())
    manifest, policy = verified.manifest, deps.policy
    check_set_age(manifest, deps.clock.now(), policy.max_age)
    plan = deps.plan(sha)
    data_bytes = sum(entry.data_bytes for entry in manifest.namespaces) + manifest.oplog.data_bytes
    owner = deps.owner()
    spec = RehearsalSpec(
        name_job(run, owner), owner,
        choose_image(policy.images, manifest.source.server_version, setting="deploy.rehearsal.images"),
        plan.container, find_chat_database(manifest), policy.cpus, policy.memory, policy.chat_memory,
        size_storage(data_bytes, policy.storage_limit), policy.deadline,
    )  # fmt: skip
    return RehearsalSubject(verified, plan, spec, check_before(deps, spec))


def _newest(entry: CatalogueEntry | None) -> VerifiedManifest:
    if entry is None or entry.verified is None:
        raise Refused("there is no good backup to rehearse on", hint="Make one: groundcrew backups create")
    return entry.verified


class RehearsalRun:
    """One attempt at one commit, under the lease; `record` is what is known of it so far, and saved."""

    def __init__(self, deps: RehearsalDeps, record: Rehearsal, lease: Lease, reporter: Reporter) -> None:
        self._deps, self._lease, self.record = deps, lease, record
        self._watch = DrillWatch(deps.clock, lease, BeatingReporter(reporter, self.beat))

    def rehearse(self) -> Rehearsal:
        """Do all of it, and remove it. Raises what keeps it from an end: Refused, Unavailable, Corrupt."""
        deps = self._deps
        self.beat("choosing the backup")
        try:
            remove_leftovers(deps)
        except Locked as error:  # not our lease's, and nothing that waiting for a worker's end would mend
            raise Unavailable(error.message, value=error.value, hint=error.hint) from error
        subject = choose_subject(deps, self.record.sha, self.record.run)
        self._save_subject(subject)
        self._watch.note(subject.room)
        self.beat("starting MongoDB")
        with open_stage(deps, subject.spec, self._on_left) as stage:
            self._restore(subject, stage)
            outcome = ChatStart(deps, stage, subject.plan, subject.spec.database, self.beat).run()
        self._lease.check()
        return self._end(outcome)

    def beat(self, step: str = "") -> None:
        """Note what is done now (empty: the same as before), and hold the machine. Raises Locked if another
        worker has taken over."""
        self._lease.check()
        step = step or self.record.step
        now = self._deps.clock.now()
        # Each look of a wait of an hour is the same step: once a minute says that somebody is at it.
        if step == self.record.step and now - self.record.updated < _BEAT:
            return
        self._deps.holds.add_hold(HOLD, HOLD_TEXT, _HOLD_FOR)
        self.record = self._deps.store.save(replace(self.record, step=step))
        log.info("rehearsal.step_begun", extra={"sha": self.record.sha, "step": step})

    def _save_subject(self, subject: RehearsalSubject) -> None:
        manifest, plan = subject.verified.manifest, subject.plan
        self.record = replace(
            self.record,
            version_before=plan.running, version=plan.version, image=plan.container.image,
            plan_sha256=plan.container.sha256, set=manifest.set, klass=manifest.klass,
            manifest_sha256=subject.verified.sha256, set_end=find_set_end(manifest),
            notes=_list_notes(plan),
        )  # fmt: skip

    def _restore(self, subject: RehearsalSubject, stage: RehearsalStage) -> None:
        """Raises Corrupt for a set that is not what was sealed: what starts on it would prove nothing."""
        deps, manifest = self._deps, subject.verified.manifest
        self.beat(f"restoring {manifest.klass}/{manifest.set}")
        with closing(deps.connect_server(stage.uri)) as server:
            restore = RestoreDeps(
                deps.catalogue, server, deps.identities, self._watch, deps.clock, holds=deps.holds,
                # Without users: nobody signs in to this MongoDB, and Rocket.Chat needs none.
                writes_users=False,
                erasures=ErasureLedger(deps.state, deps.catalogue.trusted).read_for_restore,
            )  # fmt: skip
            result = restore_set(restore, f"{manifest.klass}/{manifest.set}")
        if not result.proven:
            different = [one.name for one in result.verdicts if not one.equal]
            first = (*result.problems, *different, "nothing was compared")[0]
            hint = "Let it be drilled: groundcrew drill run. See docs/runbooks/verify-failed.md."
            raise Corrupt("the backup does not restore as it was sealed", value=first, hint=hint)

    def _end(self, outcome: StartOutcome) -> Rehearsal:
        if outcome.problem:
            return replace(
                self.record, state=FAILED, step="starting Rocket.Chat", problem=outcome.problem,
                measures=outcome.measures,
            )  # fmt: skip
        state, problem, probes = judge_probes(outcome.probes, *outcome.sign_ins)
        return replace(
            self.record, state=state, step="trying Rocket.Chat", problem=problem, probes=probes,
            measures=outcome.measures,
        )  # fmt: skip

    def _on_left(self, error: GroundcrewError) -> None:
        send_notice(self._deps.notifications, left_behind_notice(error))


class BeatingReporter:
    """Passes everything on, and says that somebody is at it: a restore of hours is one step."""

    def __init__(self, reporter: Reporter, beat: Callable[[], None]) -> None:
        self._reporter, self._beat = reporter, beat

    def phase(self, name: str, total: int) -> None:
        """See `Reporter`."""
        self._beat()
        self._reporter.phase(name, total)

    def advance(self, amount: int) -> None:
        """See `Reporter`."""
        self._beat()
        self._reporter.advance(amount)

    def note(self, text: str) -> None:
        """See `Reporter`."""
        self._reporter.note(text)


def _list_notes(plan: ChatPlan) -> tuple[str, ...]:
    """What was otherwise than in production, for whoever reads what it proved."""
    notes = [f"blanked: {', '.join(AREAS)}"]
    left_out = plan.container.left_out
    if left_out:
        more = f" and {len(left_out) - _MOST_NAMES} more" if len(left_out) > _MOST_NAMES else ""
        names = ", ".join(left_out[:_MOST_NAMES])
        notes.append(f"variables left out, whose values are secret or elsewhere: {names}{more}")
    return tuple(notes)
