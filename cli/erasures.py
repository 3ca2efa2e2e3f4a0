"""`groundcrew erasures`: what was erased on purpose, so that no restore brings it back for good."""

from __future__ import annotations

from datetime import datetime

import click

from cli.console import as_json, print_answer, print_table
from cli.identity import current_user
from cli.tables import time_cell
from shared.kernel.errors import UsageError
from shared.kernel.timestamps import format_rfc3339, parse_timestamp

# As `shared.formats.erasures` has them, which is too much to import for a page of help.
KINDS = ("user", "messages", "room", "message", "upload")


@click.group()
def erasures() -> None:
    """Note what was erased on purpose; each restore deletes it again and counts it."""


@erasures.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--at", default="", metavar="TIME", help="When it was erased, with its zone [now].")
@as_json
def add(kind: str, ids: tuple[str, ...], at: str, json_: bool) -> None:
    """Note erasures by Rocket.Chat's ids. `messages` are all messages of a user, by the user's id.

    Only the id and times are kept. Names and addresses are refused.
    """
    from shared.records.audit import AuditTrail
    from shared.wiring import open_state, system_clock
    from shared.wiring import restore as wiring

    ledger, signer = wiring.open_erasure_ledger(), wiring.erasure_signer()
    now = system_clock().now()
    # All are read before the first is stored: one typo in a list of ids leaves none of them half noted.
    noted = [wiring.parse_erasure(kind, subject, _parse_time(at) if at else now, now) for subject in ids]
    who, added = current_user(), []
    for erasure in noted:
        if ledger.add(erasure, signer):
            added.append(erasure.subject)
            AuditTrail(open_state(), system_clock()).append(
                who, "erasures.add", f"{kind}/{erasure.subject}", "noted"
            )
    known = len(noted) - len(added)
    text = f"{len(added)} noted" + (f", {known} noted before" if known else "")
    print_answer({"kind": kind, "added": added, "noted_before": known}, json_=json_, text=text)


def _parse_time(text: str) -> datetime:
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise UsageError("--at: not a time with its zone", value=text[:40]) from error


@erasures.command("list")
@as_json
def list_(json_: bool) -> None:
    """List all erasures, and what lies among them that is none of ours."""
    from shared.wiring import restore as wiring

    reading = wiring.open_erasure_ledger().read()
    if json_:
        rows = [
            {
                "kind": one.kind,
                "id": one.subject,
                "erased": format_rfc3339(one.erased),
                "noted": format_rfc3339(one.noted),
            }
            for one in reading.entries
        ]
        ignored = [{"blob": name, "reason": reason} for name, reason in reading.ignored]
        print_answer({"erasures": rows, "ignored": ignored}, json_=True)
        return
    times = [(one.kind, one.subject, time_cell(one.erased), time_cell(one.noted))
             for one in reading.entries]  # fmt: skip
    print_table("Erasures (UTC)", ("kind", "id", "erased", "noted"), times)
    for name, reason in reading.ignored:
        # An entry that we did not sign would make restores delete what nobody erased: it is named, and not
        # followed.
        click.echo(f"ignored: {name}: {reason}", err=True)
