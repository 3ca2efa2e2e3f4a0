"""The wiring of the status: from which stores each part is read, and who may ask for the metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.kernel.version import VERSION
from shared.settings import definitions
from shared.settings.environment import read_environment, timer_schedule
from shared.settings.intervals import longest_interval
from shared.settings.timers import SCHEDULES
from shared.wiring import connect_queues, load_policy, open_backups, open_state, system_clock
from shared.wiring.backup import trusted_catalogue
from shared.wiring.jobs import QUEUES
from shared.wiring.pages import page_access

if TYPE_CHECKING:
    from shared.backup.catalogue import SetCatalogue
    from shared.kernel.ports import Blobs
    from shared.kernel.secret import Secret
    from shared.status.badge import BadgeWord
    from shared.status.calendar_facts import CalendarFacts
    from shared.status.collect import Readers
    from shared.status.model import DrillFacts, Status
    from shared.status.page import StatusPage
    from shared.status.rehearsal_facts import RehearsalFacts


def current_status() -> Status:
    """What is known now; what cannot be read says so in its own part."""
    from shared.status.collect import collect_status

    return collect_status(_readers(), system_clock().now(), VERSION)


@cache
def status_page() -> StatusPage:
    """Who may look at the page, and how it learns what to show."""
    from shared.status.page import StatusPage

    return StatusPage(page_access(), current_status)


def read_badge() -> BadgeWord | None:
    """What the public badge says; None where no machine is under schedule, so that there is none."""
    from shared.status.badge import decide_badge
    from shared.status.collect import collect_status
    from shared.status.readers import read_power

    try:
        rules = load_policy().power
    except UsageError:
        return "down"  # nothing is known of what should run: never green
    if not rules.machines:
        return None
    now = system_clock().now()
    power = collect_status({"power": lambda: read_power(open_state(), rules)}, now, VERSION).power
    return decide_badge(power, now)


def rebuild_run_history() -> int:
    """Roll up the records of the last 400 days again; how many there are."""
    from shared.records.run_history import KEPT_FOR, rebuild_history

    return rebuild_history(open_state(), system_clock().now() - KEPT_FOR)


@cache
def metrics_tokens() -> tuple[Secret, ...]:
    """The bearer tokens that open the metrics; none closes them."""
    from shared.web.bearer import parse_tokens

    try:
        return parse_tokens(read_environment().get(definitions.METRICS_TOKEN))
    except UsageError:  # a reference into the vault that was not resolved
        return ()


def _readers() -> Readers:
    """A reader for each part. Policy and stores are opened by the reader, so that what fails is that part."""
    from shared.kernel.read_once import ReadOnceBlobs
    from shared.status import readers, signal_readers
    from shared.status.settings_report import read_settings

    # Fourteen readers ask for the same listings: each is one call for the whole page.
    state = cache(lambda: ReadOnceBlobs(open_state()))
    return {
        "backup": lambda: readers.read_backup(_read_once_catalogue(state()), load_policy().backup),
        "snapshots": lambda: readers.read_snapshots(state(), load_policy().snapshots),
        "certificates": lambda: readers.read_certificates(state(), load_policy().certificates),
        "secrets": lambda: readers.read_secrets(state()),
        "deploy": lambda: readers.read_deploy(state(), system_clock(), load_policy().deploy),
        "power": lambda: readers.read_power(state(), load_policy().power),
        "drill": lambda: _read_drill(state()),
        "key_drill": lambda: readers.read_key_drill_facts(state(), load_policy().backup.drill),
        "capture": lambda: signal_readers.read_capture(
            state(), trusted_catalogue().trusted, load_policy().backup.pitr
        ),
        "rehearsal": _read_rehearsal,
        "probes": lambda: signal_readers.read_probes(state(), load_policy().probes),
        "alerts": lambda: signal_readers.read_alerts(state()),
        "routes": lambda: signal_readers.read_routes(state()),
        "runs": lambda: readers.read_runs(state(), system_clock().now(), _timer_intervals()),
        "cost": lambda: readers.read_cost(state()),
        # Not from what is kept: whether a hold is in force must be of this moment.
        "holds": lambda: readers.read_holds(open_state(), system_clock()),
        "silences": lambda: signal_readers.read_silences(
            state(), system_clock(), load_policy().notify.silence_limit
        ),
        "settings": lambda: read_settings(state()),
        "queues": lambda: readers.read_poison_queues(connect_queues(), QUEUES),
    }


def _read_once_catalogue(state: Blobs) -> SetCatalogue:
    """The catalogue over views that ask for each listing and each record once."""
    from shared.backup.seals import SealLog
    from shared.kernel.read_once import ReadOnceBlobs

    trusting = trusted_catalogue()
    return replace(trusting, blobs=ReadOnceBlobs(open_backups()), seals=SealLog(state, trusting.trusted))


def metrics_status() -> Status:
    """The same with what only the metrics tell, and costs a call more."""
    from shared.status.collect import collect_status
    from shared.status.set_counts import read_set_counts

    now = system_clock().now()
    more = {
        "sets": lambda: read_set_counts(open_state(), now),
        "calendar": _read_calendar,
    }
    return collect_status({**_readers(), **more}, now, VERSION)


def _read_rehearsal() -> RehearsalFacts:
    from shared.status.model import NotSetUp
    from shared.status.rehearsal_facts import RehearsalFacts
    from shared.wiring import rehearsal

    if not rehearsal.is_enabled():
        raise NotSetUp("policy.yaml rehearses no deploys")
    return RehearsalFacts(next(rehearsal.open_records().list_recent(), None))


def _read_drill(state: Blobs) -> DrillFacts:
    from shared.status.model import NotSetUp
    from shared.status.readers import read_drill
    from shared.wiring import drill

    # Not set up is not a fault: said as such, and left out of the verdict.
    if not drill.is_enabled():
        raise NotSetUp(drill.NOT_SET_UP)
    return read_drill(state, trusted_catalogue().trusted, system_clock(), load_policy().backup.drill)


def _read_calendar() -> CalendarFacts:
    from shared.status.model import NotSetUp
    from shared.status.signal_readers import read_calendar

    facts = read_calendar(open_state())
    if facts is None:
        raise NotSetUp("no calendar has been made yet")
    return facts


@cache
def _timer_intervals() -> dict[str, timedelta]:
    """By timer, the longest pause that its schedule leaves; a schedule that cannot be read has none."""
    now = system_clock().now()
    intervals = {timer: longest_interval(timer_schedule(timer), now) for timer in SCHEDULES}
    return {timer: interval for timer, interval in intervals.items() if interval is not None}
