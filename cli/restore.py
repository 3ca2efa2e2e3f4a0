"""`groundcrew restore`: from encrypted blobs to a proven database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from cli.console import answer, as_json, bar, err, given, out, size, table
from shared.kernel.errors import UsageError
from shared.restore.decide import Verdict
from shared.restore.job import Outcome, Restore, run
from shared.settings.environment import all_or_nothing
from shared.wiring import restore as wiring

if TYPE_CHECKING:
    from shared.formats.agekeys import Identity
    from shared.kernel.ports import Blobs, Reporter

_SCHEMES = ("mongodb://", "mongodb+srv://")
UNKNOWN = " (signer unknown)"  # after every verdict that nobody vouches for

storage_option = click.option(
    "--storage",
    default="",
    help="Where backups lie: an account's name, a SAS URL or connection string, or @FILE with one in it"
    " (a secret among the arguments shows in `ps`) [settings].",
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
@click.option(
    "--to-uri",
    required=True,
    envvar="GROUNDCREW_RESTORE_URI",
    show_envvar=True,
    help="The MongoDB to restore into; it must be empty. A password among the arguments shows in `ps`:"
    " give @FILE, - (a line of standard input) or the variable instead.",
)
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
        job = _job(to_uri, storage, identities, signers, reporter, needs_key=not dry_run)
        if not job.trusted:
            err.print("[yellow]warning:[/] no --signer given: nobody vouches for who signed the manifest")
        outcome = run(job, reference, only=only, dry_run=dry_run, into_non_empty=into_non_empty)
    trusted = bool(job.trusted)
    if json_:
        answer(_plain(outcome, dry_run, trusted), json_=True)
    elif dry_run:
        _show_plan(outcome)
    else:
        _show(outcome, trusted)
    if not dry_run and not outcome.good:
        raise SystemExit(1)


def _job(
    to_uri: str,
    storage: str,
    identities: Sequence[Path],
    signers: Sequence[str],
    reporter: Reporter,
    *,
    needs_key: bool,
) -> Restore:
    """All that the restore needs. Raises one UsageError with all faults of target, storage and key files."""
    if needs_key and not identities:
        files: dict[str, Callable[[], list[Identity]]] = {"no key": _no_key}
    else:
        files = {f"key file {path}": partial(wiring.read_identities, path) for path in identities}
    read = all_or_nothing(target=lambda: _target(to_uri), storage=lambda: named_storage(storage), **files)
    job = wiring.restore(
        read.pop("target"), storage=read.pop("storage"), identity_files=(), signers=signers, reporter=reporter
    )
    # Read once and handed over: a key file may be a pipe.
    return replace(job, identities=[identity for found in read.values() for identity in found])


def _target(text: str) -> str:
    uri = given("--to-uri", text)
    if not uri.startswith(_SCHEMES):
        hint = "For example: mongodb://user:<password>@host:27017/?replicaSet=rs0&authSource=admin"
        raise UsageError("--to-uri: not a MongoDB URI", value="it begins otherwise", hint=hint)
    return uri


def _no_key() -> NoReturn:
    raise UsageError("no key to decrypt with", hint="Give the key file: --identity FILE.")


def named_storage(storage: str) -> str:
    """What `--storage` names, empty for the settings'; that it can be opened was tried. Raises UsageError."""
    text = given("--storage", storage)
    wiring.backup_store(text)
    return text


def open_storage(storage: str) -> Blobs:
    """The container of backups that `--storage` names, or the settings'. Raises UsageError."""
    return wiring.backup_store(given("--storage", storage))


def _plain(outcome: Outcome, dry_run: bool, trusted: bool) -> dict[str, object]:
    verdicts = [
        {
            "namespace": v.name,
            "how": v.how,
            "equal": v.equal,
            "documents": v.documents,
            "because": list(v.because),
        }
        for v in outcome.verdicts
    ]
    return {
        "set": f"{outcome.manifest.klass}/{outcome.manifest.set}",
        "signer": outcome.signer,
        "trusted": trusted,
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


def _word(verdict: Verdict) -> str:
    """`equal` only for what was compared."""
    if not verdict.equal:
        return "; ".join(verdict.because)
    return "equal" if verdict.how == "compared" else verdict.how


def _show(outcome: Outcome, trusted: bool) -> None:
    rows = [(v.name, v.documents, size(v.data_bytes), _word(v)) for v in outcome.verdicts]
    table(f"Restored {outcome.manifest.set}", ("namespace", "documents", "size", "verdict"), rows)
    for problem in outcome.problems:
        out.print(f"[bold red]problem:[/] {problem}")
    compared = [v for v in outcome.verdicts if v.how == "compared"]
    equal = sum(v.equal for v in compared)
    verdict = "[bold green]PROVEN[/]" if outcome.good else "[bold red]NOT PROVEN[/]"
    vouched = "" if trusted else UNKNOWN
    out.print(
        f"{verdict}{vouched}: {equal} of {len(compared)} namespaces equal,"
        f" {outcome.replayed} oplog entries replayed, signed by {outcome.signer}"
    )
