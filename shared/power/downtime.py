"""What the newest tick says of planned downtime: which machines are off on purpose, which should be up.

A record that is old, an error or an alarm says nothing: what cannot be seen explains nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from shared.power.last_tick import SeenMachine
from shared.power.model import PowerStatus

FRESH = timedelta(minutes=16)
"""Three ticks of five minutes, and a little: an older record is of a power_tick that does not run."""

_OFF = (PowerStatus.DEALLOCATED, PowerStatus.DEALLOCATING, PowerStatus.STOPPING)
_ALWAYS = datetime.min.replace(tzinfo=UTC)


def find_planned_downtimes(
    machines: Iterable[SeenMachine], now: datetime, start_grace: timedelta
) -> list[SeenMachine]:
    """Those that are off as they should be, or whose planned start is younger than the grace."""
    return [one for one in machines if _is_trusted(one, now) and _is_planned(one, now, start_grace)]


def find_off(machines: Iterable[SeenMachine], now: datetime) -> list[SeenMachine]:
    """Those that are off, whyever: nothing on them answers."""
    return [one for one in machines if _is_fresh(one, now) and one.state in (*_OFF, PowerStatus.STOPPED)]


def find_server_up_since(machines: Sequence[SeenMachine], now: datetime) -> datetime | None:
    """Since when the server should be up; None while one of its machines is off by plan.

    Where nothing fresh is known it is taken to be up, long since: silence is an alarm then.
    """
    if find_planned_downtimes(machines, now, timedelta()):
        return None
    starts = [
        one.desired_since for one in machines if _is_fresh(one, now) and one.desired_up and one.desired_since
    ]
    return max(starts, default=_ALWAYS)


def _is_fresh(one: SeenMachine, now: datetime) -> bool:
    return now - one.seen <= FRESH


def _is_trusted(one: SeenMachine, now: datetime) -> bool:
    return _is_fresh(one, now) and not one.alarm and not one.error


def _is_planned(one: SeenMachine, now: datetime, start_grace: timedelta) -> bool:
    if not one.desired_up:
        return one.state in _OFF
    return one.desired_since is not None and timedelta() <= now - one.desired_since < start_grace
