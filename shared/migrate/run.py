"""A migration up to the point where it waits for the word: copied, followed, compared.

Each run goes on with what the journal says is next, and ends `ready`. One that is ready already follows and
compares anew: so the last comparison has little to do.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from shared.kernel.durations import format_duration
from shared.kernel.errors import Refused, Unavailable
from shared.migrate.compare import ServerComparison
from shared.migrate.copy import DatabaseCopy
from shared.migrate.deps import MigrationDeps
from shared.migrate.follow import OplogFollower
from shared.migrate.model import MarkerState, Phase
from shared.migrate.records import MigrationJournal
from shared.migrate.touched import TouchedDocuments

log = logging.getLogger(__name__)

# A marker that is at the target so soon after it was written: nothing is left behind.
LAG_ZERO = timedelta(seconds=10)
# For so long the lag may stay above it before somebody is told.
CATCH_UP_WITHIN = timedelta(minutes=30)


class MigrationRun:
    """One process's share of a migration, under the lease."""

    def __init__(self, deps: MigrationDeps, journal: MigrationJournal) -> None:
        self._deps, self.journal = deps, journal
        self._touched = TouchedDocuments()
        self.follower = OplogFollower(deps, journal, self._touched)
        self.comparison = ServerComparison(deps, journal, self.follower, self._touched)

    def make_ready(self) -> None:
        """Go on until the lag is zero and both servers compare equal.

        Raises Refused for what only a new copy or a person mends, Unavailable if the target does not keep up.
        """
        if self.journal.record.phase is Phase.COPYING:
            self._copy()
        else:
            self.follower.resume()
        if not self.journal.record.indexed:
            # After the window's replay, which needs none: unique ones would refuse what it corrects.
            self.follower.build_indexes()
        self.catch_up()
        compared = self.comparison.compare_living()
        require_equal(self.journal)
        self._deps.reporter.note(f"compared {compared} documents that were changed since the copy: equal")
        if self.journal.record.phase is Phase.FOLLOWING:
            self.journal.save(phase=Phase.READY)

    def list_touched(self) -> list[str]:
        """The namespaces that were changed since they were compared."""
        touched = self._touched
        return sorted({*touched.whole, *(name for name, ids in touched.ids.items() if ids)})

    def _copy(self) -> None:
        copy = DatabaseCopy(self._deps, self.journal)
        copy.begin()
        # A run that was killed between copy and replay has nothing to copy again.
        if not self.journal.record.copied_until:
            copy.run()
        self.follower.replay_copy_window()
        self.journal.save(phase=Phase.FOLLOWING)

    def catch_up(self) -> None:
        """Follow until a marker that is written now is at the target within seconds. Raises Unavailable."""
        deps, began = self._deps, self._deps.clock.now()
        deps.reporter.phase("Following the oplog", 0)
        while True:
            lag = self._measure_lag()
            self.journal.save(lag_seconds=lag.total_seconds())
            if lag <= LAG_ZERO:
                return
            deps.reporter.note(f"the target is {format_duration(lag)} behind")
            if deps.clock.now() - began > CATCH_UP_WITHIN:
                facts = {"migration": self.journal.record.id, "lag_seconds": lag.total_seconds()}
                log.warning("migrate.lag_stays", extra=facts)
                raise Unavailable(
                    "the target does not catch up with the source",
                    value=f"{format_duration(lag)} behind after {format_duration(CATCH_UP_WITHIN)}",
                    hint="Run it again when less is written, or give the target a faster disk.",
                )

    def _measure_lag(self) -> timedelta:
        """From the marker's writing at the source until it is seen at the target, by one clock: ours."""
        deps, record = self._deps, self.journal.record
        marker = MarkerState(record.id, record.marker + 1, record.databases)
        self.journal.save(marker=marker.number)
        written = deps.clock.now()
        deps.source_control.write_marker(marker)
        self._follow_until_seen(marker, written)
        return deps.clock.now() - written

    def _follow_until_seen(self, marker: MarkerState, written: datetime) -> None:
        while True:
            before = self.journal.record.position
            self.follower.advance()
            # The whole marker with its number: one of an earlier measurement would show a lag of nothing.
            if self._deps.target_control.read_marker() == marker:
                return
            if self._deps.clock.now() - written > CATCH_UP_WITHIN:
                raise Unavailable(
                    "the marker that was written at the source is not at the target",
                    value=f"followed up to {self.journal.record.position}",
                    hint="Is a majority of the source's members up? Run it again then.",
                )
            # Only when nothing came: with a backlog each second of waiting would add to the lag.
            if self.journal.record.position == before:
                self._deps.pause(1)


def require_equal(journal: MigrationJournal) -> None:
    """Raises Refused with the first difference of the last comparison."""
    differences = journal.record.differences
    if differences:
        more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
        raise Refused(
            "the two servers differ",
            value=f"{differences[0]}{more}",
            hint="Does anything else write to the target? Run it again; if it stays, begin anew: --restart.",
        )
