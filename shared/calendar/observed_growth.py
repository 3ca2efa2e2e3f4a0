"""What grows, read from its sources: one that cannot be read makes its own forecast unknown, and no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from shared.calendar.deps import CalendarDeps
from shared.calendar.growth import GrowthSummary, SetSizes, measure_growth, summarize_growth
from shared.calendar.limits import (
    CapturedDay,
    CostTrend,
    forecast_budget,
    forecast_parts,
    mean_captured,
    unknown_budget,
)
from shared.calendar.model import Deadline
from shared.kernel.errors import GroundcrewError

log = logging.getLogger(__name__)

T = TypeVar("T")
BACKUPS, COSTS, CAPTURE = "backups", "costs", "capture"


@dataclass(frozen=True, slots=True)
class ObservedGrowth:
    """What the sources said. `unread`: by source, why it could not be read."""

    sets: Sequence[SetSizes] = ()
    costs: CostTrend | None = None
    captured: Sequence[CapturedDay] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def list_deadlines(self, part_bytes: int, now: datetime) -> Iterator[Deadline]:
        """The budget and the parts of a backup; the disk is the chat's, which says how large it is."""
        if COSTS in self.unread:
            yield unknown_budget(self.unread[COSTS], now)
        for deadline in (forecast_budget(self.costs, now), forecast_parts(self.sets, part_bytes, now)):
            if deadline is not None:
                yield deadline

    def summarize(self) -> GrowthSummary:
        """For the record of the calendar."""
        return summarize_growth(measure_growth(self.sets), mean_captured(self.captured))


def read_growth(deps: CalendarDeps) -> ObservedGrowth:
    """Each source by itself; what fails is logged."""
    unread: dict[str, str] = {}
    sources = deps.growth
    sets = _read(BACKUPS, sources.sets, unread)
    if sets is None and BACKUPS not in unread:
        unread[BACKUPS] = "no signer of backups is trusted"
    return ObservedGrowth(
        sets or (),
        _read(COSTS, sources.costs, unread),
        _read(CAPTURE, sources.captured, unread) or (),
        unread,
    )


def _read(name: str, source: Callable[[], T | None], unread: dict[str, str]) -> T | None:
    try:
        return source()
    except GroundcrewError as error:
        log.warning("calendar.growth_unreadable", extra={"source": name, "error": str(error)})
        unread[name] = error.public
        return None
