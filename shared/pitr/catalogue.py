"""The slices and bases in storage, as the plan of a moment needs them: names are listed, day by day."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from shared.backup.catalogue import CLOCK_SKEW, SetCatalogue, SetState
from shared.formats.slices import PREFIX, StoredSlice, day_prefix, parse_slice
from shared.kernel.errors import Corrupt, NotFound, Refused
from shared.mongodb.model import Timestamp
from shared.pitr.moment import format_moment
from shared.pitr.plan import Base, MomentPlan, covers, describe_reaches, follow_base, plan_moment
from shared.pitr.rewrap import is_keys_blob

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)
# A gap after the newest base is after the older ones too; a few are asked for those of another branch.
_MOST_BASES = 4
_MOST_DAYS = 35  # for which slices are listed after a base: a base is made every night


@dataclass
class SliceCatalogue:
    """Reads what there is, in the container of the sets; slices of strangers take part in nothing."""

    sets: SetCatalogue
    ignored: list[str] = field(default_factory=list)  # names of what is no slice of ours
    keys_blobs: list[str] = field(default_factory=list)  # file keys beside slices (`shared.pitr.rewrap`)

    def list_slices(self, prefix: str = PREFIX) -> Iterator[StoredSlice]:
        """All whose name is signed by a trusted signer, by name."""
        trusted = tuple(self.sets.trusted)
        for blob in self.sets.blobs.list(prefix):
            if is_keys_blob(blob.name):
                self.keys_blobs.append(blob.name)
                continue
            try:
                yield parse_slice(blob.name, blob.stored_bytes, trusted)
            except (Corrupt, Refused) as error:
                self.ignored.append(blob.name)
                log.warning("oplog.slice_ignored", extra={"blob": blob.name[:200], "error": str(error)})

    def plan(self, until: Timestamp, reference: str = "latest") -> MomentPlan:
        """How the moment is restored: from the newest base that reaches it, or from the one that is named.

        Reads the manifests of the sets before the moment from the newest back to the first that will do, and
        lists the slices of the days between the two. Raises NotFound with the moments that can be restored.
        """
        now = self.sets.clock.now()
        # Nothing can have been captured there; the clock of whoever asks may simply be in another zone.
        if until.seconds > now.timestamp():
            raise NotFound(f"{format_moment(until)} is in the future")
        bases = self._find_bases(until, reference)
        examined: list[Base] = []
        for base in islice(bases, _MOST_BASES):
            examined.append(base)
            slices = self._list_between(base, until, now)
            if base.end == until or covers(follow_base(base, slices, until).end, until):
                return plan_moment([base], slices, until)
        raise NotFound(
            f"{format_moment(until)} cannot be restored",
            value=self._describe(until, examined, now),
            hint="Choose a moment within one of these.",
        )

    def newest_moment(self) -> Timestamp | None:
        """The newest moment that can be restored from the newest good set; None if there is none."""
        entry = self.sets.newest_good()
        if entry is None:
            return None
        base = Base(entry.info.reference, Timestamp.parse(entry.manifest.oplog.end), entry.manifest.sealed)
        return follow_base(base, self._list_between(base, None, self.sets.clock.now())).end

    def _find_bases(self, until: Timestamp, reference: str) -> Iterator[Base]:
        """Good sets that end before the moment, newest first, each examined when it is asked for."""
        if reference != "latest":
            entry = self.sets.find(reference)
            manifest = entry.manifest
            yield Base(entry.info.reference, Timestamp.parse(manifest.oplog.end), manifest.sealed)
            return
        # A set is named by our clock, its oplog's times are the server's.
        latest = datetime.fromtimestamp(until.seconds, UTC) + CLOCK_SKEW
        for entry in self.sets.newest_first(until=latest):
            if entry.state is not SetState.SEALED:
                continue
            end = Timestamp.parse(entry.manifest.oplog.end)
            if end <= until:
                yield Base(entry.info.reference, end, entry.manifest.sealed)

    def _list_between(self, base: Base, until: Timestamp | None, now: datetime) -> list[StoredSlice]:
        """Slices lie under the day of their end: from the base's day on, until they reach the moment."""
        slices: list[StoredSlice] = []
        day = datetime.fromtimestamp(base.end.seconds, UTC)
        last = min(now + _DAY, day + _MOST_DAYS * _DAY)  # the server's clock may be ahead of ours
        while day.date() <= last.date():
            slices += self.list_slices(day_prefix(f"{int(day.timestamp())}.0"))
            if until is not None and covers(follow_base(base, slices, until).end, until):
                break
            day += _DAY
        return slices

    def _describe(self, until: Timestamp, examined: list[Base], now: datetime) -> str:
        """What can be restored around the moment: by the base before it, and by the next one after it."""
        bases, damaged = examined[:1], ""
        for entry in self.sets.newest_first():
            if entry.state is not SetState.SEALED:
                damaged = damaged or f"{entry.info.reference} is {entry.state}: {entry.problem}"
                continue
            end = Timestamp.parse(entry.manifest.oplog.end)
            if end <= until:
                break
            bases = [*bases[: len(examined[:1])], Base(entry.info.reference, end, entry.manifest.sealed)]
        slices = [one for base in bases for one in self._list_between(base, None, now)]
        text = describe_reaches(bases, slices, until)
        # Who looks for a set that is there wants to know why it is none.
        return text if bases or not damaged else f"{text}; {damaged}"
