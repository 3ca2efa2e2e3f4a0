"""The wiring of the calendar: the chat's database, the cluster's version, the plan of the machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import all_or_nothing, read_environment
from shared.wiring import load_policy, open_state, system_clock
from shared.wiring.notifications import build_notifier
from shared.wiring.pages import page_access

if TYPE_CHECKING:
    from datetime import timedelta

    from shared.backup.catalogue import SetCatalogue
    from shared.calendar.deps import CalendarDeps
    from shared.calendar.growth import SetSizes
    from shared.calendar.limits import CapturedDay, CostTrend
    from shared.calendar.model import PlannedSpan
    from shared.calendar.page import CalendarPage
    from shared.calendar.ports import LockoutSource
    from shared.calendar.records import LockoutCalendar
    from shared.kernel.secret import Secret

# Two weeks of nights: enough for a trend, and each is a manifest to read.
_SETS = 14
# As many weeks of cost reports, and a week of days of the oplog's capture.
_WEEKS, _CAPTURED_DAYS = 12, 7


@cache
def calendar_deps() -> CalendarDeps:
    """All that the job needs. Raises UsageError."""
    from zoneinfo import ZoneInfo

    from shared.calendar.deps import CalendarDeps, GrowthSources

    read = all_or_nothing(
        chat=_connect_chat, kubernetes=_version_reader, images=_images_reader, state=open_state,
        notifications=build_notifier, policy=load_policy,
    )  # fmt: skip
    rules = read.pop("policy")
    return CalendarDeps(
        clock=system_clock(),
        plan=_plan_machine,
        zone=ZoneInfo(rules.timezone),
        machines=_read_machines,
        # Read when the calendar is made: a key of backups that is wrong makes growth unknown, and nothing
        # else.
        growth=GrowthSources(_read_sets, rules.backup.part_target, _read_costs, _read_captured),
        **read,
    )


def run_tick() -> str:
    """What the timer does. Raises UsageError for bad settings."""
    from shared.calendar import job

    return job.run_tick(calendar_deps())


def run_overdue() -> str:
    """What `catch_up` does. Raises UsageError for bad settings."""
    from shared.calendar import job

    return job.run_overdue(calendar_deps())


def load_last() -> LockoutCalendar | None:
    """The calendar as made last."""
    from shared.calendar.records import load_calendar

    return load_calendar(open_state())


@cache
def calendar_page() -> CalendarPage:
    """Who may look at the page, and what it shows."""
    from shared.calendar.page import CalendarPage

    return CalendarPage(page_access(), load_last)


@cache
def feed_keys() -> tuple[Secret, ...]:
    """What opens the feed; none closes it."""
    from shared.web.bearer import parse_tokens

    try:
        return parse_tokens(read_environment().get(definitions.CALENDAR_KEY))
    except UsageError:  # a reference into the vault that was not resolved
        return ()


def _connect_chat() -> LockoutSource | None:
    from shared.adapters.mongodb.lockout_facts import MongoLockoutFacts

    given = read_environment().values.get(definitions.MONGODB.name)
    return MongoLockoutFacts(given) if given else None


def _version_reader() -> Callable[[], str] | None:
    from shared.wiring.kubernetes import connect_cluster

    return connect_cluster().get_version if read_environment().get(definitions.KUBECONFIG) else None


def _images_reader() -> Callable[[], Collection[str]] | None:
    from shared.wiring.kubernetes import connect_cluster

    if not read_environment().get(definitions.KUBECONFIG):
        return None
    return lambda: {image for pod in connect_cluster().list_pods() for image in pod.images}


def _read_machines() -> Mapping[str, Mapping[str, str]]:
    """What each machine under schedule last said of itself."""
    from shared.power.last_tick import load_last_tick
    from shared.power.records import PowerRecords

    # Those of the last tick, also of machines that policy finds by a tag; the record of one that was removed
    # stays, and would go on to end.
    names = [one.machine for one in load_last_tick(open_state())]
    records = PowerRecords(open_state())
    return {name: records.load(name).node for name in names}


def _read_costs() -> CostTrend | None:
    from shared.calendar.limits import CostTrend
    from shared.status.model import NotSetUp
    from shared.status.readers import read_cost

    budget = load_policy().cost.budget
    if budget is None:
        return None
    try:
        facts = read_cost(open_state())
    except NotSetUp:
        return CostTrend((), float(budget), load_policy().cost.currency)
    # A week in which a price was missing has no forecast.
    known = [(week.since, week.forecast) for week in facts.weeks if week.forecast is not None]
    return CostTrend(known[-_WEEKS:], float(budget), facts.currency)


def _read_captured() -> Sequence[CapturedDay]:
    """Of the last complete days, where the oplog is captured; only slices of trusted signers count."""
    from datetime import UTC, timedelta

    from shared.calendar.limits import CapturedDay
    from shared.pitr.catalogue import SliceCatalogue
    from shared.wiring.backup import catalogue_if_trusted

    catalogue = catalogue_if_trusted() if load_policy().backup.pitr.enabled else None
    if catalogue is None:
        return ()
    today = system_clock().now().astimezone(UTC).date()
    days = []
    for back in range(_CAPTURED_DAYS, 0, -1):
        day = today - timedelta(days=back)
        slices = list(SliceCatalogue(catalogue).list_slices(f"pitr/{day:%Y/%m/%d}/"))
        # A day on which the machine was off captured nothing, and says nothing of a day's volume.
        if slices:
            days.append(CapturedDay(day, len(slices), sum(one.record.stored_bytes for one in slices)))
    return days


def _read_sets() -> Sequence[SetSizes] | None:
    from shared.wiring.backup import catalogue_if_trusted

    catalogue = catalogue_if_trusted()
    return None if catalogue is None else _read_sizes(catalogue)


def _read_sizes(catalogue: SetCatalogue) -> Sequence[SetSizes]:
    """Of the newest good sets, in the order of time; those made by hand may hold less."""
    from shared.calendar.growth import SetSizes

    good = (entry.manifest for entry in catalogue.newest_first(manual=False) if entry.verified is not None)
    sizes = [
        SetSizes(manifest.created, {one.name: one.data_bytes for one in manifest.namespaces})
        for manifest in islice(good, _SETS)
    ]
    return sizes[::-1]


def _plan_machine(reach: timedelta) -> Sequence[PlannedSpan]:
    """The plan of the machine that carries the server; none if no machine is under schedule."""
    from shared.calendar.model import PlannedSpan
    from shared.power.forecast import forecast_spans
    from shared.wiring.inventory import build_inventory

    power = load_policy().power
    carrying = [machine.label for machine in power.machines if "rocketchat" in power.carried_by(machine)]
    if not carrying:
        return ()
    spans = forecast_spans(build_inventory(asks=False), carrying[0], reach)
    # A tag may fit several: the server runs on one, and the others are planned alike.
    own = [span for span in spans if span.machine == spans[0].machine]
    return [PlannedSpan(span.up, span.since, span.until) for span in own]
