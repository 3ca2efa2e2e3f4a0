"""The calendar of lock-outs: read what ends, count the powered-on days, tell, keep.

Each run reads everything anew; what does not answer is as it was last seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from shared.calendar.decide import build_calendar, find_news, update_told
from shared.calendar.deps import CalendarDeps
from shared.calendar.ends_of_life import BITNAMI, end_of_life, frozen_images
from shared.calendar.growth import find_runaways, forecast_disk
from shared.calendar.model import REACH, CalendarEntry, Deadline, DeadlineKind
from shared.calendar.notices import build_notices, build_runaway_notices
from shared.calendar.observed_growth import BACKUPS, ObservedGrowth, read_growth
from shared.calendar.ports import LockoutFacts
from shared.calendar.powered import find_powered_days
from shared.calendar.records import LockoutCalendar, load_calendar, save_calendar
from shared.calendar.render import describe_calendar
from shared.calendar.sources import (
    MICROK8S,
    carry_over,
    find_unreached_collector,
    list_certificate_deadlines,
    list_chat_deadlines,
    list_machine_deadlines,
    list_secret_deadlines,
)
from shared.certificates.records import load_last_scan
from shared.kernel.errors import GroundcrewError
from shared.notifications.ports import Notice
from shared.secrets_rotation.inventory import load_inventory

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=60)
# An hour more than a day: a timer that fires some minutes late is no run that was missed.
_OVERDUE = timedelta(hours=25)
_CHAT = frozenset({
    DeadlineKind.SUPPORTED_VERSION, DeadlineKind.LICENCE, DeadlineKind.STATISTICS, DeadlineKind.GROWTH,
})  # fmt: skip
_KUBERNETES = "Kubernetes"


def preview_calendar(deps: CalendarDeps) -> tuple[CalendarEntry, ...]:
    """The calendar of this moment. Changes and tells nothing."""
    last = load_calendar(deps.state)
    return _build(deps, [entry.deadline for entry in last.entries] if last else [], read_growth(deps))


def run_calendar(deps: CalendarDeps) -> LockoutCalendar:
    """Make the calendar, tell what is new in it, keep it. Raises Locked."""
    with deps.state.lease("locks/calendar", duration=_LEASE) as lease:
        last = load_calendar(deps.state)
        growth = read_growth(deps)
        entries = _build(deps, [entry.deadline for entry in last.entries] if last else [], growth)
        told = last.told if last else {}
        news = find_news(entries, told)
        lease.check()
        # Told before it is kept: a run that dies in between tells twice rather than never.
        # By the backup that shows it: told once for each, and not kept here.
        for notice in build_runaway_notices(find_runaways(growth.sets)):
            _notify(deps, notice)
        # Each is tried, although the one before failed.
        delivered = [_notify(deps, notice) for notice in build_notices(news)]
        # One mark for all: told twice is a nuisance, never told is a lock-out.
        if all(delivered):
            told = update_told(told, news)
        calendar = LockoutCalendar(deps.clock.now(), entries, told, growth.summarize())
        save_calendar(deps.state, calendar)
    facts = {"entries": len(entries), "near": len(news.reached), "resolved": len(news.resolved)}
    log.info("calendar.made", extra=facts)
    return calendar


def run_tick(deps: CalendarDeps) -> str:
    """What the timer does; returns it in a sentence."""
    return describe_calendar(run_calendar(deps).entries)


def run_overdue(deps: CalendarDeps) -> str:
    """What `catch_up` does: a run that was missed."""
    last = load_calendar(deps.state)
    if last is not None and deps.clock.now() - last.at < _OVERDUE:
        return "nothing to do: made less than a day ago"
    return run_tick(deps)


def _build(
    deps: CalendarDeps, previous: Sequence[Deadline], growth: ObservedGrowth
) -> tuple[CalendarEntry, ...]:
    now = deps.clock.now()
    powered = find_powered_days(deps.plan(REACH), deps.zone, now)
    deadlines = [
        *_read_chat(deps, previous, growth),
        *_read_kubernetes(deps, previous),
        *growth.list_deadlines(deps.growth.part_bytes, now),
        *list_certificate_deadlines(load_last_scan(deps.state)),
        *_read_machines(deps, previous),
        *_read_secrets(deps, previous),
    ]
    return build_calendar(deadlines, powered, now)


def _list_chat(deps: CalendarDeps, facts: LockoutFacts, growth: ObservedGrowth) -> list[Deadline]:
    now = deps.clock.now()
    disk = forecast_disk(growth.sets, facts, now, unread=growth.unread.get(BACKUPS, ""))
    ends = list_chat_deadlines(facts, now, unreached=_read_unreached(deps))
    return [*ends, *([disk] if disk else [])]


def _read_unreached(deps: CalendarDeps) -> str:
    try:
        return find_unreached_collector(deps.machines())
    except GroundcrewError:  # logged where the machines' certificates are read
        return ""


def _read_chat(
    deps: CalendarDeps, previous: Sequence[Deadline], growth: ObservedGrowth
) -> Iterable[Deadline]:
    chat = deps.chat
    if chat is None:
        return ()
    # Both sources name ends of life: each carries over its own, or one that is silent would double the
    # other's.
    ends = [one for one in previous if _is_of_chat(one)]
    return _read_source(
        "chat",
        lambda: _list_chat(deps, chat.read_facts(), growth),
        lambda reason: carry_over(ends, _CHAT | {DeadlineKind.END_OF_LIFE}, reason),
    )


def _read_kubernetes(deps: CalendarDeps, previous: Sequence[Deadline]) -> Iterable[Deadline]:
    ask = deps.kubernetes
    if ask is None:
        return ()
    ends = [one for one in previous if not _is_of_chat(one)]
    return _read_source(
        "kubernetes",
        lambda: _list_cluster(ask(), deps),
        lambda reason: carry_over(ends, frozenset({DeadlineKind.END_OF_LIFE}), reason),
    )


def _list_cluster(version: str, deps: CalendarDeps) -> list[Deadline]:
    now = deps.clock.now()
    ends = [end_of_life("kubernetes", _KUBERNETES, version, now)]
    return [*ends, *frozen_images(deps.images() if deps.images else (), now)]


def _read_machines(deps: CalendarDeps, previous: Sequence[Deadline]) -> Iterable[Deadline]:
    own = [one for one in previous if one.name.startswith(MICROK8S)]
    return _read_source(
        "machines", lambda: list(list_machine_deadlines(deps.machines())), lambda _reason: own
    )


def _read_secrets(deps: CalendarDeps, previous: Sequence[Deadline]) -> Iterable[Deadline]:
    return _read_source(
        "secrets",
        lambda: list(list_secret_deadlines(load_inventory(deps.state))),
        lambda reason: carry_over(previous, frozenset({DeadlineKind.SECRET}), reason),
    )


def _read_source(
    name: str, read: Callable[[], list[Deadline]], carry: Callable[[str], list[Deadline]]
) -> Iterable[Deadline]:
    """What a source says; if it does not answer, what it said last."""
    try:
        return read()
    except GroundcrewError as error:
        log.warning("calendar.source_unreadable", extra={"source": name, "error": str(error)})
        return carry(error.public)


def _is_of_chat(deadline: Deadline) -> bool:
    return not deadline.name.startswith((_KUBERNETES, BITNAMI))


def _notify(deps: CalendarDeps, notice: Notice) -> bool:
    """Deliver; a failure is logged, and the notice is given again by the next run."""
    try:
        deps.notifications.notify(notice)
    except GroundcrewError as error:
        log.warning("calendar.notification_failed", extra={"error": str(error)})
        return False
    return True
