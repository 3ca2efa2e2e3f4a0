"""The VM is up exactly when it should be: calendar, orders and decisions against brute force.

The oracles here know nothing of folds and segments. They look at the wall clock of every single minute:
a window has begun once the clock has ever reached its start, and lasts until the clock will never again
show less than its end. Orders are painted over that, minute by minute, in the order in which they were given.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel.errors import UsageError
from shared.policy import Policy, PowerPolicy, days_off, parse_policy
from shared.policy.values import Window, parse_window
from shared.power.attempts import Act, Attempt, append_attempt, reconcile_history
from shared.power.decide import decide_power
from shared.power.model import PowerStatus, Situation
from shared.power.overrides import (
    MAX_AHEAD,
    MAX_DURATION,
    Override,
    desired_state,
    next_change,
    parse_override,
)
from shared.power.schedule import Schedule
from shared.records.hold import Hold

MINUTE = timedelta(minutes=1)
EPOCH_DAY = date(1970, 1, 1)
DAY = 1440


@lru_cache(maxsize=32)
def wall_clock(zone: str, start: datetime, minutes: int) -> tuple[list[int], list[int]]:
    """For each minute from `start`: the latest wall-clock reading so far, and the earliest still to come."""
    naive = []
    for offset in range(minutes):
        local = (start + offset * MINUTE).astimezone(ZoneInfo(zone))
        naive.append((local.date() - EPOCH_DAY).days * DAY + local.hour * 60 + local.minute)
    return list(accumulate(naive, max)), list(accumulate(reversed(naive), min))[::-1]


def painted(
    zone: str, start: datetime, minutes: int, windows: tuple[Window, ...], day_off: Callable[[date], str]
) -> list[bool]:
    """Whether the machine should be up by its windows, for each minute from `start`."""
    reached, ahead = wall_clock(zone, start, minutes)
    up = [False] * minutes
    first = EPOCH_DAY + timedelta(days=reached[0] // DAY - 2)
    for offset in range(minutes // DAY + 5):
        day = first + timedelta(days=offset)
        if day_off(day):
            continue
        midnight = (day - EPOCH_DAY).days * DAY
        for window in windows:
            if day.weekday() in window.days:
                begin = bisect_left(reached, midnight + window.start)
                end = bisect_left(ahead, midnight + window.end)
                up[begin:end] = [True] * max(0, end - begin)
    return up


def walked(schedule: Schedule, start: datetime, minutes: int) -> list[bool]:
    """The same as the calendar says it, from segment to segment."""
    up: list[bool] = []
    moment, end = start, start + minutes * MINUTE
    while moment < end:
        segment = schedule.segment_at(moment)
        until = min(segment.until or end, end)
        assert until > moment
        up += [segment.up] * ((until - moment) // MINUTE)
        moment = until
    return up


# Zones and days on which something happens to the clock.
CHANGES = {
    "Berlin forward": ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    "Berlin back": ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "New York forward": ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    "New York back": ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "half an hour": ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    "two hours": ("Antarctica/Troll", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "midnight skipped": ("Africa/Cairo", datetime(2025, 4, 24, 22, tzinfo=UTC)),
    "before midnight again": ("Africa/Cairo", datetime(2025, 10, 30, 21, tzinfo=UTC)),
    "a minute past midnight": ("America/St_Johns", datetime(2010, 3, 14, 3, 31, tzinfo=UTC)),
    "a day skipped": ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    "a leap day": ("Asia/Kolkata", datetime(2028, 2, 29, 0, tzinfo=UTC)),
}
windows = st.lists(
    st.builds(
        lambda days, start, length: Window(frozenset(days), start, start + length),
        st.sets(st.integers(0, 6), min_size=1),
        st.integers(0, 1439) | st.integers(0, 240),
        st.integers(1, 1439) | st.integers(1, 180),
    ),
    max_size=4,
).map(tuple)


@given(st.sampled_from(list(CHANGES.values())), windows, st.sets(st.integers(-3, 3), max_size=2))
@settings(max_examples=300, deadline=None)
def test_windows_hold_minute_by_minute_when_clocks_change(
    change: tuple[str, datetime], given_windows: tuple[Window, ...], off: set[int]
) -> None:
    zone, middle = change
    free = {middle.date() + timedelta(days=offset) for offset in off}

    def day_off(day: date) -> str:
        return "holiday" if day in free else ""

    start, minutes = middle - timedelta(days=6), 12 * DAY
    inner = slice(3 * DAY, 9 * DAY)
    schedule = Schedule(ZoneInfo(zone), given_windows, day_off)
    expected = painted(zone, start, minutes, given_windows, day_off)[inner]
    assert walked(schedule, start + timedelta(days=3), 6 * DAY) == expected
    # The segment does not depend on what was asked before.
    fresh = Schedule(ZoneInfo(zone), given_windows, day_off)
    at = middle + timedelta(minutes=17)
    assert fresh.segment_at(at) == schedule.segment_at(at)
    total = schedule.up_time(start + timedelta(days=3), start + timedelta(days=9))
    assert total == sum(expected) * MINUTE


@pytest.mark.parametrize(
    ("window", "day", "begin", "end"),
    [
        ("daily 02:30-06:00", 29, "01:00", "04:00"),
        ("daily 01:00-02:30", 29, "00:00", "01:00"),
        ("daily 02:10-02:50", 29, "", ""),
        ("daily 22:00-02:30", 28, "21:00", "01:00"),
    ],
    ids=["begins in the skipped hour", "ends in it", "lies in it", "over midnight into it"],
)
def test_a_window_in_the_skipped_hour_begins_and_ends_at_the_jump(
    window: str, day: int, begin: str, end: str
) -> None:
    schedule = Schedule(ZoneInfo("Europe/Berlin"), (parse_window(window),))
    noon = datetime(2026, 3, day, 12, tzinfo=UTC)
    if not begin:
        midnight = noon.replace(hour=0)
        assert schedule.up_time(midnight, noon) == timedelta()
        return
    segment = schedule.segment_at(datetime.fromisoformat(f"2026-03-{day:02}T{begin}Z"))
    assert segment.up
    assert segment.since == datetime.fromisoformat(f"2026-03-{day:02}T{begin}Z")
    assert segment.until is not None
    assert f"{segment.until:%H:%M}" == end


@pytest.mark.parametrize(
    ("window", "begin", "end"),
    [
        ("daily 02:30-06:00", "00:30", "05:00"),
        ("daily 01:00-02:30", "23:00", "01:30"),
        ("daily 01:00-02:00", "23:00", "00:00"),
        ("daily 02:00-03:00", "00:00", "02:00"),
    ],
    ids=["begins at the first pass", "ends at the second", "ends as it begins", "lasts both passes"],
)
def test_a_window_in_the_repeated_hour_is_not_interrupted(window: str, begin: str, end: str) -> None:
    schedule = Schedule(ZoneInfo("Europe/Berlin"), (parse_window(window),))
    start = datetime(2026, 10, 25 if begin < "12" else 24, int(begin[:2]), int(begin[3:]), tzinfo=UTC)
    segment = schedule.segment_at(start)
    assert (segment.up, segment.since) == (True, start)
    assert segment.until is not None
    assert f"{segment.until:%d %H:%M}" == f"25 {end}"


def test_windows_that_touch_are_one_and_one_without_end_says_so() -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    touching = (parse_window("Mon-Fri 00:00-24:00"), parse_window("Sat 00:00-12:00"))
    segment = Schedule(ZoneInfo("UTC"), touching).segment_at(now)
    assert segment.since == datetime(2026, 3, 2, tzinfo=UTC)
    assert segment.until == datetime(2026, 3, 7, 12, tzinfo=UTC)
    always = Schedule(ZoneInfo("Europe/Berlin"), (parse_window("daily 00:00-24:00"),)).segment_at(now)
    assert (always.up, always.since, always.until) == (True, None, None)
    never = Schedule(ZoneInfo("Europe/Berlin"), ()).segment_at(now)
    assert (never.up, never.since, never.until) == (False, None, None)


def test_a_night_before_a_holiday_runs_its_course_and_the_reason_names_the_holiday() -> None:
    def day_off(day: date) -> str:
        return "Long weekend" if day == date(2026, 3, 3) else ""

    schedule = Schedule(ZoneInfo("UTC"), (parse_window("daily 22:00-06:00"),), day_off)
    night = schedule.segment_at(datetime(2026, 3, 3, 3, tzinfo=UTC))
    assert (night.up, night.until) == (True, datetime(2026, 3, 3, 6, tzinfo=UTC))
    day = schedule.segment_at(datetime(2026, 3, 3, 12, tzinfo=UTC))
    assert (day.up, day.until) == (False, datetime(2026, 3, 4, 22, tzinfo=UTC))
    assert "Long weekend" in day.reason


# Orders

START = datetime(2026, 3, 26, tzinfo=UTC)  # four days around a change of clocks
OFFICE = (parse_window("Mon-Fri 07:00-19:00"), parse_window("Sat 22:00-02:30"))
spans = st.tuples(st.integers(0, 5 * DAY), st.integers(1, 2 * DAY), st.sampled_from([True, False, None]))


@given(st.lists(spans, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_newest_order_in_force_rules_and_the_next_change_is_the_next_change(
    drawn: list[tuple[int, int, bool | None]], chance: random.Random
) -> None:
    schedule = Schedule(ZoneInfo("Europe/Berlin"), OFFICE)
    base = painted("Europe/Berlin", START - timedelta(days=3), 14 * DAY, OFFICE, lambda _: "")
    by_minute = base[3 * DAY : 11 * DAY]
    orders = [
        Override(up, START + a * MINUTE, START + (a + n) * MINUTE, START + index * MINUTE, id=str(index))
        for index, (a, n, up) in enumerate(drawn)
    ]
    expected = list(by_minute)
    for (begin, length, up), _ in zip(drawn, orders, strict=True):
        for minute in range(begin, begin + length):
            expected[minute] = by_minute[minute] if up is None else up
    shuffled = orders[:]
    chance.shuffle(shuffled)
    for minute in chance.sample(range(6 * DAY), 60):
        now = START + minute * MINUTE
        wanted = desired_state(schedule, shuffled, now)
        assert wanted.up == expected[minute]
        assert wanted.until == next_change(schedule, orders, now)
        following = next((m for m in range(minute, 8 * DAY) if expected[m] != expected[minute]), None)
        if following is not None:
            assert wanted.until == START + following * MINUTE
        assert wanted.since is None or wanted.since <= now


# A year


@dataclass
class Tick:
    minute: int
    doubled: bool = False


@dataclass
class Machine:
    """A VM that does at once what it is told, and the record of what it was told."""

    up: bool = False
    history: tuple[Attempt, ...] = ()
    acts: list[tuple[int, Act, str]] = field(default_factory=list)

    def tick(self, situation: Situation, rules: PowerPolicy, now: datetime, minute: int) -> None:
        decision = decide_power(situation, rules, now)
        if decision.act in (Act.NONE, Act.WAIT):
            return
        self.acts.append((minute, decision.act, decision.id))
        self.history = append_attempt(
            self.history, Attempt(decision.act, decision.id, now, stop_at=decision.stop_at)
        )
        self.up = {Act.START: True, Act.STOP: False}.get(decision.act, self.up)

    def situation(
        self, schedule: Schedule, orders: tuple[Override, ...], holds: tuple[Hold, ...]
    ) -> Situation:
        state = PowerStatus.RUNNING if self.up else PowerStatus.DEALLOCATED
        self.history = reconcile_history(self.history, running=self.up, deallocated=not self.up)
        return Situation(state, schedule, orders, holds, self.history)


YEAR = datetime(2026, 1, 1, tzinfo=UTC)
MINUTES = 365 * DAY
HOLIDAYS = """
timezone: {zone}
power:
  holidays: {{country: {country}}}
  vacations: [{{first: 2026-08-03, last: 2026-08-14}}, {{first: 2026-12-24, last: 2027-01-01}}]
"""


def year_of(zone: str, country: str, texts: tuple[str, ...]) -> tuple[Policy, Schedule, list[bool]]:
    policy = parse_policy(HOLIDAYS.format(zone=zone, country=country))
    off, parsed = days_off(policy.power), tuple(map(parse_window, texts))
    margin = 3 * DAY
    by_minute = painted(zone, YEAR - margin * MINUTE, MINUTES + 2 * margin, parsed, off)
    return policy, Schedule(ZoneInfo(zone), parsed, off), by_minute[margin:]


@pytest.mark.parametrize(
    ("zone", "country", "texts"),
    [
        ("Europe/Berlin", "DE", ("Mon-Fri 07:00-19:00", "Sat 22:00-02:30")),
        ("America/New_York", "US", ("Sun-Thu 20:00-01:30", "daily 09:00-17:00")),
    ],
    ids=["office hours and a Saturday night", "a night shift"],
)
def test_in_a_year_of_ticks_the_machine_is_up_exactly_when_it_should_be(
    zone: str, country: str, texts: tuple[str, ...]
) -> None:
    policy, schedule, wanted = year_of(zone, country, texts)
    machine, wrong = Machine(), []
    began = time.process_time()
    for minute in range(0, MINUTES, 5):
        machine.tick(machine.situation(schedule, (), ()), policy.power, YEAR + minute * MINUTE, minute)
        if machine.up != wanted[minute]:
            wrong.append(minute)
    assert time.process_time() - began < 10  # 1.5 s on an idle machine
    assert wrong == []
    counted = Counter(act for _, act, _ in machine.acts)
    assert counted[Act.START] > 200
    assert counted[Act.START] - counted[Act.STOP] in (0, 1)
    assert counted[Act.WARN] == counted[Act.STOP]


def random_orders(chance: random.Random) -> list[tuple[int, Override]]:
    """About two orders a week, some overlapping; given and in force from a minute on."""
    given_at = sorted(chance.sample(range(MINUTES - 3 * DAY), 110))
    made = []
    for minute in given_at:
        length = chance.choice([7, 45, 180, 600, 1500, 3000])
        up = chance.choice([True, True, False, False, None])
        now = YEAR + minute * MINUTE
        made.append((minute, Override(up, now, now + length * MINUTE, now, id=str(minute))))
    return made


def random_ticks(chance: random.Random) -> Iterator[Tick]:
    """Every five minutes, some late, some doubled, some lost, and sometimes all for hours or a day."""
    silent_until = -1
    for minute in range(0, MINUTES, 5):
        if chance.random() < 0.0005:
            silent_until = minute + chance.choice([20, 60, 300, DAY])
        if minute >= silent_until and chance.random() > 0.05:
            yield Tick(minute + chance.choice([0, 0, 0, 1, 2]), doubled=chance.random() < 0.05)


class Oracle:
    """The same rules over minutes: who decides is found by looking, never computed."""

    def __init__(self, base: list[bool], warning: int, min_up: int) -> None:
        self.base, self.warning, self.min_up = base, warning, min_up
        self.orders: list[tuple[int, int, bool | None, int]] = []  # begin, end, up, serial
        self.holds: list[tuple[int, int]] = []
        self.up, self.started = False, -(10**6)
        self.warned: dict[int, tuple[int, int]] = {}  # when people were warned of a stop, and for when

    def ruler(self, minute: int) -> tuple[int, bool]:
        """Serial of the order in force given last (-1: the calendar), and what it wants."""
        for begin, end, up, serial in reversed(self.orders):
            if begin <= minute < end:
                return serial, self.base[minute] if up is None else up
        return -1, self.base[minute]

    def held(self, minute: int) -> bool:
        return any(begin <= minute < end for begin, end in self.holds)

    def tick(self, minute: int) -> Act | None:
        self.orders = [order for order in self.orders if order[1] > minute - 4 * DAY]
        self.holds = [hold for hold in self.holds if hold[1] > minute]
        if self.ruler(minute)[1]:
            if not self.up:
                self.up, self.started = True, minute
                return Act.START
            return self.foresee(minute)
        return self.wind_down(minute) if self.up and not self.held(minute) else None

    def foresee(self, minute: int) -> Act | None:
        lead = self.warning + 5
        last = minute + max(lead, 0)
        change = next((m for m in range(minute + 1, last + 1) if not self.ruler(m)[1]), None)
        if change is None:
            return None
        stop = max(change, self.started + self.min_up)
        if minute < stop - lead or (self.fresh(change, minute) and self.warned[change][1] >= stop):
            return None
        if any(begin <= minute and stop < end for begin, end in self.holds):
            return None
        self.warned[change] = minute, max(stop, minute + self.warning)
        return Act.WARN

    def wind_down(self, minute: int) -> Act | None:
        ruler, since = self.ruler(minute), minute
        while since > 0 and self.ruler(since - 1) == ruler:
            since -= 1
        stop = max(since, self.started + self.min_up)
        if minute < stop - self.warning - 5:
            return None
        if not self.fresh(since, minute):
            self.warned[since] = minute, max(stop, minute + self.warning)
            return Act.WARN
        if minute < max(stop, self.warned[since][1]):
            return None
        self.up = False
        return Act.STOP

    def fresh(self, since: int, minute: int) -> bool:
        """Whether people know of this stop: warned since the last order, and not for much earlier."""
        if since not in self.warned:
            return False
        warned, announced = self.warned[since]
        ordered = any(serial > warned for _, _, _, serial in self.orders)
        return not ordered and minute <= announced + 15


@pytest.mark.parametrize(("seed", "months"), [(1, range(1, 7)), (2, range(7, 13))], ids=["spring", "autumn"])
def test_a_year_with_orders_holds_lost_and_doubled_ticks_goes_as_brute_force_says(
    seed: int, months: range
) -> None:
    chance = random.Random(seed)
    policy, schedule, base = year_of("Europe/Berlin", "DE", ("Mon-Fri 07:00-19:00", "Sat 22:00-02:30"))
    rules = policy.power
    oracle = Oracle(base, rules.warning // MINUTE, rules.min_up // MINUTE)
    pending, orders = random_orders(chance), list[Override]()
    holds: list[Hold] = []
    machine, expected = Machine(), list[tuple[int, Act]]()
    held_at = {minute for minute in range(0, MINUTES, 5) if chance.random() < 0.003}
    for tick in random_ticks(chance):
        now = YEAR + tick.minute * MINUTE
        # Each half of the year, with its change of clocks, by another chance.
        if now.month not in months:
            continue
        while pending and pending[0][0] <= tick.minute:
            minute, order = pending.pop(0)
            orders = [known for known in orders if known.until > now - timedelta(days=4)] + [order]
            oracle.orders.append((minute, minute + (order.until - order.start) // MINUTE, order.up, minute))
        holds = [hold for hold in holds if hold.until > now]
        if tick.minute - tick.minute % 5 in held_at:
            length = chance.choice([10, 60, 200])
            holds.append(Hold("backup", now, now + length * MINUTE))
            oracle.holds.append((tick.minute, tick.minute + length))
        for _ in range(2 if tick.doubled else 1):
            situation = machine.situation(schedule, tuple(orders), tuple(holds))
            before = machine.up
            machine.tick(situation, rules, now, tick.minute)
            act = oracle.tick(tick.minute)
            expected += [(tick.minute, act)] if act else []
            assert machine.up == oracle.up, (now, machine.acts[-3:], expected[-3:])
            assert machine.up or not oracle.ruler(tick.minute)[1]
            if before and not machine.up:
                assert not oracle.held(tick.minute)
    assert [(minute, act) for minute, act, _ in machine.acts] == expected
    done = Counter((act, id_) for _, act, id_ in machine.acts if act is not Act.WARN)
    assert max(done.values()) == 1
    check_warned_in_time(machine.acts, rules.warning // MINUTE)
    assert len(machine.acts) > 350


def check_warned_in_time(acts: list[tuple[int, Act, str]], warning: int) -> None:
    """Each stop was announced under its own id, at least the warning time before, and not hours before."""
    announced: dict[str, int] = {}
    for minute, act, id_ in acts:
        if act is Act.WARN:
            announced[id_] = minute
        if act is Act.STOP:
            assert warning <= minute - announced[id_] <= 3 * warning


# Texts of orders


@given(
    st.text(max_size=60)
    | st.from_regex(r"(up|off) (until |for |from |on |)[a-z0-9: -]{1,20}", fullmatch=True)
)
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_order_that_ends_within_a_month_or_a_usage_error(text: str) -> None:
    now = datetime(2026, 3, 28, 12, tzinfo=UTC)
    try:
        order = parse_override(text, ZoneInfo("Europe/Berlin"), now)
    except UsageError as error:
        assert error.hint
        return
    assert now <= order.start < order.until <= order.start + MAX_DURATION
    assert now < order.until
    assert order.start <= now + MAX_AHEAD
