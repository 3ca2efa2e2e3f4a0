"""What to keep and what to remove, with reasons: one plan for backup sets and for snapshots.

Age decides, by the class an item was made as; counts only ever add protection. So whoever can add entries,
but not delete, cannot push the good ones out with many or future-dated fakes (restic's advice for
append-only repositories, https://restic.readthedocs.io/en/stable/060_forget.html#security-considerations).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from shared.kernel.timestamps import format_minute
from shared.policy.values import format_policy_duration

if TYPE_CHECKING:
    from shared.policy import Retention

_HOUR = timedelta(hours=1)


class Item(NamedTuple):
    """One backup set or snapshot. `complete` means sealed and undamaged, `proven` that it was restored.

    A named tuple, since there may be a hundred thousand and a frozen dataclass takes five times as long.
    """

    name: str
    taken: datetime
    klass: str = "daily"
    complete: bool = True
    proven: bool = False
    managed: bool = True  # whether Groundcrew made it
    retained_until: datetime | None = None
    retention_reason: str = ""  # any other reason to keep it


@dataclass(frozen=True, slots=True)
class Keep:
    """The item stays, for each of these reasons."""

    item: Item
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """The item is removed, for these reasons."""

    item: Item
    reasons: tuple[str, ...]


RetentionDecision = Keep | Remove


def plan_retention(items: Iterable[Item], rules: Retention, now: datetime) -> tuple[RetentionDecision, ...]:
    """A decision on each item, newest first. Deterministic; costs one sort.

    Kept in any case are the newest good one, the newest proven one, the newest `rules.minimum` good ones,
    what is not ours, what has a `keep_until` ahead, and what is dated in the future. A date in the future
    counts for nothing else: it makes nobody else expendable. With `rules.maximum`, the number of all items
    is brought down to it as far as these allow: failed ones go first, then the shortest-lived class, and
    of equals the oldest.
    """
    ordered = sorted(items, key=attrgetter("taken", "name"), reverse=True)
    protections = _protections(ordered, rules, now)
    limits = _limits(ordered, rules)
    young = [now - item.taken < limit for item, (limit, _) in zip(ordered, limits, strict=True)]
    crowded = _crowded_out(ordered, protections, young, limits, rules.maximum)
    decisions: list[RetentionDecision] = []
    for index, item in enumerate(ordered):
        protected, hours = protections[index], (now - item.taken) // _HOUR
        reason = _age_reason(item.klass if item.complete else "incomplete", hours, limits[index][1])
        if index in crowded:
            decisions.append(Remove(item, (*reason, f"more than {rules.maximum} items")))
        elif young[index]:
            decisions.append(Keep(item, protected + reason))
        elif protected:
            decisions.append(Keep(item, protected))
        else:
            decisions.append(Remove(item, reason))
    return tuple(decisions)


def removed_items(decisions: Iterable[RetentionDecision]) -> tuple[Item, ...]:
    """The items to remove."""
    return tuple(decision.item for decision in decisions if isinstance(decision, Remove))


def choose_class(items: Iterable[Item], rules: Retention, zone: tzinfo, now: datetime) -> str:
    """The class the next item is made as: the longest-lived one whose period has no good item yet.

    Periods are the local month and ISO week. Level-triggered: when the first of the month fails, the next
    one becomes the monthly. Items dated after `now` do not count.
    """
    local = now.astimezone(zone)
    weekly = monthly = False
    for item in items:
        if item.complete and item.managed and item.taken <= now and item.klass in ("weekly", "monthly"):
            when = item.taken.astimezone(zone)
            # A monthly one stands in for the weekly of its week, but not the other way round.
            weekly = weekly or when.isocalendar()[:2] == local.isocalendar()[:2]
            same_month = (when.year, when.month) == (local.year, local.month)
            monthly = monthly or (same_month and item.klass == "monthly")
    ages = rules.ages
    if "monthly" in ages and not monthly:
        return "monthly"
    return "weekly" if "weekly" in ages and not weekly else "daily"


def retention_text(decisions: Sequence[RetentionDecision]) -> str:
    """One line per item, as the dry run and the log show it, and a line with the sums."""
    lines = []
    for decision in decisions:
        verb = "keep  " if isinstance(decision, Keep) else "remove"
        when = format_minute(decision.item.taken)
        lines.append(f"{verb} {when} {decision.item.name}: {', '.join(decision.reasons)}")
    count = len(removed_items(decisions))
    return "\n".join([*lines, f"{len(decisions) - count} kept, {count} removed"])


def _protections(ordered: list[Item], rules: Retention, now: datetime) -> list[tuple[str, ...]]:
    protections: list[tuple[str, ...]] = []
    complete = proven = 0
    for item in ordered:
        # One rule for what may protect: a fake can be made by whoever can write, but not in our name and not
        # sealed.
        counts = item.complete and item.managed and item.taken <= now
        complete, proven = complete + counts, proven + (counts and item.proven)
        reasons = [
            "newest complete" if counts and complete == 1 else "",
            "newest proven" if counts and item.proven and proven == 1 else "",
            f"one of the newest {rules.minimum}" if counts and 1 < complete <= rules.minimum else "",
        ]
        protections.append(tuple(filter(None, (*reasons, *_in_any_case(item, now)))))
    return protections


def _in_any_case(item: Item, now: datetime) -> Iterator[str]:
    if not item.managed:
        yield "not made by Groundcrew"
    if item.taken > now:
        yield "dated in the future"
    if item.retained_until and item.retained_until > now:
        yield f"keep until {format_minute(item.retained_until)}"
    if item.retention_reason:
        yield item.retention_reason


def _limits(ordered: list[Item], rules: Retention) -> list[tuple[timedelta, str]]:
    """How old each item may become, and the same as a text."""
    ages = {name: (age, format_policy_duration(age)) for name, age in rules.ages.items()}
    # A class that policy no longer has keeps its items as long as the longest-lived one does.
    longest = max(ages.values())
    failed = (rules.failed, format_policy_duration(rules.failed))
    return [ages.get(item.klass, longest) if item.complete else failed for item in ordered]


@lru_cache(maxsize=4096)
def _age_reason(name: str, hours: int, limit: str) -> tuple[str]:
    if hours < 0:
        return (f"{name}, dated in the future, limit {limit}",)
    return (f"{name}, {f'{hours // 24}d' if hours >= 48 else f'{hours}h'} old, limit {limit}",)


def _crowded_out(
    ordered: list[Item],
    protections: list[tuple[str, ...]],
    young: list[bool],
    limits: list[tuple[timedelta, str]],
    maximum: int | None,
) -> frozenset[int]:
    # Those that expire by age go anyway, and make room.
    staying = sum(1 for reasons, is_young in zip(protections, young, strict=True) if reasons or is_young)
    if maximum is None or staying <= maximum:
        return frozenset()

    def expendable_first(index: int) -> tuple[bool, timedelta, datetime, str]:
        item = ordered[index]
        return item.complete, limits[index][0], item.taken, item.name

    free = [index for index, is_young in enumerate(young) if is_young and not protections[index]]
    return frozenset(sorted(free, key=expendable_first)[: staying - maximum])
