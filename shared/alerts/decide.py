"""Which alerts are told: each start and each end once, and nothing that planned downtime explains. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.alerts.model import Alert, KnownAlert, PlannedDowntime
from shared.notifications.silence import Silence, find_alert_silence

if TYPE_CHECKING:
    from shared.policy.alerts import AlertPolicy

MAX_KNOWN = 3000
_RESOLVED_KEPT, _FIRING_KEPT = timedelta(days=1), timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=10)
"""A start that lies further ahead is a mistake, beside which nothing that comes later counts as old."""

Explain = Callable[[Alert], str]
"""Why an alert is to be expected now; empty if nothing explains it."""


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """What is remembered from now on, what is told, and why the rest is not."""

    known: Mapping[str, KnownAlert]
    tell: tuple[Alert, ...]
    left_out: Mapping[str, str]  # by fingerprint


def decide_alerts(
    known: Mapping[str, KnownAlert],
    incoming: Iterable[Alert],
    explain: Explain,
    now: datetime,
    repeat_after: timedelta,
) -> AlertPlan:
    """One after the other, as the payload has them. The same payload twice tells nothing the second time."""
    after, tell, left_out = dict(known), list[Alert](), dict[str, str]()
    for alert in incoming:
        before = after.get(alert.fingerprint)
        entry, reason = _decide_alert(before, alert, explain, now, repeat_after)
        after[alert.fingerprint] = entry
        if reason:
            left_out[alert.fingerprint] = reason
        else:
            tell.append(alert)
    return AlertPlan(_forget_old(after, now), tuple(tell), left_out)


def _decide_alert(
    before: KnownAlert | None, alert: Alert, explain: Explain, now: datetime, repeat_after: timedelta
) -> tuple[KnownAlert, str]:
    """What is remembered, and why the alert is not told; empty if it is."""
    if before is not None and alert.starts_at < before.alert.starts_at <= now + _CLOCK_SKEW:
        return before, "it is older than what is known"
    # One that began at another time is another alert, whatever its fingerprint.
    same = before if before is not None and alert.starts_at == before.alert.starts_at else None
    if not alert.firing:
        return _decide_end(same, alert, now)
    if same is not None and not same.alert.firing:
        return same, "it is over already"
    told_at = same.told_at if same is not None else None
    if told_at is not None and now - told_at < repeat_after:
        return KnownAlert(alert, now, told_at), "it was told"
    if reason := explain(alert):
        # What was told before the downtime is not repeated in it, but its end is told.
        return KnownAlert(alert, now, told_at, reason), f"explained: {reason}"
    return KnownAlert(alert, now, now), ""


def _decide_end(same: KnownAlert | None, alert: Alert, now: datetime) -> tuple[KnownAlert, str]:
    # An end without its beginning would only make people look for what they had missed.
    if same is None or same.told_at is None:
        return KnownAlert(alert, now), "its start was never told"
    if not same.alert.firing:
        return same, "its end was told"
    return KnownAlert(alert, now, same.told_at), ""


def decide_again(known: Mapping[str, KnownAlert], explain: Explain, now: datetime) -> AlertPlan:
    """Alerts that were explained and still fire: told as soon as nothing explains them any more.

    Azure Monitor says each thing once, and Alertmanager repeats itself only after hours.
    """
    muted = [one.alert for one in known.values() if one.alert.firing and one.told_at is None]
    return decide_alerts(known, muted, explain, now, timedelta.max)


def _forget_old(known: Mapping[str, KnownAlert], now: datetime) -> dict[str, KnownAlert]:
    """Without what is over for long; of too many the oldest go, ended ones first. They may be told twice."""
    remaining = {
        name: entry
        for name, entry in known.items()
        if now - entry.seen_at < (_FIRING_KEPT if entry.alert.firing else _RESOLVED_KEPT)
    }
    if len(remaining) <= MAX_KNOWN:
        return remaining
    newest = sorted(remaining.items(), key=lambda one: (one[1].alert.firing, one[1].seen_at))[-MAX_KNOWN:]
    return dict(newest)


def make_explain(
    downtimes: Sequence[PlannedDowntime], policy: AlertPolicy, silences: Sequence[Silence] = ()
) -> Explain:
    """What explains an alert: a silence that is in force, or that the machine it is about is off by plan, if
    it is of those kinds.

    An alert that names no machine, or another one, is not explained by a machine that is off.
    """

    def explain(alert: Alert) -> str:
        if silence := find_alert_silence(silences, alert.name, alert.severity):
            return f"silenced: {silence}"
        if not is_about_availability(alert, policy.availability):
            return ""
        for downtime in downtimes:
            if any(_means(target, downtime.called) for target in alert.targets):
                return f"{downtime.machine} is off by plan ({downtime.reason})"
        return ""

    return explain


def is_about_availability(alert: Alert, kinds: Iterable[str]) -> bool:
    """Whether policy counts it among those that a machine being off explains."""
    for kind in kinds:
        label, equals, value = kind.partition("=")
        if (alert.labels.get(label) == value) if equals else fnmatchcase(alert.name, kind):
            return True
    return False


def _means(target: str, names: Iterable[str]) -> bool:
    """Whether a label's value is one of the names: bare, with a port, or as the host of an address."""
    host = target.lower()
    if "://" in host:
        try:
            host = urlsplit(host).hostname or ""
        except ValueError:
            return False
    else:
        # `node:9100`, as Prometheus has its instances.
        host = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return bool(host) and any(fnmatchcase(host, name.lower()) for name in names)
