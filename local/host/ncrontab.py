"""When a timer fires next: what the host adds to an expression that the app only reads.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
https://github.com/atifaziz/NCrontab/wiki/Crontab-Expression
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from croniter import CroniterBadDateError, croniter

from shared.settings.ncrontab import Ncrontab


@dataclass(frozen=True, slots=True)
class TimerSchedule(Ncrontab):
    """An expression whose occurrences can be listed."""

    def next_after(self, when: datetime) -> datetime | None:
        """The first occurrence later than `when`, in its time zone; None if there is none in fifty years."""
        try:
            following = croniter(
                self._croniter_expression(), when, second_at_beginning=True, day_or=False
            ).get_next(datetime)
        # croniter looks fifty years ahead and gives up.
        except CroniterBadDateError:
            return None
        return following if isinstance(following, datetime) else None

    def _croniter_expression(self) -> str:
        # Spelt out in numbers, so that nothing is left to differences between the dialects.
        return " ".join(",".join(map(str, values)) for values in self.fields)
