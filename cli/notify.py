"""`groundcrew notify`: whether people are reached."""

from __future__ import annotations

import click

from cli.console import as_json, print_answer
from cli.identity import current_user
from shared.kernel.errors import GroundcrewError, UsageError
from shared.notifications.ports import Notice, Notifier, Severity


@click.group()
def notify() -> None:
    """Send notifications."""


@notify.command()
@click.option("--route", "routes", multiple=True, metavar="NAME", help="Only this route; repeatable.")
@as_json
def test(routes: tuple[str, ...], json_: bool) -> None:
    """Send a test message by each route of policy and settings; exit 1 if one does not take it."""
    from shared.wiring.notifications import route_notifiers

    known = route_notifiers()
    for name in routes:
        if name not in known:
            raise UsageError("no such route", value=name, hint=f"There are: {', '.join(known)}.")
    results = {name: _send(known[name]) for name in routes or known}
    lines = [f"{name}: {what}" for name, what in results.items()]
    print_answer(results, json_=json_, text="\n".join(lines))
    if any(what != "sent" for what in results.values()):
        raise SystemExit(1)


def _send(route: Notifier) -> str:
    text = f"Sent by {current_user()} with `groundcrew notify test`. Nothing is wrong."
    try:
        route.notify(Notice(Severity.INFO, "Test notification", text))
    except GroundcrewError as error:
        return f"failed: {error}"
    return "sent"
