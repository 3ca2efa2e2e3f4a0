"""`groundcrew power`: what runs, why, and until when; and orders that override the calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from cli.console import as_json, confirm, err, out, print_answer, print_table, yes_option
from cli.identity import current_user
from cli.power_orders import split_order, write_order
from shared import wiring
from shared.kernel.timestamps import format_local_time
from shared.wiring import inventory as inventory_wiring
from shared.wiring import power as power_wiring

if TYPE_CHECKING:
    from shared.power.overrides import Override
    from shared.power.reconcile import TickResult

machine_argument = click.argument("machine", required=False, default="")
order_words = click.argument("words", nargs=-1, metavar="[MACHINE] [WHEN]…")
until_option = click.option("--until", metavar="TIME", help="22:00, Monday 7:00, 2026-03-02 07:00.")
for_option = click.option("--for", "lasting", metavar="DURATION", help="90m, 2h, 3d.")
when_option = click.option(
    "--when", metavar="SPAN", help="'Saturday 10-14', tomorrow, 'from Friday 18:00 until Sunday'."
)
dry_option = click.option("--dry-run", is_flag=True, help="Show what would be done.")


@click.group()
def power() -> None:
    """Start and stop machines by schedule and by order."""


@power.command()
@machine_argument
@as_json
def status(machine: str, json_: bool) -> None:
    """Show what each machine does, what it should do, why, and until when."""
    from shared.power import job

    _print_results(job.preview_tick(power_wiring.power_deps(), machine=machine), json_)


@power.command()
@order_words
@until_option
@for_option
@when_option
@dry_option
@yes_option
@as_json
def up(words: tuple[str, ...], dry_run: bool, yes: bool, json_: bool, **times: str | None) -> None:
    """Keep MACHINE (or all) up, starting it if it is off: `power up rocketchat until 22:00`."""
    machine, when = split_order(words, [one.label for one in wiring.load_policy().power.machines])
    _confirm_all(machine, "up", yes or dry_run)
    _place_order(machine, write_order("up", when, **times), dry_run, json_)


@power.command()
@order_words
@until_option
@for_option
@when_option
@dry_option
@yes_option
@as_json
def off(words: tuple[str, ...], dry_run: bool, yes: bool, json_: bool, **times: str | None) -> None:
    """Keep MACHINE (or all) off; people are warned before it stops: `power off tomorrow`."""
    machine, when = split_order(words, [one.label for one in wiring.load_policy().power.machines])
    _confirm_all(machine, "off", yes or dry_run)
    _place_order(machine, write_order("off", when, **times), dry_run, json_)


@power.command()
@machine_argument
@dry_option
@yes_option
@as_json
def auto(machine: str, dry_run: bool, yes: bool, json_: bool) -> None:
    """Give MACHINE (or all) back to the calendar."""
    _confirm_all(machine, "back on schedule", yes or dry_run)
    _place_order(machine, "auto", dry_run, json_)


@power.command()
@as_json
def orders(json_: bool) -> None:
    """Show the orders in force and ahead, with the ids by which one is cancelled."""
    from shared.power import job
    from shared.power.overrides import describe_span

    # Neither Azure nor backups are asked: this answers without being signed in, and while they are down.
    orders_listed = job.list_orders(inventory_wiring.build_inventory(asks=False))
    if json_:
        print_answer([{"machine": machine, **asdict(order)} for machine, order in orders_listed], json_=True)
        return
    zone, now = _policy_zone(), wiring.system_clock().now()
    rows = [
        (order.id, _name_machines(machine), describe_span(order, zone, now), order.by)
        for machine, order in orders_listed
    ]
    print_table("Orders", ("id", "machine", "order", "by"), rows)
    if not rows:
        out.print("No order is in force or ahead: machines follow their schedule.")


@power.command()
@click.argument("order_id", metavar="ORDER")
@as_json
def cancel(order_id: str, json_: bool) -> None:
    """End one ORDER now (ids: `groundcrew power orders`); the others stay."""
    from shared.power import job

    deps = power_wiring.power_deps()
    order = job.cancel_order(deps, order_id, by=current_user())
    if not json_:
        err.print(f"Cancelled: {order.id}")
    # At once: without the order the machine may have to start or to stop, which the timer would do minutes
    # later.
    _print_results(job.run_tick(deps), json_)


@power.command()
@click.option("--for", "lasting", required=True, metavar="DURATION", help="90m, 2h.")
@click.argument("reason", required=False, default="")
def hold(lasting: str, reason: str) -> None:
    """Put off every stop of the server's machine, for REASON; it is not started by that."""
    from shared.power import job

    placed = job.place_hold(power_wiring.power_deps(), lasting, reason, by=current_user())
    out.print(f"No stop until {_format_time(placed.until, _policy_zone())}, or `groundcrew power release`.")


@power.command()
@click.option("--of", "of", metavar="USER", help="Whose hold; yours without it.")
def release(of: str | None) -> None:
    """Take back a hold: the machine stops when it is due, and people are warned before."""
    from shared.power import job

    job.release_hold(power_wiring.power_deps(), of or current_user(), by=current_user())
    out.print("Released.")


@power.command()
@machine_argument
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 366), help="How far to look.")
@as_json
def plan(machine: str, days: int, json_: bool) -> None:
    """Show when MACHINE (or all) will be up in the days ahead, by calendar and orders."""
    from shared.power.forecast import forecast_spans

    # Neither Azure nor backups are asked: the plan is policy's and the orders'.
    rows = forecast_spans(inventory_wiring.build_inventory(asks=False), machine, timedelta(days=days))
    if json_:
        fields = ("machine", "up", "since", "until", "reason")
        print_answer([{name: getattr(row, name) for name in fields} for row in rows], json_=True)
        return
    zone = _policy_zone()
    cells = [
        (
            r.machine,
            "up" if r.up else "off",
            _format_time(r.since, zone),
            _format_time(r.until, zone),
            r.reason,
        )
        for r in rows
    ]
    print_table(f"The next {days} days", ("machine", "", "from", "to", "reason"), cells)


@power.command()
@machine_argument
@dry_option
@as_json
def tick(machine: str, dry_run: bool, json_: bool) -> None:
    """Do now what the timer does: bring MACHINE (or all) closer to what it should be."""
    from shared.power import job

    deps = power_wiring.power_deps()
    outcomes = job.preview_tick(deps, machine=machine) if dry_run else job.run_tick(deps, only=machine)
    _print_results(outcomes, json_)
    if any(outcome.error for outcome in outcomes):
        raise SystemExit(1)


def _confirm_all(machine: str, what: str, yes: bool) -> None:
    """Ask before an order for several machines at once."""
    # One machine needs no question: the order names it all the same.
    names = [each.label for each in wiring.load_policy().power.machines]
    # A tag may stand for several.
    several = len(names) > 1 or any("=" in name for name in names)
    if not machine and several:
        confirm(f"order all machines ({', '.join(names)}) {what}?", yes=yes)


def _place_order(machine: str, text: str, dry_run: bool, json_: bool) -> None:
    from shared.power import job
    from shared.power.overrides import parse_override

    deps = power_wiring.power_deps()
    if dry_run:
        order = parse_override(text, _policy_zone(), wiring.system_clock().now())
        outcomes = job.preview_tick(deps, machine=machine, order=order)
    else:
        order = job.place_order(deps, machine, text, by=current_user())
        # At once, and not by the timer in five minutes: somebody waits for the machine.
        outcomes = job.run_tick(deps, only=machine)
    if not json_:
        err.print(_describe_order(machine, order, dry_run))
    _print_results(outcomes, json_)
    if any(outcome.error for outcome in outcomes):
        raise SystemExit(1)


def _describe_order(machine: str, order: Override, dry_run: bool) -> str:
    from shared.power.overrides import describe_span

    span = describe_span(order, _policy_zone(), wiring.system_clock().now())
    return f"{'Would order' if dry_run else 'Ordered'}: {machine or 'every machine'} {span}"


def _name_machines(machine: str) -> str:
    return "every machine" if machine == "every" else machine


def _print_results(outcomes: Sequence[TickResult], json_: bool) -> None:
    zone = _policy_zone()
    if json_:
        print_answer([_result_as_dict(outcome) for outcome in outcomes], json_=True)
        return
    rows = [
        (
            o.machine,
            str(o.state),
            f"{'up' if o.decision.desired_up else 'off'} until {_format_time(o.decision.next_change, zone)}",
            str(o.decision),
            o.error or o.done,
        )
        for o in outcomes
    ]
    print_table("Machines", ("machine", "is", "should be", "decision", "done"), rows)
    if not outcomes:
        out.print("No machine is under schedule: policy.yaml names none under power.machines.")


def _result_as_dict(outcome: TickResult) -> dict[str, Any]:
    decision = outcome.decision
    return {
        "machine": outcome.machine,
        "state": str(outcome.state),
        "desired": "up" if decision.desired_up else "off",
        "act": str(decision.act),
        "id": decision.id,
        "reasons": list(decision.reasons),
        "next_change": decision.next_change and decision.next_change.isoformat(),
        "alarm": decision.alarm,
        "done": outcome.done,
        "error": outcome.error,
    }


def _policy_zone() -> tzinfo:
    return ZoneInfo(wiring.load_policy().timezone)


def _format_time(time: datetime | None, zone: tzinfo) -> str:
    return format_local_time(time, zone) if time else "-"
