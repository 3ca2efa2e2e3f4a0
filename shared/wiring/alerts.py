"""The wiring of alerts: the endpoint, what planned downtime is as power recorded it, and the notifier."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from shared.kernel.errors import Unavailable
from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import load_policy, open_state, system_clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from shared.alerts.intake import AlertIntake
    from shared.alerts.job import AlertDeps
    from shared.alerts.model import PlannedDowntime


@cache
def build_alert_intake() -> AlertIntake:
    """What the endpoint needs; without a token it is made all the same, and stays closed."""
    from shared.alerts.intake import AlertIntake
    from shared.alerts.job import receive_payloads
    from shared.kernel.group_commit import GroupCommit
    from shared.web.bearer import parse_tokens

    tokens = parse_tokens(read_environment().get(definitions.ALERTS_TOKEN))
    # Not even the stores are opened: without a token nobody gets as far as them.
    if not tokens:
        return AlertIntake((), GroupCommit(lambda _items: None), find_closed_reason())
    # A storm of alerts comes as hundreds of requests: they are written together, and each is answered when
    # its own is stored.
    return AlertIntake(tokens, GroupCommit(partial(receive_payloads, alert_deps()), most=200))


def find_closed_reason() -> str:
    """Why the endpoint is closed; empty if it is open."""
    from shared.web.bearer import MIN_TOKEN_CHARACTERS, parse_tokens

    text, name = read_environment().get(definitions.ALERTS_TOKEN), definitions.ALERTS_TOKEN.name
    if not text:
        return f"{name} is not set"
    # A token that is too short closes the endpoint rather than opening it to whoever guesses.
    if not parse_tokens(text):
        return f"{name} has no token of at least {MIN_TOKEN_CHARACTERS} characters"
    return ""


def describe_alerts() -> str:
    """For health. Raises Unavailable if the endpoint is closed although policy expects a heartbeat."""
    closed = find_closed_reason()
    if closed and load_policy().alerts.watchdog is not None:
        raise Unavailable(f"closed: {closed}, but policy expects Alertmanager's Watchdog (alerts.watchdog)")
    return f"closed: {closed}" if closed else "open"


@cache
def alert_deps() -> AlertDeps:
    """All that alerts need. Raises UsageError."""
    from shared.alerts.job import AlertDeps
    from shared.alerts.records import AlertRecords
    from shared.wiring.notifications import build_group_notifier, silence_records

    rules = load_policy()
    return AlertDeps(
        AlertRecords(open_state()), build_group_notifier(), system_clock(), rules.alerts,
        rules.notify.repeat_after, _find_downtimes, _find_up_since, silence_records().list_in_force,
    )  # fmt: skip


def run_check() -> str:
    """What a tick does about alerts."""
    from shared.alerts.job import check_alerts

    return check_alerts(alert_deps())


def _find_downtimes() -> Sequence[PlannedDowntime]:
    from shared.alerts.model import PlannedDowntime
    from shared.power.downtime import find_planned_downtimes
    from shared.power.last_tick import load_last_tick

    rules = load_policy()
    # From what the last tick wrote down: an endpoint that answers Alertmanager cannot wait for Azure.
    called = {target.machine.lower(): target.called for target in rules.alerts.targets}
    down = find_planned_downtimes(
        load_last_tick(open_state()), system_clock().now(), rules.alerts.start_grace
    )
    return [
        PlannedDowntime(one.machine, (one.machine, *called.get(one.machine, ())), "; ".join(one.reasons))
        for one in down
    ]


def _find_up_since() -> datetime | None:
    from shared.power.downtime import find_server_up_since
    from shared.power.last_tick import load_last_tick
    from shared.wiring.notifications import carries_server

    observed = [one for one in load_last_tick(open_state()) if carries_server(one.machine)]
    return find_server_up_since(observed, system_clock().now())
