"""`groundcrew notify`: whether people are reached, and what was delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.console import as_json, print_answer
from cli.identity import current_user
from shared.kernel.errors import GroundcrewError, UsageError
from shared.kernel.timestamps import format_second

if TYPE_CHECKING:
    from shared.notifications.model import Delivery
    from shared.notifications.ports import Channel


@click.group()
def notify() -> None:
    """Send notifications, and see what was delivered."""


@notify.command()
@click.option("--route", "routes", multiple=True, metavar="NAME", help="Only this route; repeatable.")
@as_json
def test(routes: tuple[str, ...], json_: bool) -> None:
    """Send a test message by each route of policy and settings; exit 1 if one does not take it."""
    from shared.wiring.notifications import list_routes

    known = list_routes()
    for name in routes:
        if name not in known:
            raise UsageError("no such route", value=name, hint=f"There are: {', '.join(known)}.")
    results = {name: _send(known[name]) for name in routes or known}
    lines = [f"{name}: {what}" for name, what in results.items()]
    print_answer(results, json_=json_, text="\n".join(lines) or "policy names no route")
    # All routes are tried first: the one that fails is not to hide that the pager works.
    if any(what != "sent" for what in results.values()):
        raise SystemExit(1)


def _send(channels: Sequence[Channel]) -> str:
    """`sent` if every address of the route took it, else what the first of the others said."""
    from shared.notifications.decide import build_entry
    from shared.notifications.model import Batch, Message, Notice, Severity
    from shared.wiring import system_clock

    text = f"Sent by {current_user()} with `groundcrew notify test`. Nothing is wrong."
    entry = build_entry(Notice(Severity.INFO, "Test notification", text), system_clock().now())
    # Policy names a route that settings do not know: in an emergency its messages go nowhere.
    if not channels:
        return "failed: it has no address in GROUNDCREW_NOTIFY_URLS"
    failures = []
    for channel in channels:
        try:
            # Past outbox, quiet hours and limits: it is the address that is tried.
            channel.send(Message("notifications", Batch((entry,))))
        except GroundcrewError as error:
            failures.append(str(error))
    return f"failed: {'; '.join(failures)}" if failures else "sent"


@notify.command()
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 200), help="How many.")
@as_json
def history(last: int, json_: bool) -> None:
    """The newest messages: what became of each, after how many attempts, and what each route said."""
    from shared.wiring.notifications import delivery_log

    records = delivery_log()
    deliveries, routes = records.deliveries()[-last:], records.routes()
    answer = {
        "deliveries": [asdict(one) for one in deliveries],
        "routes": {name: asdict(state) for name, state in routes.items()},
    }
    lines = [_describe(one) for one in deliveries] or ["nothing was sent yet"]
    lines += [
        f"route {name} does not work since {state.failures} attempts: {state.error}"
        for name, state in routes.items()
        if state.failures
    ]
    print_answer(answer, json_=json_, text="\n".join(lines))


def _describe(delivery: Delivery) -> str:
    others = f" (+{delivery.notices - 1})" if delivery.notices > 1 else ""
    routes = ", ".join(f"{name}: {what}" if name else what for name, what in delivery.routes.items())
    tries = f" after {delivery.attempts} attempts" if delivery.attempts > 1 else ""
    head = f"{format_second(delivery.at)} {delivery.severity:8} {delivery.outcome}{tries}"
    return f"{head}  {delivery.title}{others}  [{routes}]"
