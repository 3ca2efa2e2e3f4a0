"""`groundcrew audit`: who did what, and whether the trail of it is whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import click

from cli.console import as_json, print_answer, print_table
from shared import wiring
from shared.kernel.errors import Corrupt, NotFound, UsageError

_MOST_READ = 2000  # entries that `show` looks through; each is a blob of its own


@click.group()
def audit() -> None:
    """Show who did what, and verify that nothing of it was changed or removed."""


@audit.command()
@click.option("--expect", default="", metavar="NUMBER:HASH", help="A head that was noted before.")
@as_json
def verify(expect: str, json_: bool) -> None:
    """Verify the chain of all entries, and print its head to be noted elsewhere. Exit 1 if it is broken.

    What was cut off at the end can only be seen by a head that was noted before: give it by --expect.
    """
    from shared.records.audit import AuditTrail

    trail = AuditTrail(wiring.open_state(), wiring.system_clock())
    # The generator raises at the first link that does not hold: what was counted until then is not told as
    # whole.
    count = sum(1 for _ in trail.verify())
    if expect:
        check_head(trail.hash_of, expect)
    # Of what was just verified: a head that is noted of a broken chain would prove the break as whole.
    number, digest = trail.head()
    head = f"{number}:{digest}" if number else ""
    print_answer(
        {"entries": count, "head": head}, json_=json_, text=f"{count} entries, whole; head {head or '-'}"
    )


def check_head(hash_of: Callable[[int], str], expect: str) -> None:
    number, _, digest = expect.partition(":")
    # `isdigit` alone takes `²`, at which int() fails.
    if not (number.isascii() and number.isdigit() and digest):
        raise UsageError("not a head of the audit trail", value=expect[:80], hint="It looks like 17:3fa0…")
    try:
        actual = hash_of(int(number))
    except NotFound:
        # Cut off at its end, a chain verifies by itself: only a number from before tells.
        raise Corrupt(f"the audit trail ends before entry {number}", hint="It was cut off.") from None
    if actual != digest.lower():
        raise Corrupt(f"entry {number} of the audit trail is not the one that was noted")


@audit.command()
@click.option("--who", default="", help="Only what this person or job did.")
@click.option("--about", default="", help="Only where action, subject or outcome contain this.")
@click.option("-n", "--newest", default=30, show_default=True, type=click.IntRange(1, 1000), help="So many.")
@as_json
def show(who: str, about: str, newest: int, json_: bool) -> None:
    """Show the newest entries, newest first."""
    from shared.records.audit import AuditTrail
    from shared.records.audit_search import find_entries

    trail = AuditTrail(wiring.open_state(), wiring.system_clock())
    entries = find_entries(trail.newest(_MOST_READ), who=who, about=about, most=newest)
    if json_:
        print_answer([asdict(one) for one in entries], json_=True)
        return
    rows = [(one.number, one.at[:19], one.actor, one.action, one.subject, one.outcome) for one in entries]
    print_table("Audit trail", ("number", "at (UTC)", "who", "action", "subject", "outcome"), rows)
