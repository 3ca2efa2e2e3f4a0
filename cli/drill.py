"""`groundcrew drill`: restore a backup into a scratch MongoDB, and show which backups were proven so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, err, out, print_answer, print_table, progress_bar
from cli.tables import time_cell
from shared.wiring.drill import drill_deps as wiring

if TYPE_CHECKING:
    from shared.formats.proofs import DrillProof


@click.group()
def drill() -> None:
    """Prove that backups restore."""


@drill.command()
@click.argument("reference", metavar="[SET]", default="latest")
@click.option(
    "--until",
    default="",
    metavar="MOMENT",
    help="Restore this moment: a time with its zone, or `seconds,ordinal` of the oplog.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be restored, and whether a drill is due.")
@as_json
def run(reference: str, until: str, dry_run: bool, json_: bool) -> None:
    """Restore SET, or the newest backup, into a scratch MongoDB, and drop it again.

    Without SET and --until in turn the newest set and a random moment between the last two.
    The outcome is signed and kept. Exit 1 if the backup was not proven.
    """
    from shared.formats.proofs import PROVEN
    from shared.pitr.moment import parse_moment
    from shared.restore.drill.job import preview_drill, run_drill
    from shared.restore.drill.run import describe_drill

    deps = wiring()
    if dry_run:
        # Also asked where no drill is due: by hand one may be run at any time.
        entry, decision = deps.catalogue.find(reference), preview_drill(deps)
        answer = {"set": entry.info.reference, "due": decision.due, "reason": decision.reason}
        text = f"would restore {entry.info.reference} into {deps.target}"
        due = "due" if decision.due else "not due"
        print_answer(answer, json_=json_, text=f"{text}\nthe timer's drill is {due}: {decision.reason}")
        return
    with progress_bar(quiet=json_) as reporter:
        # As the timer runs it, signature and all: a drill by hand counts as much.
        proof = run_drill(deps, reporter, reference, parse_moment(until) if until else None)
    print_answer(describe_as_dict(proof), json_=json_, text=describe_drill(proof))
    # Interrupted, too: a script that asks for a proof has not got one.
    if proof.outcome != PROVEN:
        raise SystemExit(1)


@drill.command("list")
@as_json
def list_(json_: bool) -> None:
    """List the drills on record, the newest first."""
    from shared.restore.drill.job import read_records
    from shared.restore.drill.notices import format_seconds

    records = read_records(wiring())
    if json_:
        ignored = [{"blob": one.blob, "reason": one.reason} for one in records.ignored]
        print_answer({"drills": [*map(describe_as_dict, records.proofs)], "ignored": ignored}, json_=True)
        return
    rows = [
        (
            time_cell(one.started),
            f"{one.klass}/{one.set}",
            one.outcome,
            format_seconds(one.restore_seconds),
            format_seconds(one.data_loss_seconds),
            one.problem,
        )
        for one in records.proofs
    ]
    print_table("Drills", ("begun (UTC)", "set", "outcome", "RTO", "RPO", "problem"), rows)
    if not rows:
        out.print("No drill is on record. Run one: groundcrew drill run")
    # A proof with another signature counts for nothing, and that it lies there is worth a look.
    for one in records.ignored:
        err.print(f"[yellow]warning:[/] proves nothing: {one.blob}: {one.reason}")


def describe_as_dict(proof: DrillProof) -> dict[str, Any]:
    """The proof in JSON, as it is signed."""
    from shared.formats.strict_json import record_to_json

    return record_to_json(proof)
