"""Decisions about delivery: what is grouped, which routes are tried, and when. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from shared.notifications.model import (
    MAX_HINT,
    MAX_TEXT,
    MAX_TITLE,
    Batch,
    Entry,
    Notice,
    PendingGroup,
    RouteState,
    Severity,
)
from shared.notifications.silence import Silence, find_topic_silence

if TYPE_CHECKING:
    from shared.policy.notify import NotifyPolicy, RateLimit
    from shared.policy.values import Window

MAX_ENTRIES, MAX_TITLES = 30, 20
FIRST_BACKOFF, MAX_BACKOFF = timedelta(seconds=30), timedelta(minutes=15)
# The tick that sees the machine up again must find due what waited for it, or the news that it is up would
# wait with that. A tick comes every five minutes, and a look costs two calls of storage.
OFFLINE_LOOK = timedelta(minutes=1)
SILENCE_LOOK = timedelta(minutes=5)  # a silence may be ended early
_OTHER = ""  # under which titles are counted that are too many to keep
_DAY_MINUTES = 24 * 60


def build_entry(notice: Notice, now: datetime) -> Entry:
    """The notice as it is stored."""
    return Entry(
        notice.severity,
        _cut(" ".join(notice.title.split()), MAX_TITLE),
        _cut(notice.text, MAX_TEXT),
        _cut(notice.hint, MAX_HINT),
        notice.key,
        notice.resolved,
        now,
        tuple((_cut(name, 60), _cut(value, 300)) for name, value in notice.fields[:20]),
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def merge_batches(first: Batch, second: Batch) -> Batch:
    """Both as one. No notice is lost: what is too much to keep in full is counted by its title.

    The most urgent stay in full, of those the oldest. Entries of one key and state are one, in the newer
    words.
    """
    entries: dict[object, Entry] = {}
    for number, entry in enumerate((*first.entries, *second.entries)):
        known = (entry.key, entry.resolved) if entry.key else number
        before = entries.get(known)
        # In the newer words, but as urgent as the more urgent of the two: people have not heard of either.
        urgent = max(entry.severity, before.severity if before else entry.severity, key=lambda one: one.rank)
        count = entry.count + (before.count if before else 0)
        entries[known] = replace(entry, severity=urgent, count=count)
    merged = sorted(entries.values(), key=lambda entry: -entry.severity.rank)  # stable: the oldest first
    more = _add_counts(first.more, second.more)
    more = _add_counts(more, _count_titles(merged[MAX_ENTRIES:]))
    return Batch(tuple(merged[:MAX_ENTRIES]), more)


def _count_titles(entries: Iterable[Entry]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.title] = counts.get(entry.title, 0) + entry.count
    return counts


def _add_counts(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    counts = dict(first)
    for title, count in second.items():
        # A flood with a different title each time must not make the record grow without end.
        known = title if title in counts or len(counts) < MAX_TITLES else _OTHER
        counts[known] = counts.get(known, 0) + count
    return counts


def add_notices(
    group: PendingGroup, entries: Iterable[Entry], now: datetime, wait: timedelta
) -> PendingGroup:
    """The group with more notices; `wait` is for others to join, and counts from the first of them."""
    batch = merge_batches(group.waiting, _batch_of(entries))
    if not group.is_empty:
        return replace(group, waiting=batch)
    return replace(group, waiting=batch, since=now, not_before=now + wait if wait else None)


def _batch_of(entries: Iterable[Entry]) -> Batch:
    batch = Batch()
    for entry in entries:
        batch = merge_batches(batch, Batch((entry,)))
    return batch


def is_due(group: PendingGroup, now: datetime) -> bool:
    """Whether it is to be sent now: nobody is sending it, and no wait is left."""
    if group.is_empty or (group.claimed_until is not None and now < group.claimed_until):
        return False
    return group.not_before is None or now >= group.not_before


def claim_group(group: PendingGroup, claim: str, until: datetime) -> PendingGroup:
    """Take all that waits for one attempt; what comes from now on waits for the next."""
    # With what an earlier attempt had not delivered: one message, and not the old one after the new.
    sending = merge_batches(group.sending, group.waiting)
    return replace(group, sending=sending, waiting=Batch(), claim=claim, claimed_until=until)


def complete_group(group: PendingGroup) -> PendingGroup:
    """A channel took what was being sent."""
    since = min((entry.at for entry in group.waiting.entries), default=None)
    return PendingGroup(group.name, group.topic, waiting=group.waiting, since=since)


def postpone_group(group: PendingGroup, until: datetime, *, failed: bool) -> PendingGroup:
    """No channel took it: it stays, for a later attempt."""
    attempts = group.attempts + 1 if failed else group.attempts
    return replace(group, not_before=until, attempts=attempts, claim="", claimed_until=None)


def next_backoff(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts: doubled each time, up to a quarter of an hour."""
    doublings = min(max(attempts - 1, 0), 10)
    return min(FIRST_BACKOFF * (1 << doublings), MAX_BACKOFF)


def select_routes(policy: NotifyPolicy, topic: str, severity: Severity) -> tuple[str, ...]:
    """The names of the routes that hear of it: the topic's own, where policy gives it some."""
    for entry in policy.topics:
        own: tuple[str, ...] | None = getattr(entry, severity.value)
        if topic in entry.names and own is not None:
            return own
    routes: tuple[str, ...] = getattr(policy.routes, severity.value)
    return routes


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """Which routes to try, in order, then which if all of those failed; why others are left out.

    With `wait_until` nothing is tried before; `reason` says why.
    """

    routes: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    skipped: Mapping[str, str] | None = None
    wait_until: datetime | None = None
    reason: str = ""


def plan_delivery(
    policy: NotifyPolicy,
    topic: str,
    severity: Severity,
    states: Mapping[str, RouteState],
    now: datetime,
    zone: tzinfo,
    *,
    offline: Mapping[str, str],
    silences: Sequence[Silence] = (),
) -> DeliveryPlan:
    """How to deliver a message now. `offline` names routes whose machine is off, with the reason."""
    if silence := find_topic_silence(silences, topic, severity):
        return DeliveryPlan(wait_until=min(silence.until, now + SILENCE_LOOK), reason=f"silenced: {silence}")
    routes_selected = select_routes(policy, topic, severity)
    if not routes_selected:
        return DeliveryPlan(reason="policy names no route for it")
    critical = severity is Severity.CRITICAL
    quiet = None if critical else find_quiet_end(policy.quiet_hours, now, zone)
    if quiet is not None:
        return DeliveryPlan(wait_until=quiet, reason="quiet hours")
    skipped = {name: offline[name] for name in routes_selected if name in offline}
    falls_back = severity.rank >= Severity(policy.fallback_from).rank
    fallback = tuple(
        n for n in (policy.fallback,) if n and n not in routes_selected and n not in offline and falls_back
    )
    online = [name for name in (*routes_selected, *fallback) if name not in offline]
    limited = _find_limited(online, states, policy.rate_limit, now, critical=critical)
    skipped |= dict.fromkeys(limited, "rate limit")
    routes = tuple(name for name in routes_selected if name not in skipped)
    # A route that has had enough is not down: its messages wait, and become one.
    if not routes and any(name in limited for name in routes_selected):
        until = min(until for name, until in limited.items() if name in routes_selected)
        return DeliveryPlan(skipped=skipped, wait_until=until, reason="rate limit")
    fallback = tuple(name for name in fallback if name not in limited)
    if not routes and not fallback:
        reason = "; ".join(dict.fromkeys(skipped.values()))
        return DeliveryPlan(skipped=skipped, wait_until=now + OFFLINE_LOOK, reason=reason)
    return DeliveryPlan(routes, fallback, skipped)


def _find_limited(
    names: Iterable[str],
    states: Mapping[str, RouteState],
    limit: RateLimit,
    now: datetime,
    *,
    critical: bool,
) -> dict[str, datetime]:
    """The routes that have had enough messages for now, and until when."""
    sent = {name: states.get(name, RouteState()).sent for name in names}
    ends = {name: find_rate_end(times, limit, now, critical=critical) for name, times in sent.items()}
    return {name: until for name, until in ends.items() if until is not None}


def find_quiet_end(windows: Iterable[Window], now: datetime, zone: tzinfo) -> datetime | None:
    """When the quiet hours end in which `now` lies; None if it lies in none.

    By the wall clock: on the nights when clocks change they may end an hour early or late, never not at all.
    """
    local = now.astimezone(zone)
    minute = local.hour * 60 + local.minute
    remaining: list[int] = []
    for window in windows:
        for days_ago in (0, 1):  # a window over midnight began on the day before
            at = minute + days_ago * _DAY_MINUTES
            if (local.weekday() - days_ago) % 7 in window.days and window.start <= at < window.end:
                remaining.append(window.end - at)
    if not remaining:
        return None
    return now.replace(second=0, microsecond=0) + timedelta(minutes=max(remaining))


def find_rate_end(
    sent: tuple[datetime, ...], limit: RateLimit, now: datetime, *, critical: bool
) -> datetime | None:
    """When the route may be used again; None if now. A quarter of the rate is kept for critical messages."""
    recent = sorted(at for at in sent if now - at < limit.per)
    allowed = limit.messages if critical else limit.messages - limit.messages // 4
    if len(recent) < allowed:
        return None
    # When the oldest of those that fill the limit falls out of the window.
    return recent[len(recent) - allowed] + limit.per


def record_success(state: RouteState, now: datetime, limit: RateLimit) -> RouteState:
    """The route took a message."""
    sent = tuple(at for at in (*state.sent, now) if now - at < limit.per)[-limit.messages :]
    return RouteState(sent, last_success=now, last_failure=state.last_failure)


def record_failure(state: RouteState, now: datetime, error: str, *, permanent: bool) -> RouteState:
    """The route did not take a message."""
    return replace(
        state, last_failure=now, failures=state.failures + 1, error=error[:300], permanent=permanent
    )


TROUBLE_AFTER = 3
"""Failures in a row after which a route is in trouble; one refusal is enough."""


def is_in_trouble(state: RouteState) -> bool:
    """Whether people have to be told by another route that this one does not work."""
    # Three: one lost packet, or a chat that restarts for an update, is no trouble.
    return state.failures >= TROUBLE_AFTER or (state.failures > 0 and state.permanent)
