"""Our own timers: one that has not run for long is an alarm. They have died before while HTTP went on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.durations import format_duration
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_optional_timestamp
from shared.notifications.ports import Notice, Notifier, Severity
from shared.records.run_history import RunHistory

_EXPECTED = "timers/expected.json"
# A tick of five minutes may be late by a cold start and a long run before it.
_LEAST_GRACE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class TimerState:
    """A timer that should run: how often, when it last ended, and since when it is expected at all."""

    name: str
    interval: timedelta
    last_run: datetime | None
    expected_since: datetime

    def overdue(self, now: datetime) -> timedelta | None:
        """How long nothing was heard of it, if that is too long: half an interval more, at least 15 min."""
        silent = now - max(self.last_run or self.expected_since, self.expected_since)
        return silent if silent > self.interval + max(self.interval / 2, _LEAST_GRACE) else None


def read_timers(state: Blobs, intervals: Mapping[str, timedelta], now: datetime) -> list[TimerState]:
    """The timers by what is on record of their runs. Raises Corrupt, Unavailable."""
    newest_runs = RunHistory(state).load_totals().newest
    newest = {name: one.run.ended for name, one in newest_runs.items() if one.run}
    expected = _keep_expected(state, intervals, now)
    return [TimerState(name, every, newest.get(name), expected[name]) for name, every in intervals.items()]


def report_silent_timers(timers: list[TimerState], notifier: Notifier, now: datetime) -> str:
    """Notify of each timer that is silent for too long, and of its return."""
    silent, on_time = [], []
    for timer in timers:
        key = f"timers/{timer.name}"
        overdue = timer.overdue(now)
        if overdue is None:
            title = f"The timer {timer.name} runs again"
            on_time.append(Notice(Severity.CRITICAL, title, "", key=key, resolved=True))
            continue
        silent.append(timer.name)
        notifier.notify(
            Notice(
                Severity.CRITICAL,
                f"The timer {timer.name} has not run for {format_duration(overdue)}",
                f"It should run every {format_duration(timer.interval)}.",
                "Restart the app: `az functionapp restart --name APP --resource-group GROUP`. "
                "`POST /api/tick` does what is overdue meanwhile.",
                key=key,
                again=True,
            )
        )
    notifier.notify_resolved(on_time)
    return f"silent: {', '.join(silent)}" if silent else f"{len(timers)} timers are on time"


def _keep_expected(state: Blobs, names: Mapping[str, object], now: datetime) -> dict[str, datetime]:
    """Since when each timer is expected: a timer that is new, or switched on again, is not late at once."""
    try:
        fields = decode_json(state.read(_EXPECTED)[0], _EXPECTED)
    # From now on then: late by half an interval at the most, and no alarm about all timers at once.
    except (NotFound, Corrupt):
        fields = {}
    known = {name: parse_optional_timestamp(at) for name, at in fields.items()}
    expected = {name: known.get(name) or now for name in names}
    if expected != known:
        state.replace(_EXPECTED, encode_json(expected), etag=None)
    return expected
