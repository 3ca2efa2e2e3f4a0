"""`groundcrew restore`: from encrypted blobs to a proven database."""

from __future__ import annotations

from pathlib import Path

import click

from cli.console import answer, as_json, bar, err, out, size, table
from shared.jobs.restore import Outcome, run
from shared.wiring import backup as wiring

storage_option = click.option(
    "--storage", default="", help="Where backups lie: SAS URL, account name or connection string [settings]."
)
identity_option = click.option(
    "-i",
    "--identity",
    "identities",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A key file; may be given several times.",
)
signer_option = click.option(
    "--signer", "signers", multiple=True, help="A signer whose manifests are accepted [settings]."
)


@click.command()
@click.argument("reference", metavar="SET")
@click.option("--to-uri", required=True, help="The MongoDB to restore into; it must be empty.")
@click.option("--only", multiple=True, metavar="DB.COLLECTION", help="Only this namespace; repeatable.")
@click.option("--into-non-empty", is_flag=True, help="Add to what the target holds.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and check that the key fits.")
@storage_option
@identity_option
@signer_option
@as_json
def restore(
    reference: str,
    to_uri: str,
    only: tuple[str, ...],
    into_non_empty: bool,
    dry_run: bool,
    storage: str,
    identities: tuple[Path, ...],
    signers: tuple[str, ...],
    json_: bool,
) -> None:
    """Restore SET (an id, class/id, or `latest`) and prove that every namespace is what it was.

    Every stored byte is checked before the first is written.
    """
    with bar(quiet=json_) as reporter:
        job = wiring.restore(
            to_uri, storage=storage, identity_files=identities, signers=signers, reporter=reporter
        )
        if not job.trusted:
            err.print("[yellow]warning:[/] no --signer given: nobody vouches for who signed the manifest")
        outcome = run(job, reference, only=only, dry_run=dry_run, into_non_empty=into_non_empty)
    if json_:
        answer(_plain(outcome, dry_run), json_=True)
    elif dry_run:
        _show_plan(outcome)
    else:
        _show(outcome)
    if not dry_run and not outcome.good:
        raise SystemExit(1)


def _plain(outcome: Outcome, dry_run: bool) -> dict[str, object]:
    verdicts = [
        {"namespace": v.name, "equal": v.equal, "documents": v.documents, "because": list(v.because)}
        for v in outcome.verdicts
    ]
    return {
        "set": f"{outcome.manifest.klass}/{outcome.manifest.set}",
        "signer": outcome.signer,
        "dry_run": dry_run,
        "plan": list(outcome.plan.because),
        "good": outcome.good,
        "replayed": outcome.replayed,
        "problems": outcome.problems,
        "verdicts": verdicts,
    }


def _show_plan(outcome: Outcome) -> None:
    for reason in outcome.plan.because:
        out.print(f"- {reason}")
    rows = [(h.name, h.kind, h.documents, size(h.data_bytes)) for h in outcome.manifest.namespaces]
    table(
        "Would restore",
        ("namespace", "kind", "documents", "size"),
        [r for r in rows if r[0] in outcome.plan.wanted],
    )


def _show(outcome: Outcome) -> None:
    rows = [
        (v.name, v.documents, size(v.data_bytes), "equal" if v.equal else "; ".join(v.because))
        for v in outcome.verdicts
    ]
    table(f"Restored {outcome.manifest.set}", ("namespace", "documents", "size", "verdict"), rows)
    for problem in outcome.problems:
        out.print(f"[bold red]problem:[/] {problem}")
    equal = sum(v.equal for v in outcome.verdicts)
    verdict = "[bold green]PROVEN[/]" if outcome.good else "[bold red]NOT PROVEN[/]"
    out.print(
        f"{verdict}: {equal} of {len(outcome.verdicts)} namespaces equal,"
        f" {outcome.replayed} oplog entries replayed, signed by {outcome.signer}"
    )
