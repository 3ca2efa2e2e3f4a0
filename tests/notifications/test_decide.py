"""Grouping, quiet hours, rates and back-off have laws; routes have cases."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.notifications.decide import (
    MAX_BACKOFF,
    MAX_ENTRIES,
    MAX_TITLES,
    add_notices,
    build_entry,
    claim_group,
    complete_group,
    find_quiet_end,
    find_rate_end,
    is_due,
    is_in_trouble,
    merge_batches,
    next_backoff,
    plan_delivery,
    postpone_group,
    record_failure,
    record_success,
)
from shared.notifications.model import (
    MAX_TEXT,
    Batch,
    Notice,
    PendingGroup,
    RouteState,
    Severity,
)
from shared.policy import NotifyPolicy
from shared.policy.notify import RateLimit
from shared.policy.values import DAY_MINUTES, parse_window

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")

notices = st.builds(
    Notice,
    severity=st.sampled_from(Severity),
    title=st.sampled_from([f"title {number}" for number in range(40)]),
    text=st.just("text"),
    key=st.one_of(st.just(""), st.sampled_from([f"key/{number}" for number in range(60)])),
    resolved=st.booleans(),
)
batches = st.lists(notices, max_size=80).map(
    lambda some: (
        add_notices(PendingGroup("g", "t"), [build_entry(one, NOW) for one in some], NOW, timedelta()).waiting
    )
)


def total_by_severity(batch: Batch) -> Counter[Severity]:
    return Counter({entry.severity: entry.count for entry in batch.entries})


@settings(max_examples=60, deadline=None)
@given(batches, batches)
def test_merging_loses_no_notice_and_never_outgrows_its_bounds(first: Batch, second: Batch) -> None:
    merged = merge_batches(first, second)
    assert merged.total == first.total + second.total
    assert len(merged.entries) <= MAX_ENTRIES
    assert len(merged.more) <= MAX_TITLES + 1
    assert bool(merged) == bool(first.total + second.total)


@settings(max_examples=60, deadline=None)
@given(batches, batches)
def test_the_most_urgent_notice_stays_in_full(first: Batch, second: Batch) -> None:
    merged = merge_batches(first, second)
    assert merged.severity.rank == max(first.severity.rank, second.severity.rank)


@settings(max_examples=60, deadline=None)
@given(batches)
def test_nothing_is_merged_with_nothing(batch: Batch) -> None:
    assert merge_batches(batch, Batch()).entries == batch.entries
    assert merge_batches(Batch(), batch).total == batch.total


@settings(max_examples=60, deadline=None)
@given(batches, batches, batches)
def test_in_which_order_batches_are_merged_changes_no_count(a: Batch, b: Batch, c: Batch) -> None:
    left, right = merge_batches(merge_batches(a, b), c), merge_batches(a, merge_batches(b, c))
    assert left.total == right.total
    assert left.severity == right.severity


def test_one_key_is_one_entry_in_the_newer_words_and_its_end_another() -> None:
    def entry(text: str, *, resolved: bool = False) -> Batch:
        notice = Notice(Severity.WARNING, "t", text, key="k", resolved=resolved)
        return Batch((build_entry(notice, NOW),))

    merged = merge_batches(merge_batches(entry("old"), entry("new")), entry("over", resolved=True))
    assert [(one.text, one.count, one.resolved) for one in merged.entries] == [
        ("new", 2, False),
        ("over", 1, True),
    ]


def test_one_key_keeps_the_more_urgent_severity_of_what_nobody_heard_yet() -> None:
    urgent, mild = (
        Batch((build_entry(Notice(severity, "t", severity, key="k"), NOW),))
        for severity in (Severity.CRITICAL, Severity.INFO)
    )
    (entry,) = merge_batches(urgent, mild).entries
    assert (entry.severity, entry.text) == (Severity.CRITICAL, "info")
    assert merge_batches(mild, urgent).severity is Severity.CRITICAL


def test_notices_without_a_key_are_each_one_entry() -> None:
    one = Batch((build_entry(Notice(Severity.INFO, "t", "x"), NOW),))
    assert len(merge_batches(one, one).entries) == 2


def test_what_is_too_long_is_cut_where_it_is_stored() -> None:
    entry = build_entry(Notice(Severity.INFO, "a\nb " * 200, "x" * 9000, "y" * 9000), NOW)
    assert "\n" not in entry.title
    assert len(entry.text) == MAX_TEXT
    assert entry.text.endswith("…")
    assert len(entry.title) <= 200


def test_fields_are_bounded_in_number_and_length_where_they_are_stored() -> None:
    fields = tuple((f"{n:02}" + "n" * 60, "v" * 301) for n in range(21))
    entry = build_entry(Notice(Severity.INFO, "t", "x", fields=fields), NOW)
    assert len(entry.fields) == 20
    assert entry.fields[0] == ("00" + "n" * 57 + "…", "v" * 299 + "…")
    fits = (("n" * 60, "v" * 300),)
    assert build_entry(Notice(Severity.INFO, "t", "x", fields=fits), NOW).fields == fits


def test_the_error_of_a_route_is_kept_in_its_first_300_characters() -> None:
    assert record_failure(RouteState(), NOW, "e" * 400, permanent=False).error == "e" * 300


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "claim", "complete", "fail"]), notices), max_size=40))
def test_whatever_happens_to_a_group_every_notice_is_delivered_or_still_there(
    steps: list[tuple[str, Notice]],
) -> None:
    group, added, delivered = PendingGroup("g", "t"), 0, 0
    for step, notice in steps:
        if step == "add":
            group, added = add_notices(group, [build_entry(notice, NOW)], NOW, timedelta()), added + 1
        elif step == "claim" and is_due(group, NOW):
            group = claim_group(group, "me", NOW)
        elif step == "complete" and group.claim:
            delivered += group.sending.total
            group = complete_group(group)
        elif step == "fail" and group.claim:
            group = postpone_group(group, NOW, failed=True)
    assert delivered + group.waiting.total + group.sending.total == added


def test_a_claimed_group_is_not_due_until_the_claim_is_over() -> None:
    group = add_notices(
        PendingGroup("g", "t"), [build_entry(Notice(Severity.INFO, "t", ""), NOW)], NOW, timedelta()
    )
    claimed = claim_group(group, "me", NOW + timedelta(minutes=2))
    assert is_due(group, NOW)
    assert not is_due(claimed, NOW + timedelta(seconds=119))
    assert is_due(claimed, NOW + timedelta(minutes=2))


def test_others_may_join_until_the_wait_is_over_which_counts_from_the_first() -> None:
    entry = build_entry(Notice(Severity.INFO, "t", ""), NOW)
    group = add_notices(PendingGroup("g", "t"), [entry], NOW, timedelta(seconds=30))
    later = NOW + timedelta(seconds=20)
    group = add_notices(group, [entry], later, timedelta(seconds=30))
    assert not is_due(group, NOW + timedelta(seconds=29))
    assert is_due(group, NOW + timedelta(seconds=30))


@given(st.integers(-3, 10_000))
def test_pauses_grow_to_a_bound(attempts: int) -> None:
    assert timedelta() < next_backoff(attempts) <= next_backoff(attempts + 1) <= MAX_BACKOFF


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(-1, 30), (0, 30), (1, 30), (2, 60), (3, 120), (5, 480), (6, 900), (99, 900)]
)
def test_each_pause_is_twice_the_one_before_up_to_a_quarter_of_an_hour(attempts: int, seconds: int) -> None:
    assert next_backoff(attempts) == timedelta(seconds=seconds)


WINDOWS = st.builds(
    lambda days, start, length: parse_window(
        f"{','.join(sorted(days))} {start // 60:02}:{start % 60:02}-"
        f"{(start + length) % DAY_MINUTES // 60:02}:{(start + length) % 60:02}"
    ),
    st.sets(st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]), min_size=1),
    st.integers(0, DAY_MINUTES - 1),
    st.integers(1, DAY_MINUTES - 1),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(WINDOWS, max_size=3), st.integers(0, 7 * DAY_MINUTES))
def test_the_end_of_quiet_hours_lies_ahead_and_no_window_that_holds_now_is_left_then(windows, minute) -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=minute, seconds=17)  # no clock changes near
    end = find_quiet_end(windows, now, BERLIN)
    inside = [
        window
        for window in windows
        for day in (0, 1)
        if (now.astimezone(BERLIN).weekday() - day) % 7 in window.days
        and window.start
        <= now.astimezone(BERLIN).hour * 60 + now.astimezone(BERLIN).minute + day * DAY_MINUTES
        < window.end
    ]
    assert (end is not None) == bool(inside)
    if end is not None:
        assert now < end <= now + timedelta(days=1)
        local = end.astimezone(BERLIN)
        ends = {window.end % DAY_MINUTES for window in inside}
        assert local.hour * 60 + local.minute in ends


@settings(max_examples=100, deadline=None)
@given(st.integers(4, 40), st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=120))
def test_no_route_gets_more_than_its_rate_in_any_span(messages: int, asked: list[tuple[int, bool]]) -> None:
    limit, now, state = RateLimit(messages=messages, per=timedelta(minutes=10)), NOW, RouteState()
    sent: list[datetime] = []
    for seconds, critical in asked:
        now += timedelta(seconds=seconds)
        end = find_rate_end(state.sent, limit, now, critical=critical)
        if end is None:
            state = record_success(state, now, limit)
            sent.append(now)
        else:
            assert end > now
            assert find_rate_end(state.sent, limit, end, critical=critical) is None
    for at in sent:
        assert sum(at <= other < at + limit.per for other in sent) <= messages


def test_a_quarter_of_the_rate_is_kept_for_critical_messages() -> None:
    limit, state = RateLimit(messages=8, per=timedelta(minutes=10)), RouteState()
    for _ in range(6):
        assert find_rate_end(state.sent, limit, NOW, critical=False) is None
        state = record_success(state, NOW, limit)
    assert find_rate_end(state.sent, limit, NOW, critical=False) == NOW + limit.per
    assert find_rate_end(state.sent, limit, NOW, critical=True) is None


def test_trouble_is_three_failures_in_a_row_or_one_refusal() -> None:
    state = RouteState()
    for number in range(1, 4):
        state = record_failure(state, NOW, "no answer", permanent=False)
        assert is_in_trouble(state) is (number == 3)
    state = record_success(state, NOW, RateLimit())
    assert not is_in_trouble(state)
    assert is_in_trouble(record_failure(state, NOW, "revoked", permanent=True))


def test_what_came_meanwhile_waits_since_the_first_of_it() -> None:
    later = [
        build_entry(Notice(Severity.INFO, f"t{n}", "text", ""), NOW + n * timedelta(minutes=1))
        for n in (3, 2)
    ]
    group = claim_group(
        add_notices(
            PendingGroup("g", "t"),
            [build_entry(Notice(Severity.INFO, "first", "text", ""), NOW)],
            NOW,
            timedelta(),
        ),
        "a",
        NOW,
    )
    group = add_notices(group, later, NOW + timedelta(minutes=3), timedelta())
    assert complete_group(group).since == NOW + timedelta(minutes=2)


POLICY = NotifyPolicy.model_validate(
    {
        "routes": {"critical": ("oncall", "chat"), "warning": ("chat",), "info": ()},
        "fallback": "spare",
        "fallback_from": "warning",
        "quiet_hours": ("daily 22:00-07:00",),
        "rate_limit": {"messages": 4, "per": "10m"},
    }
)
NOBODY = "policy names no route for it"
FULL = {"chat": RouteState(sent=(NOW,) * 4)}
FULL_SPARE = {"spare": RouteState(sent=(NOW,) * 4)}
NIGHT = datetime(2026, 3, 2, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("severity", "states", "offline", "now", "routes", "fallback", "reason"),
    [
        pytest.param("critical", {}, (), NOW, ("oncall", "chat"), ("spare",), "", id="all"),
        pytest.param("critical", {}, (), NIGHT, ("oncall", "chat"), ("spare",), "", id="not quiet for it"),
        pytest.param("warning", {}, (), NIGHT, (), (), "quiet hours", id="quiet hours"),
        pytest.param("info", {}, (), NOW, (), (), NOBODY, id="nobody wants it"),
        pytest.param("warning", {}, ("chat",), NOW, (), ("spare",), "", id="machine off"),
        pytest.param("warning", {}, ("chat", "spare"), NOW, (), (), "off", id="both off"),
        pytest.param("warning", FULL, (), NOW, (), (), "rate limit", id="full"),
        pytest.param("critical", FULL, (), NOW, ("oncall",), ("spare",), "", id="full for one of two"),
        pytest.param("warning", FULL, ("chat",), NOW, (), ("spare",), "", id="full and off is off"),
        pytest.param("critical", FULL, ("oncall", "spare"), NOW, (), (), "rate limit", id="off and full"),
        pytest.param("critical", FULL | FULL_SPARE, (), NOW, ("oncall",), (), "", id="both others full"),
        pytest.param("warning", FULL_SPARE, ("chat",), NOW, (), (), "off; rate limit", id="fallback is full"),
    ],
)  # fmt: skip
def test_the_plan_says_which_routes_are_tried_or_why_none(
    severity, states, offline, now, routes, fallback, reason
) -> None:
    plan = plan_delivery(
        POLICY, "power", Severity(severity), states, now, BERLIN, offline=dict.fromkeys(offline, "off")
    )
    assert (plan.routes, plan.fallback, plan.reason) == (routes, fallback, reason)
    assert (plan.wait_until is not None) == (reason not in ("", NOBODY))
    assert plan.wait_until is None or plan.wait_until > now


def test_a_notice_below_the_fallback_waits_while_its_route_is_off() -> None:
    policy = POLICY.model_copy(update={"fallback_from": "critical", "quiet_hours": ()})
    plan = plan_delivery(policy, "power", Severity.WARNING, {}, NOW, BERLIN, offline={"chat": "off"})
    assert (plan.routes, plan.fallback, plan.reason) == ((), (), "off")
    assert plan.wait_until == NOW + timedelta(minutes=1)


def test_what_waits_for_the_rate_waits_for_the_first_of_its_own_routes_that_is_free_again() -> None:
    ago = [RouteState(sent=(NOW - timedelta(minutes=n),) * 4) for n in (3, 1, 8)]
    states = dict(zip(("chat", "oncall", "spare"), ago, strict=True))
    for offline in ({}, {"spare": "off"}):
        plan = plan_delivery(POLICY, "power", Severity.CRITICAL, states, NOW, BERLIN, offline=offline)
        assert (plan.reason, plan.wait_until) == ("rate limit", NOW + timedelta(minutes=7))
