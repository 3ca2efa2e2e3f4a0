"""The cut-over: from the moment at which nobody may write to the source until the target is the one.

The order: deploys frozen, the chat gone and every connection with it, the source read-only, the last of its
oplog at the target, what has changed compared, the expiry of documents switched on, and then, by one write of
the journal, the target is the chat's server. Before that write the source is, and after it the target: a run
that is killed anywhere leaves one of the two, never both, and is gone on with or taken back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kernel.errors import GroundcrewError, NotFound, Refused, Unavailable
from shared.migrate.chat import list_writers, start_chat, stop_chat
from shared.migrate.deps import MigrationDeps
from shared.migrate.indexes import IndexKeeper, list_catalogues
from shared.migrate.model import Phase
from shared.migrate.records import MigrationJournal
from shared.migrate.run import MigrationRun, require_equal
from shared.migrate.way_back import return_to_source
from shared.mongodb.model import Timestamp
from shared.mongodb.ports import SourceDatabase
from shared.records.deploy_freeze import DeployFreeze, freeze_deploys, unfreeze_deploys

log = logging.getLogger(__name__)

# Nobody can write meanwhile: longer than this, a return to the source is the better choice.
_MAJORITY_WITHIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class CutOverOptions:
    """What a person has decided for the cut-over.

    - `ignored_clients`: names of clients that may stay connected to the source.
    - `accepts_writable_source`: go on although the source has no way to be made read-only.
    - `secret`: the Secret that is switched, `NAMESPACE/NAME/KEY`; empty where a pull request does it.
    """

    ignored_clients: Collection[str] = ()
    accepts_writable_source: bool = False
    secret: str = ""


class CutOver:
    """One process's share of it, under the lease; it goes on where the journal is."""

    def __init__(self, deps: MigrationDeps, run: MigrationRun, options: CutOverOptions) -> None:
        self._deps, self._run, self._options = deps, run, options
        self._journal: MigrationJournal = run.journal

    def execute(self) -> None:
        """To the switch, and the chat on its way up. What fails before it is taken back, and raised."""
        # Another Secret than the one noted would leave the first at the address it was switched to.
        begun = self._journal.record.phase is not Phase.READY
        if begun and self._journal.record.secret != self._options.secret:
            given = self._journal.record.secret or "none"
            raise Refused(
                "the cut-over began with another --secret", value=given, hint="Give the same again."
            )
        try:
            if not self._journal.record.phase.switched:
                self._advance_to_switch()
        except GroundcrewError as error:
            self._take_back(error)
            raise
        # Outside the `try`: after the switch nothing is taken back by itself, since people may write to the
        # target.
        self._open_target()

    def _advance_to_switch(self) -> None:
        steps: dict[Phase, Callable[[], None]] = {
            Phase.READY: self._freeze,
            Phase.STOPPING: self._stop,
            Phase.BLOCKING: self._block,
            Phase.DRAINING: self._drain,
        }
        # By the journal and not by a counter: a killed run enters at the step that it was in.
        while (step := steps.get(self._journal.record.phase)) is not None:
            self._journal.check()
            step()

    def _freeze(self) -> None:
        """Nobody deploys any more, and no deploy is under way. Raises Refused."""
        deps, record = self._deps, self._journal.record
        if deps.connection is not None:
            deps.connection.check()
        # Noted before the freeze: a run that is killed in between lifts what it may have set.
        self._journal.save(frozen=True, secret=self._options.secret)
        reason = f"the database moves to {', '.join(record.target)} (migration {record.id})"
        freeze_deploys(deps.state, DeployFreeze(reason, record.by, deps.clock.now()))
        # After the freeze: one that began before it is seen now, and none begins after it.
        if busy := deps.find_busy_deploy():
            raise Refused("a deploy is in progress", value=busy, hint="Wait until it has ended.")
        self._journal.save(phase=Phase.STOPPING, pause_began=deps.clock.now(), pause_ended=None)

    def _stop(self) -> None:
        self._deps.reporter.phase("Stopping the chat", 0)
        stop_chat(self._deps, self._journal, self._options.ignored_clients)
        self._journal.save(phase=Phase.BLOCKING)

    def _block(self) -> None:
        """Make the source read-only; noted before, so that whoever comes after takes it back in any case."""
        self._deps.reporter.phase("Making the source read-only", 0)
        self._journal.save(blocked=True)
        try:
            self._deps.source_control.block_writes()
        except NotFound as error:
            self._journal.save(blocked=False)
            if not self._options.accepts_writable_source:
                hint = "Say --accept-writable-source, and stop that MongoDB right after the cut-over."
                raise Refused("the source cannot be made read-only", value=str(error), hint=hint) from error
            log.warning("migrate.source_stays_writable", extra={"migration": self._journal.record.id})
        self._journal.save(phase=Phase.DRAINING)

    def _drain(self) -> None:
        """The last of the oplog is at the target, both are equal, and nobody has come back meanwhile."""
        self._deps.reporter.phase("Replaying the last writes", 0)
        end = self._await_majority("source", self._deps.source)
        self._follow_up_to(end)
        databases = self._journal.record.databases
        listed = list_catalogues(self._deps, databases)
        compared = self._run.comparison.compare_final(listed)
        require_equal(self._journal)
        indexes = IndexKeeper(self._deps, self._journal)
        # After the comparison: documents that expire at once would be missing from it.
        if indexes.restore_expiry(listed):
            listed = list_catalogues(self._deps, databases, listed.source)
        if differences := indexes.find_differences(listed):
            raise Refused("the indexes differ", value=differences[0], hint="Run the migration again.")
        # The last thing before the switch: a pod that came back while it was compared is seen here.
        self._check_quiet(end)
        log.info("migrate.drained", extra={"migration": self._journal.record.id, "compared": compared})
        self._switch(end)

    def _await_majority(self, side: str, server: SourceDatabase) -> Timestamp:
        """The end of what was written, once a majority of the server's members has it."""
        deadline = self._deps.clock.now() + _MAJORITY_WITHIN
        while (end := server.read_oplog_end()).majority < end.written:
            if self._deps.clock.now() >= deadline:
                raise Unavailable(
                    f"a majority of the {side}'s members does not have the last writes",
                    value=f"{end.majority} of {end.written}",
                    hint=f"Are all members up? See rs.status() at the {side}.",
                )
            self._deps.pause(0.2)
        return end.written

    def _follow_up_to(self, end: Timestamp) -> None:
        deadline = self._deps.clock.now() + _MAJORITY_WITHIN
        while self._run.follower.advance() < end:
            if self._deps.clock.now() >= deadline:
                raise Unavailable(
                    "the last writes are not at the target", value=self._journal.record.position
                )
            self._deps.pause(0.2)

    def _check_quiet(self, end: Timestamp) -> None:
        """Raises Refused if anybody wrote to the source after its end, or is connected again."""
        self._run.follower.advance()
        if names := self._run.list_touched():
            value = f"{names[0]} after {end}"
            raise Refused("somebody still writes to the source", value=value, hint="Find and stop it first.")
        if clients := list_writers(self._deps, self._options.ignored_clients):
            raise Refused("somebody is connected to the source again", value=clients[0])

    def _switch(self, end: Timestamp) -> None:
        """One write: before it the source is the chat's server, after it the target."""
        # A majority of the target's members has all of it by then: no election undoes it.
        opened = self._await_majority("target", self._deps.target_oplog)
        now: datetime = self._deps.clock.now()
        self._journal.save(phase=Phase.SWITCHED, drained=str(end), opened_at=str(opened), pause_ended=now)
        log.info("migrate.switched", extra={"migration": self._journal.record.id, "end": str(end)})

    def _open_target(self) -> None:
        """What follows from the switch; each of it may be done again."""
        deps = self._deps
        if deps.connection is not None:
            deps.connection.switch()
            # Only where the Secret is the new one: started on the old one, the chat could not write a word.
            start_chat(deps, self._journal)
        unfreeze_deploys(deps.state)
        self._journal.save(frozen=False)

    def _take_back(self, error: GroundcrewError) -> None:
        """People write again, to the source: the failure that ended the cut-over is raised after it."""
        record = self._journal.record
        log.error(
            "migrate.cut_over_failed",
            extra={"migration": record.id, "phase": record.phase, "error": str(error)},
        )
        # Failed after the switch: the chat belongs to the target, and starting it there is done by another
        # call.
        if record.phase.switched:
            return
        try:
            return_to_source(self._deps, self._journal)
        except GroundcrewError as second:
            facts = {"migration": record.id, "error": str(second)}
            log.error("migrate.take_back_failed", extra=facts)  # noqa: TRY400
            self._deps.reporter.note(f"taking it back failed: {second}. Run: groundcrew migrate back")
