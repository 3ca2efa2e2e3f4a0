"""The wiring of what every timer does: how its run ended is put on record, and told to an outside service."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from shared.kernel.errors import GroundcrewError, UsageError
from shared.settings import definitions
from shared.settings.environment import parse_setting, read_environment, timer_schedule
from shared.settings.timers import SCHEDULES
from shared.wiring import open_state, system_clock

if TYPE_CHECKING:
    from shared.kernel.secret import Secret
    from shared.notifications.heartbeat import Heartbeats
    from shared.records.run_record import RunRecord

log = logging.getLogger(__name__)


def run_timer(job: str, work: Callable[[], str]) -> str:
    """Do the work and record how it ended; without any storage nothing can be recorded, and it is done."""
    from shared.records.timer_runs import run_recorded

    try:
        state = open_state()
    except UsageError:
        return _run_with_heartbeat(job, work)
    return _run_with_heartbeat(job, lambda: run_recorded(state, system_clock(), job, work))


def _run_with_heartbeat(job: str, work: Callable[[], str]) -> str:
    heartbeats = build_heartbeats()
    return heartbeats.run(job, work) if heartbeats else work()


@cache
def build_heartbeats() -> Heartbeats | None:
    """Where jobs are pinged; None where no address is set, or they cannot be read, which is logged."""
    text = read_environment().values.get(definitions.HEARTBEATS.name, "")
    if not text.strip():
        return None
    from shared.adapters.heartbeats import HttpHeartbeats
    from shared.notifications.heartbeat import Heartbeats
    from shared.wiring.notifications import secret_mask

    try:
        return Heartbeats(HttpHeartbeats(check_heartbeats()), secret_mask())
    except UsageError as error:  # a mistake here must not keep any job from running
        log.error("heartbeat.settings_invalid", extra={"error": str(error)})  # noqa: TRY400 - no bug of ours
        return None


def check_heartbeats() -> dict[str, Secret]:
    """The ping URLs by job. Raises UsageError, quoting none, also for a job that there is not."""
    from shared.adapters.heartbeats import parse_ping_urls

    urls = parse_setting(
        definitions.HEARTBEATS, parse_ping_urls, read_environment().get(definitions.HEARTBEATS)
    )
    # The timer `nightly_backup` only begins a set; `backup` is pinged when the set has ended.
    known = {*SCHEDULES, "backup"}
    if unknown := sorted(urls.keys() - known):
        hint = f"There are: {', '.join(sorted(known))}."
        raise UsageError(
            f"{definitions.HEARTBEATS.name} names no job of ours", value=", ".join(unknown), hint=hint
        )
    return urls


def ping_run(run: RunRecord) -> None:
    """Tell the outside service how a run goes that is more than a timer's: that of a backup set."""
    from shared.notifications.heartbeat import Signal
    from shared.records.rollup import is_part

    signals = {"running": Signal.START, "done": Signal.SUCCESS, "failed": Signal.FAIL}
    if run.state in signals and not is_part(run.id) and (heartbeats := build_heartbeats()):
        heartbeats.send(run.job, signals[run.state], run.error or run.summary)


def check_timers() -> str:
    """Tell of timers of ours that have not run for long. What cannot be judged is left out by name."""
    from shared.catch_up.timers import read_timers, report_silent_timers
    from shared.settings.intervals import longest_interval
    from shared.wiring.notifications import build_notifier

    now, intervals, unknown = system_clock().now(), {}, []
    for name in SCHEDULES:
        if _is_disabled(name):
            continue
        interval = longest_interval(timer_schedule(name), now)
        if interval is None:
            unknown.append(name)
        else:
            intervals[name] = interval
    done = report_silent_timers(read_timers(open_state(), intervals, now), build_notifier(), now)
    return f"{done}; not judged by their schedule: {', '.join(unknown)}" if unknown else done


def watch_timers() -> str:
    """The same for a job that has another purpose: what keeps it from being done is the answer."""
    try:
        return check_timers()
    except GroundcrewError as error:
        log.warning("timers.check_failed", extra={"error": str(error)})
        return f"failed: {error}"


def _is_disabled(timer: str) -> bool:
    # https://learn.microsoft.com/azure/azure-functions/disable-function
    values = read_environment().values
    value = values.get(f"AzureWebJobs.{timer}.Disabled") or values.get(f"AzureWebJobs_{timer}_Disabled", "")
    return value.lower() in ("true", "1")
