"""Orders in people's words that begin later, that are taken back, and what power makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.kernel.errors import NotFound, UsageError
from shared.policy.values import parse_window
from shared.power import job as power
from shared.power.forecast import forecast_spans
from shared.power.overrides import Override, describe_span, desired_state, next_change, parse_override
from shared.power.schedule import Schedule
from tests.support.power_world import berlin as at

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = at("13:00")  # the 2nd of March 2026


@pytest.mark.parametrize(
    ("text", "start", "until"),
    [
        ("up saturday 10-14", at("10:00", 7), at("14:00", 7)),
        ("up Saturday 10\u201314", at("10:00", 7), at("14:00", 7)),
        ("up on saturday 10:30 - 14:15", at("10:30", 7), at("14:15", 7)),
        ("up saturday from 10 to 14", at("10:00", 7), at("14:00", 7)),
        ("up from saturday 10:00 until 14:00", at("10:00", 7), at("14:00", 7)),
        ("up sat 10am-2pm", at("10:00", 7), at("14:00", 7)),
        ("up next monday 8-12", at("8:00", 9), at("12:00", 9)),
        ("up monday 8-12", at("8:00", 9), at("12:00", 9)),  # it is Monday, past noon
        ("up monday 12-14", MONDAY, at("14:00")),  # within: from now on
        ("up monday 15-16", at("15:00"), at("16:00")),
        ("up 15-16", at("15:00"), at("16:00")),
        ("up 8-12", at("8:00", 3), at("12:00", 3)),
        ("up from 10 to 14", MONDAY, at("14:00")),
        ("up 22-6", at("22:00"), at("6:00", 3)),
        ("up friday 22:00-midnight", at("22:00", 6), at("0:00", 7)),
        ("up friday midnight-6", at("0:00", 6), at("6:00", 6)),
        ("up friday noon to 18", at("12:00", 6), at("18:00", 6)),
        ("up 24.03.2026 8-12", at("8:00", 24), at("12:00", 24)),
        ("up 2026-03-24 8-12", at("8:00", 24), at("12:00", 24)),
        ("up from saturday 10:00 until sunday 12:00", at("10:00", 7), at("12:00", 8)),
        ("up from saturday 10:00 for 1.5h", at("10:00", 7), at("11:30", 7)),
        ("up from 22:00 until tomorrow 6:00", at("22:00"), at("6:00", 3)),
        ("up from 10:00 for 2h", at("10:00", 3), at("12:00", 3)),
        ("off tomorrow", at("0:00", 3), at("0:00", 4)),
        ("off today", MONDAY, at("0:00", 3)),
        ("off friday", at("0:00", 6), at("0:00", 7)),
        ("off on next monday", at("0:00", 9), at("0:00", 10)),
        ("off 6.3.2026", at("0:00", 6), at("0:00", 7)),
        ("off from friday until sunday", at("0:00", 6), at("0:00", 9)),
        ("off from tomorrow for 2 days", at("0:00", 3), at("0:00", 5)),
    ],
)  # fmt: skip
def test_an_order_begins_when_people_say(text: str, start: datetime, until: datetime) -> None:
    order = parse_override(text, BERLIN, MONDAY, by="me")
    assert (order.start, order.until, order.created) == (start, until, MONDAY)
    assert order.up is text.startswith("up")


def test_an_order_may_last_for_31_days_to_the_minute() -> None:
    order = parse_override("off from tomorrow for 31d", BERLIN, MONDAY)
    assert order.until - order.start == timedelta(days=31)


def test_an_order_may_begin_within_a_year_to_the_minute() -> None:
    last = MONDAY + timedelta(days=366)
    assert parse_override("up from 2027-03-03 13:00 for 1h", BERLIN, MONDAY).start == last
    with pytest.raises(UsageError, match="begins within a year"):
        parse_override("up from 2027-03-03 13:01 for 1h", BERLIN, MONDAY)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("up saturday 25-26", "not a time"),
        ("up someday 10-14", "not a time"),
        ("up next tomorrow 10-14", "not a time"),
        ("up next", "not a time"),
        ("up saturday evening", "not a time"),
        ("up from", "needs an end"),
        ("up from saturday", "not a time|needs an end|"),
        ("off 1.3.2026", "in the past"),
        ("up 1.3.2026 10-14", "in the past"),
        ("up from sunday 12:00 until 2026-03-04", "before it begins"),
        ("off from tomorrow for 32d", "at most 31 days"),
        ("off 3.3.2028", "within a year"),
    ],
)
def test_a_span_that_is_none_is_a_usage_error(text: str, problem: str) -> None:
    if text == "up from saturday":
        assert parse_override(text, BERLIN, MONDAY).start == at("0:00", 7)
        return
    with pytest.raises(UsageError, match=problem) as caught:
        parse_override(text, BERLIN, MONDAY)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("bring it up please", id="not an order"),
        pytest.param("auto until 22:00", id="auto takes no end"),
        pytest.param("up", id="no end"),
        pytest.param("off 1.3.2026", id="in the past"),
        pytest.param("up from sunday 12:00 until 2026-03-04", id="before it begins"),
        pytest.param("off from tomorrow for 32d", id="too long"),
        pytest.param("off 3.3.2028", id="too far"),
    ],
)
def test_of_what_people_wrote_no_more_than_eighty_characters_are_shown(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_override(f"{text:100}", BERLIN, MONDAY)
    assert caught.value.value == repr(f"{text:80}")


def order(up: bool | None, start: datetime, until: datetime, given: datetime = MONDAY) -> Override:
    return Override(up, start, until, given)


@pytest.mark.parametrize(
    ("orders", "now", "up", "since"),
    [
        pytest.param([], at("20:00"), False, at("19:00"), id="the calendar's own change"),
        pytest.param([order(True, at("13:00"), at("23:00"))], at("20:00"), True, at("13:00"),
                     id="an order's start, though the calendar changed later"),
        # Back on schedule: what rules is the calendar again, with its changes.
        pytest.param([order(None, at("13:00"), at("23:00"))], at("20:00"), False, at("19:00"),
                     id="back on schedule: the calendar's change after it"),
        pytest.param([order(None, at("20:00"), at("23:00"))], at("21:00"), False, at("20:00"),
                     id="back on schedule: the order, where the calendar changed before it"),
        pytest.param([order(True, at("13:00"), at("21:00"))], at("22:00"), False, at("21:00"),
                     id="the end of an order that is over"),
        pytest.param([order(True, at("13:00"), at("18:00"))], at("20:00"), False, at("19:00"),
                     id="the calendar's change after the end of an order"),
        pytest.param([order(True, at("21:00"), at("23:00"))], at("20:00"), False, at("19:00"),
                     id="an order that has not begun says nothing"),
        pytest.param([order(True, at("13:00"), at("23:00")),
                      order(False, at("14:00"), at("19:30"), at("14:00"))], at("20:00"), True, at("19:30"),
                     id="the end of a newer order gives way to an older one"),
    ],
)  # fmt: skip
def test_since_when_the_machine_is_wanted_so_is_the_last_change_of_what_rules(
    orders: list[Override], now: datetime, up: bool, since: datetime
) -> None:
    desired = desired_state(Schedule(BERLIN, (parse_window("Mon-Fri 07:00-19:00"),)), orders, now)
    assert (desired.up, desired.since) == (up, since)


def test_without_a_window_only_orders_change_anything() -> None:
    never = Schedule(BERLIN, ())
    off = Override(False, at("10:00"), at("12:00"), at("9:00"))
    up = Override(True, at("10:00"), at("12:00"), at("9:00"))
    assert next_change(never, [off], at("9:00")) is None
    assert next_change(never, [up], at("9:00")) == at("10:00")
    assert next_change(never, [up], at("11:00")) == at("12:00")
    # One that ends before it begins is none, and neither is one that has ended.
    assert next_change(never, [Override(True, at("10:00"), at("10:00"), at("9:00"))], at("9:00")) is None
    assert next_change(never, [up], at("12:00")) is None


@pytest.mark.parametrize("when", ["2026-03-02 13:00", "2026-03-02 12:00"])
def test_an_order_that_ends_now_or_before_is_refused(when: str) -> None:
    with pytest.raises(UsageError, match="end in the past"):
        parse_override(f"up until {when}", BERLIN, MONDAY)
    assert parse_override("up until 2026-03-02 13:01", BERLIN, MONDAY).until == at("13:01")


@pytest.mark.parametrize(
    ("text", "up"), [("up", True), ("on", True), ("keep it up", True), ("off", False), ("down", False)]
)
def test_each_word_for_up_and_off_is_one(text: str, up: bool) -> None:
    assert parse_override(f"{text} for 1h", BERLIN, MONDAY).up is up


def test_of_a_time_that_is_none_forty_characters_are_shown() -> None:
    with pytest.raises(UsageError, match="not a time") as caught:
        parse_override(f"up until {'x' * 60}", BERLIN, MONDAY)
    assert caught.value.value == repr("x" * 40)
    with pytest.raises(UsageError, match="not a time") as caught:
        parse_override(f"up {'x' * 60}", BERLIN, MONDAY)
    assert caught.value.value == repr("x" * 40)


def test_for_how_long_is_counted_from_now_and_from_the_start_of_what_begins_later() -> None:
    assert parse_override("up for 90 minutes", BERLIN, MONDAY).until == at("14:30")
    later = parse_override("off from tomorrow 8:00 for 90 minutes", BERLIN, MONDAY)
    assert (later.start, later.until) == (at("8:00", 3), at("9:30", 3))


def test_an_order_that_begins_at_this_moment_is_described_without_a_start() -> None:
    later, now = order(True, at("13:01"), at("14:00")), order(True, MONDAY, at("14:00"))
    assert describe_span(later, BERLIN, MONDAY).startswith("up from Mon 2026-03-02 13:01 until")
    assert describe_span(now, BERLIN, MONDAY).startswith("up until")


def test_a_span_keeps_to_the_clock_where_it_is_changed() -> None:
    now = datetime(2026, 3, 27, 12, tzinfo=UTC)
    order = parse_override("up sunday 1:00-3:30", BERLIN, now)
    assert (order.start, order.until) == (
        datetime(2026, 3, 29, 0, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    )


def test_an_order_is_described_with_its_start_if_that_is_ahead() -> None:
    later = parse_override("up saturday 10-14", BERLIN, MONDAY)
    assert describe_span(later, BERLIN, MONDAY) == "up from Sat 2026-03-07 10:00 until Sat 2026-03-07 14:00"
    assert describe_span(later, BERLIN, at("11:00", 7)) == "up until Sat 2026-03-07 14:00"
    assert describe_span(parse_override("auto", BERLIN, MONDAY), BERLIN, MONDAY) == "back on schedule"


def test_an_order_for_saturday_brings_the_machine_up_on_saturday_only(world) -> None:
    world.add()
    world.clock.set(at("20:00", 6))
    power.place_order(world.job(), "rocketchat", "up saturday 10-14", by="ana")
    on = [now for now, _ in world.ticks(at("20:00", 8)) if world.power.value in ("running", "starting")]
    assert at("10:00", 7) <= min(on) <= at("10:05", 7)
    assert at("13:55", 7) <= max(on) <= at("14:10", 7)
    assert "rocketchat stops at Sat 2026-03-07 14:00" in world.notifications.titles


def test_a_working_day_is_left_out_by_an_order_given_before(world) -> None:
    world.add()
    world.clock.set(at("20:00", 2))
    power.place_order(world.job(), "rocketchat", "off tomorrow", by="ana")
    world.run(at("23:55", 3))
    assert world.machines.calls["begin_start"] == 0
    world.run(at("7:10", 4))
    assert world.machines.calls["begin_start"] == 1


def test_an_order_for_another_day_does_not_put_off_a_stop_that_was_announced(world) -> None:
    world.add()
    world.clock.set(at("6:50"))
    world.run(at("18:45"))
    power.place_order(world.job(), "rocketchat", "up saturday 10-14", by="ana")
    world.run(at("19:05"))
    assert world.machines.calls["begin_deallocate"] == 1


def test_one_order_is_cancelled_and_the_others_stay(world) -> None:
    world.add()
    world.clock.set(at("20:00"))
    first = power.place_order(world.job(), "rocketchat", "up until 23:00", by="ana")
    world.clock.advance(timedelta(minutes=1))
    second = power.place_order(world.job(), "rocketchat", "up saturday 10-14", by="ana")
    world.run(at("20:10"))
    assert world.power.value in ("running", "starting")
    cancelled = power.cancel_order(world.job(), first.id, by="ben")
    assert (cancelled.until, cancelled.cancelled_by) == (world.clock.now(), "ben")
    world.run(at("21:15"))
    assert world.power.value == "deallocated"
    assert any(b"power.order_cancelled" in world.state.read(b.name)[0] for b in world.state.list("audit/"))
    kept = [order for _, order in power.list_orders(world.job().inventory)]
    assert kept == [second]


def test_an_order_that_has_not_begun_is_cancelled_without_a_trace_in_the_plan(world) -> None:
    world.add()
    world.clock.set(at("20:00"))
    order = power.place_order(world.job(), "", "up saturday 10-14", by="ana")
    power.cancel_order(world.job(), order.id, by="ana")
    world.clock.set(at("9:55", 7))
    world.run(at("11:00", 7))
    assert world.machines.calls["begin_start"] == 0
    assert list(power.list_orders(world.job().inventory)) == []


def test_cancelling_twice_or_what_is_not_there_says_so(world) -> None:
    world.add()
    world.clock.set(at("20:00"))
    order = power.place_order(world.job(), "rocketchat", "up until 23:00", by="ana")
    power.cancel_order(world.job(), order.id, by="ana")
    for identity in (order.id, "", "20260302T190000-ffffffff", "../../audit/x"):
        with pytest.raises(NotFound, match="no such order") as caught:
            power.cancel_order(world.job(), identity, by="ana")
        assert "power orders" in caught.value.hint


def test_the_plan_shows_machines_found_by_their_tag_with_the_orders_of_each(make_world) -> None:
    text = (
        "timezone: Europe/Berlin\npower: {machines: [{tag: groundcrew=chat, windows: [daily 07:00-19:00]}]}"
    )
    world = make_world(text)
    world.add()
    world.clock.set(at("6:50"))
    inventory = world.job().inventory
    assert {span.machine for span in forecast_spans(inventory, "", timedelta(days=1))} == {"groundcrew=chat"}
    world.tick()
    power.place_order(world.job(), "rocketchat", "up 20-21", by="ana")
    spans = forecast_spans(inventory, "rocketchat", timedelta(days=1))
    assert {span.machine for span in spans} == {"rocketchat"}
    assert (at("20:00"), at("21:00")) in {(span.since, span.until) for span in spans if span.up}
    assert forecast_spans(inventory, "groundcrew=chat", timedelta(days=1)) == spans


def test_an_operators_hold_puts_off_the_stop_until_it_is_released(world) -> None:
    world.add()
    world.clock.set(at("6:50"))
    world.run(at("18:30"))
    power.place_hold(world.job(), "3h", "moving  a\ndisk", by="Ana Lee <ana@example.com>/../x")
    world.run(at("20:30"))
    assert world.power.value == "running"
    (held,) = power.preview_tick(world.job())
    assert "held by Ana Lee <ana@example.com>/../x: moving a disk until" in held.decision.reasons[-1]
    power.release_hold(world.job(), "Ana Lee <ana@example.com>/../x", by="ben")
    world.run(at("21:30"))
    assert world.power.value == "deallocated"
    assert [blob.name for blob in world.state.list("holds/")] == []


@pytest.mark.parametrize("lasting", ["13h", "0m", "soon"])
def test_a_hold_is_not_longer_than_policy_believes(world, lasting: str) -> None:
    world.add()
    with pytest.raises(UsageError):
        power.place_hold(world.job(), lasting, "", by="ana")
    assert list(world.state.list("holds/")) == []
