"""The capture: what the oplog has grown by since the last slice becomes the next one.

A slice is one blob, made in memory and created in one call, so that no half of one ever lies in storage. The
cursor moves after it. A run that was killed in between makes the slice again under another name, and the plan
of a restore takes either.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

from shared.backup.catalogue import SetState
from shared.backup.decide import includes_namespace
from shared.backup.oplog_window import strip_excluded
from shared.formats import envelope
from shared.formats.slices import CaptureCursor, SliceRecord, slice_name
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import AlreadyExists, Corrupt, GroundcrewError, Locked, Refused, Unavailable
from shared.kernel.ports import Lease
from shared.kernel.timestamps import format_compact, format_second
from shared.mongodb.model import OplogEnd, Timestamp
from shared.mongodb.ports import SourceDatabase
from shared.pitr.decide import (
    Continuity,
    EntryGroup,
    SliceCut,
    cut_slices,
    group_entries,
    judge_continuity,
    measure_window,
)
from shared.pitr.deps import CaptureDeps
from shared.pitr.notices import gap_notice, late_notice, send_notice, window_notice
from shared.pitr.records import load_cursor, save_cursor, to_datetime

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=60)


def capture_oplog(deps: CaptureDeps) -> str:
    """Capture what is new; what was done, in a sentence. With nothing new it asks one blob and one `hello`.

    Level-triggered: a run that was missed is made up by the next. Raises Unavailable while the server that
    should be up does not answer, Locked if another run is at it.
    """
    cursor = _load_own_cursor(deps)
    try:
        source = deps.connect()
        end = source.read_oplog_end()
    except Unavailable as error:
        # Off as planned is no alarm; what was written before the stop was captured by it.
        if offline := deps.offline_reason():
            return f"nothing to capture: {offline}"
        _tell_if_late(deps, cursor, error)
        raise
    if cursor is not None and str(end.majority) == cursor.end and not (cursor.wants_base or cursor.gap):
        return "nothing to capture: there is no new entry"
    # Read again under the lease: another run may have moved the cursor since it was looked at.
    with deps.state.lease("locks/oplog", duration=_LEASE) as lease:
        return _Capture(deps, source, end, lease).run(_load_own_cursor(deps))


def capture_around_stop(deps: CaptureDeps) -> str:
    """The last slice before a stop, the first after a start; a failure is said, and stops nothing."""
    try:
        return capture_oplog(deps)
    except (GroundcrewError, Locked) as error:
        log.warning("oplog.capture_around_stop_failed", extra={"error": str(error)})
        return f"not captured: {error}"


def _load_own_cursor(deps: CaptureDeps) -> CaptureCursor | None:
    """A cursor that is not ours is no cursor: the capture then begins anew, on a branch of its own."""
    try:
        return load_cursor(deps.state, deps.trusted)
    except (Corrupt, Refused) as error:
        log.error("oplog.cursor_ignored", extra={"error": str(error)})  # noqa: TRY400 - no bug of ours
        return None


def _tell_if_late(deps: CaptureDeps, cursor: CaptureCursor | None, error: GroundcrewError) -> None:
    if cursor is None:
        return
    age = deps.clock.now() - to_datetime(cursor.end)
    if age > deps.policy.pitr.alarm_after:
        send_notice(deps.notifications, late_notice(age, error))


class _Capture:
    """One run, under the lease."""

    def __init__(self, deps: CaptureDeps, source: SourceDatabase, end: OplogEnd, lease: Lease) -> None:
        self._deps, self._source, self._end, self._lease = deps, source, end, lease
        self._strip = partial(strip_excluded, includes=partial(includes_namespace, deps.policy))
        self._done: list[str] = []

    def run(self, cursor: CaptureCursor | None) -> str:
        oldest, newest = self._source.read_oplog_window()
        # Measured before anything is stored: how long the oplog reaches back is what the next run has to be
        # sooner than.
        window = measure_window(cursor, oldest, newest)
        if cursor is None:
            cursor = self._begin_branch(oldest, newest)
        else:
            cursor = replace(cursor, oldest=str(oldest), trims=window.trims)
            cursor = self._follow(cursor, oldest, newest)
        cursor = self._ask_for_base(self._close_gap(cursor))
        if window.is_short(self._deps.policy.pitr.window_alarm):
            send_notice(self._deps.notifications, window_notice(window.length))
        return "; ".join(self._done) or "nothing to capture: there is no new entry"

    def _follow(self, cursor: CaptureCursor, oldest: Timestamp, newest: Timestamp) -> CaptureCursor:
        """Go on where the cursor is, or begin anew where that is not there any more."""
        start = Timestamp.parse(cursor.end)
        groups: Iterator[EntryGroup] = iter(())
        if oldest <= start <= self._end.majority:
            groups = group_entries(self._source.read_oplog(start, self._end.majority))
        boundary = next(groups, None)
        continuity = judge_continuity(cursor, oldest, newest, boundary, self._end.written)
        # Not a gap: what a majority has not agreed on may still be rolled back, and must not be stored.
        if continuity is Continuity.BEHIND:
            self._done.append(
                "waiting: a new primary has not yet agreed with the others on what was captured"
            )
            return cursor
        if boundary is not None and continuity is Continuity.FOLLOWS:
            for cut in cut_slices(_chain(boundary, groups), self._strip):
                cursor = self._store(cursor, cut)
            return cursor
        missed = f"{format_second(to_datetime(cursor.end))} ({cursor.end})"
        if continuity is Continuity.GAP:
            gap = f"the oplog begins at {oldest}: what came after {missed} was dropped before it was captured"
        else:
            gap = f"the server's history is another one since {missed}: it was restored or replaced"
        # As an error, for a stretch of time exists now that nobody can restore.
        log.error("oplog.gap_found", extra={"branch": cursor.branch, "after": cursor.end, "gap": gap})
        return self._begin_branch(oldest, newest, gap)

    def _begin_branch(self, oldest: Timestamp, newest: Timestamp, gap: str = "") -> CaptureCursor:
        """Begin at the newest entry; at the newest backup's end if nothing is known against it."""
        now = self._deps.clock.now()
        # After a gap from the newest entry on: what lies before it belongs to no base that there is.
        at = newest if gap else self._find_base_end(oldest, newest)
        group = next(group_entries(self._source.read_oplog(at, at)), None)
        if group is None:
            at = newest
            group = next(group_entries(self._source.read_oplog(at, at)), None)
        if group is None:
            raise Unavailable("the oplog's newest entry is not readable", value=at)
        cursor = CaptureCursor(
            format=FORMAT,
            branch=f"{format_compact(now)}-{secrets.token_hex(2)}",
            since=now,
            first=str(at),
            end=str(at),
            end_hash=group.fingerprint,
            oldest=str(oldest),
            trims=False,
            updated=now,
            gap=gap,
            base_from=str(at),
            wants_base=gap,
            captured=0,
        )
        self._save(cursor)
        self._done.append(f"began branch {cursor.branch} at {at}")
        if gap:
            send_notice(self._deps.notifications, gap_notice(cursor))
            return cursor
        return self._follow(cursor, oldest, newest) if at < newest else cursor

    def _find_base_end(self, oldest: Timestamp, newest: Timestamp) -> Timestamp:
        """So that the newest backup can be followed at once, and not only from tomorrow's on."""
        base = self._deps.catalogue.newest_good()
        if base is None:
            return newest
        end = Timestamp.parse(base.manifest.oplog.end)
        return end if oldest <= end <= newest else newest

    def _store(self, cursor: CaptureCursor, cut: SliceCut) -> CaptureCursor:
        """Create the slice's blob, then move the cursor. Raises Locked if another run has taken over."""
        stored: list[bytes] = []
        recipients = tuple(self._deps.recipients.values())
        writer = envelope.PartWriter(stored.append, recipients, level=self._deps.policy.zstd_level, threads=0)
        for entry in cut.stored:
            writer.write(entry)
        digest = writer.finish()
        record = SliceRecord(
            format=FORMAT,
            branch=cursor.branch,
            start=str(cut.start.at),
            start_hash=cut.start.fingerprint,
            end=str(cut.end.at),
            end_hash=cut.end.fingerprint,
            barrier=bool(cut.barrier),
            entries=len(cut.stored),
            stored_bytes=digest.stored_bytes,
            sha256=digest.sha256,
        )
        self._lease.check()
        try:
            self._deps.slices.create(slice_name(record, self._deps.signer), b"".join(stored))
        except AlreadyExists:  # its own name, by a request whose answer was lost
            log.info("oplog.slice_already_stored", extra={"branch": cursor.branch, "end": record.end})
        return self._advance(cursor, cut, record)

    def _advance(self, cursor: CaptureCursor, cut: SliceCut, record: SliceRecord) -> CaptureCursor:
        cursor = replace(
            cursor,
            end=record.end,
            end_hash=record.end_hash,
            updated=self._deps.clock.now(),
            captured=cursor.captured + 1,
        )
        if cut.barrier:
            gap = f"no replay gets past {record.end}: {cut.barrier}"
            cursor = replace(cursor, gap=gap, base_from=record.end, wants_base=gap)
            log.error("oplog.barrier_found", extra={"branch": cursor.branch, "end": record.end, "why": gap})
        self._save(cursor)
        if cut.barrier:
            send_notice(self._deps.notifications, gap_notice(cursor))
        self._done.append(f"captured {record.entries} entries to {record.end}")
        extra = {"branch": record.branch, "end": record.end, "stored_bytes": record.stored_bytes}
        log.info("oplog.slice_stored", extra=extra)
        return cursor

    def _close_gap(self, cursor: CaptureCursor) -> CaptureCursor:
        """A base that ends after a gap makes up for it: from there on every moment can be restored again."""
        if not cursor.gap:
            return cursor
        base = self._deps.catalogue.newest_good()
        # Sealed after the branch began: a set of before a rewind may end later by the old history's clock.
        if base is None or base.manifest.sealed < cursor.since:
            return cursor
        if Timestamp.parse(base.manifest.oplog.end) < Timestamp.parse(cursor.base_from):
            return cursor
        self._done.append(f"{base.info.reference} makes up for the gap")
        log.info("oplog.gap_closed", extra={"branch": cursor.branch, "set": base.info.folder})
        return self._save(replace(cursor, gap="", wants_base=""))

    def _ask_for_base(self, cursor: CaptureCursor) -> CaptureCursor:
        """Begin a backup for what only a new one can restore. What fails is tried by the next run."""
        # Asked for once: each run would otherwise begin a set of its own until the first is sealed.
        if not cursor.wants_base:
            return cursor
        newest = next(self._deps.catalogue.newest_first(), None)
        # One that is on its way serves as well, if it was begun after the gap.
        begun = newest.info.created if newest is not None and newest.state is SetState.OPEN else None
        if begun is None or begun < cursor.since:
            try:
                folder = self._deps.begin_backup(f"oplog: {cursor.wants_base}")
            except GroundcrewError as error:
                log.warning("oplog.base_not_begun", extra={"branch": cursor.branch, "error": str(error)})
                self._done.append(f"a new base could not be begun: {error}")
                return cursor
            self._done.append(f"began {folder}")
        return self._save(replace(cursor, wants_base=""))

    def _save(self, cursor: CaptureCursor) -> CaptureCursor:
        self._lease.check()
        # After the slice: a cursor that is ahead of what is stored would be a gap that nobody sees.
        save_cursor(self._deps.state, cursor, self._deps.signer)
        return cursor


def _chain(first: EntryGroup, rest: Iterator[EntryGroup]) -> Iterator[EntryGroup]:
    yield first
    yield from rest
