"""The commands of chat-ops about machines, by power's own entry points: orders, their cancelling, holds."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from shared.chatops.deps import CommandHandler
from shared.chatops.model import CommandCall, CommandPlan
from shared.kernel.errors import GroundcrewError, NotFound, UsageError
from shared.kernel.timestamps import format_local_time
from shared.wiring import load_policy, system_clock

_UP_LASTS = "for 2h"  # where nobody says until when: a meeting, not a night
_REACH = timedelta(days=31)  # an order lasts no longer


def power_handlers() -> dict[str, CommandHandler]:
    """By command's name. Building them imports and connects nothing."""
    return {
        "up": CommandHandler(_plan_order, _place_order),
        "down": CommandHandler(_plan_order, _place_order),
        "auto": CommandHandler(_plan_order, _place_order),
        "orders": CommandHandler(_list_orders),
        "cancel": CommandHandler(_plan_cancel, _cancel_order),
        "hold": CommandHandler(_plan_hold, _place_hold),
        "release": CommandHandler(_plan_release, _release_hold),
    }


def _order_text(call: CommandCall) -> str:
    """The order in power's grammar; where no end is given, the one that is meant."""
    if call.name == "auto":
        return "auto"
    # An `up` without an end would pay for a forgotten machine for good; a `down` without one would miss the
    # next working day.
    end = call.arguments.get("end") or (_UP_LASTS if call.name == "up" else _end_of_stop(call))
    return f"{'up' if call.name == 'up' else 'off'} {end}"


def _end_of_stop(call: CommandCall) -> str:
    """`until` the machine's next start by the schedule. Raises UsageError if none is planned."""
    from shared.power.forecast import forecast_spans
    from shared.wiring.inventory import build_inventory

    spans = forecast_spans(build_inventory(asks=False), call.arguments.get("machine", ""), _REACH)
    # Only starts to come: the span in which the machine is up now began with one, too.
    now = system_clock().now()
    starts = [span.since for span in spans if span.up and span.since > now]
    if not starts:
        raise UsageError("no start is planned", hint="Say until when: down until Monday 7:00")
    return f"until {min(starts).astimezone(ZoneInfo(load_policy().timezone)):%Y-%m-%d %H:%M}"


def _plan_order(call: CommandCall) -> CommandPlan:
    from shared.power.job import preview_tick
    from shared.power.overrides import describe_span, parse_override
    from shared.wiring.power import power_deps

    text, zone = _order_text(call), ZoneInfo(load_policy().timezone)
    order = parse_override(text, zone, system_clock().now())
    machine = call.arguments.get("machine", "")
    # By the tick's own decision, holds and backups included: the answer is what will be done, not what was
    # asked.
    results = preview_tick(power_deps(), machine=machine, order=order)
    lines = [f"{one.machine}: is {one.state}; {one.error or one.decision}" for one in results]
    span = describe_span(order, zone, system_clock().now())
    head = f"order {machine or 'every machine'} {span}"
    # An order is bound to what it orders. The reasons count minutes, and so does the end of `for 2h`.
    end = text if " for " in text else span
    return CommandPlan("\n".join([head, *lines]), target=f"{call.name} {machine or 'every machine'} {end}")


def _place_order(call: CommandCall, _plan: CommandPlan, by: str) -> str:
    from shared.power import job
    from shared.wiring.power import power_deps

    deps, machine = power_deps(), call.arguments.get("machine", "")
    job.place_order(deps, machine, _order_text(call), by=by)
    return _follow_order(machine)


def _follow_order(machine: str) -> str:
    """What a tick did about the machine (all with none) right after an order or its end."""
    from shared.power.last_tick import run_recorded_tick
    from shared.wiring.power import power_deps

    # The order is on record: a tick that fails now is made up for by the timer.
    try:
        results = run_recorded_tick(power_deps(), only=machine)  # `status` shows what it saw
    except GroundcrewError as error:
        return f"on record; the timer follows it within 5 minutes ({error})"
    lines = [f"{one.machine}: {one.error or one.done or one.decision}" for one in results]
    return "\n".join(lines) or "on record"


def _describe_orders() -> dict[str, str]:
    """The orders in force or ahead by id: the machine, what is ordered, and who gave it."""
    from shared.power.job import list_orders
    from shared.power.overrides import describe_span
    from shared.wiring.inventory import build_inventory

    zone, now = ZoneInfo(load_policy().timezone), system_clock().now()
    # No question to Azure: orders are records of ours, and a phone waits for the answer.
    return {
        order.id: f"{'every machine' if machine == 'every' else machine} "
        f"{describe_span(order, zone, now)} (by {order.by})"
        for machine, order in list_orders(build_inventory(asks=False))
    }


def _list_orders(_call: CommandCall) -> CommandPlan:
    lines = [f"{order_id}: {text}" for order_id, text in _describe_orders().items()]
    nothing = "no order is in force or ahead: machines follow their schedule"
    return CommandPlan("\n".join(lines) or nothing)


def _plan_cancel(call: CommandCall) -> CommandPlan:
    order_id, described = _order_id(call), _describe_orders()
    if order_id not in described:
        raise NotFound("no such order", value=order_id, hint="Write: orders")
    # The line says what is cancelled: an id alone is easily mistaken for its neighbour.
    return CommandPlan(f"cancel the order {order_id}: {described[order_id]}", target=order_id)


def _cancel_order(call: CommandCall, _plan: CommandPlan, by: str) -> str:
    from shared.power import job
    from shared.wiring.power import power_deps

    deps = power_deps()
    # Without a machine: an order for every one of them changes what all of them are to do.
    order = job.cancel_order(deps, _order_id(call), by=by)
    return f"cancelled {order.id}; {_follow_order('')}"


def _order_id(call: CommandCall) -> str:
    # A time and a random part: phones begin a line in upper case, and ids are compared as they were written.
    return call.arguments["id"].upper()[:15] + call.arguments["id"].lower()[15:]


def _plan_hold(call: CommandCall) -> CommandPlan:
    reason = call.arguments.get("because")
    text = f"put off every stop of the server's machine {call.arguments['end']}"
    return CommandPlan(f"{text}: {reason}" if reason else text, target=call.line)


def _place_hold(call: CommandCall, _plan: CommandPlan, by: str) -> str:
    from shared.power.job import place_hold
    from shared.wiring.power import power_deps

    # The chat's grammar says `for 2h` everywhere; power's own takes the length alone.
    lasting = call.arguments["end"].removeprefix("for ")
    hold = place_hold(power_deps(), lasting, call.arguments.get("because", ""), by=by)
    until = format_local_time(hold.until, ZoneInfo(load_policy().timezone))
    return f"no stop until {until}, or `release`"


def _plan_release(call: CommandCall) -> CommandPlan:
    return CommandPlan(f"take back the hold of {call.arguments.get('of') or 'yours'}", target=call.line)


def _release_hold(call: CommandCall, _plan: CommandPlan, by: str) -> str:
    from shared.power.job import release_hold
    from shared.wiring.power import power_deps

    release_hold(power_deps(), call.arguments.get("of") or by, by=by)
    return "released: the machine stops when it is due, and people are warned before"
