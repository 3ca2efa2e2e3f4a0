"""`groundcrew backups`: create, list, show and verify backup sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.backup_create import create
from cli.console import (
    as_json,
    confirm,
    err,
    format_bytes,
    out,
    print_answer,
    print_table,
    progress_bar,
    read_option,
    yes_option,
)
from cli.expiry import RetentionView, describe_retention, format_expiry, plan_retention, print_plan
from cli.restore import identity_option, signer_option, storage_option
from cli.restore_outcome import SIGNER_UNKNOWN
from cli.tables import time_cell
from shared import wiring
from shared.kernel.errors import GroundcrewError, NotFound
from shared.kernel.timestamps import format_second
from shared.settings import definitions
from shared.settings.environment import parse_storage_account, read_environment
from shared.wiring import restore as restore_wiring

if TYPE_CHECKING:
    from shared.backup.catalogue import CatalogueEntry, SetCatalogue
    from shared.backup.proofs import DrillRecords
    from shared.formats.backupset import Manifest
    from shared.records.run_record import RunRecord

_COLUMNS = ("set", "class", "state", "begun (UTC)", "stored", "proven (UTC)", "expires")
_READING = "Reading the sets in storage …"  # which is retried for half a minute if it does not answer


@click.group()
def backups() -> None:
    """Create, list, show and verify backups."""


backups.add_command(create)


@backups.command("list")
@click.option("--all", "all_", is_flag=True, help="Sets of all states, and why they are no backup.")
@storage_option
@signer_option
@as_json
def list_(all_: bool, storage: str, signers: tuple[str, ...], json_: bool) -> None:
    """List the backups, oldest first."""
    from shared.backup.catalogue import SetState

    catalogue = restore_wiring.open_catalogue(read_option("--storage", storage), signers)
    with err.status(_READING):
        entries = catalogue.entries()
        drills = restore_wiring.read_drills(catalogue)
        plan = plan_retention(catalogue, entries, drills)
    # Only what restores: a list in which failed ones stand among them is read as "there are seven backups".
    listed = [e for e in entries if all_ or e.state is SetState.SEALED]
    if json_:
        print_answer([_describe_entry(e, drills, plan) for e in listed], json_=True)
        return
    columns = (*_COLUMNS, *(["problem"] if all_ else []))
    rows = [(*_format_row(e, drills, plan), *([e.problem] if all_ else [])) for e in listed]
    print_table("Backups", columns, rows)
    if not listed:
        out.print("No backups found. Create one: groundcrew backups create")
    # Failed and open ones are everyday; these three mean that somebody or something touched the storage.
    others = [e for e in entries if e.state in (SetState.DAMAGED, SetState.FOREIGN, SetState.MISDATED)]
    if others and not all_:
        err.print(f"[yellow]warning:[/] {len(others)} sets are damaged, foreign or misdated: see --all")


def _format_row(
    entry: CatalogueEntry, drills: DrillRecords | None, plan: RetentionView | None
) -> tuple[str, ...]:
    """The cells of `_COLUMNS`."""
    info = entry.info
    return (
        info.id,
        info.klass,
        str(entry.state),
        time_cell(info.created),
        format_bytes(info.stored_bytes),
        _format_proven(drills, entry),
        format_expiry(plan, entry),
    )


def _format_proven(drills: DrillRecords | None, entry: CatalogueEntry) -> str:
    """When a drill proved it; without the app's own storage nobody knows."""
    at = drills.proven_at(entry) if drills else None
    # "no" is a statement: only with the records at hand may it be made.
    return time_cell(at) if at else "no" if drills else "unknown"


def _describe_entry(
    entry: CatalogueEntry, drills: DrillRecords | None, plan: RetentionView | None
) -> dict[str, Any]:
    info = entry.info
    return {
        "set": info.id,
        "class": info.klass,
        "state": str(entry.state),
        "problem": entry.problem,
        "stored_bytes": info.stored_bytes,
        "proven_at": drills.proven_at(entry) if drills else None,
        **describe_retention(plan, entry),
    }


@backups.command()
@click.option("--dry-run", is_flag=True, help="Show what becomes of each set, and why.")
@yes_option
@as_json
def prune(dry_run: bool, yes: bool, json_: bool) -> None:
    """Delete what has expired by policy, with the slices that follow it; the timer `retention` does it daily.

    The newest good sets, the newest proven one and those made by hand stay.
    """
    from shared.prune.job import preview_prune, run_retention
    from shared.wiring.prune import prune_deps

    deps = prune_deps()
    plan = preview_prune(deps)
    if dry_run:
        print_plan(plan, json_=json_)
        return
    # Decided anew by the run: what is deleted is what has expired then, not what this count was made of.
    confirm(f"Delete {len(plan.chains)} expired chains?", yes=yes)
    done = run_retention(deps)
    print_answer({"done": done}, json_=json_, text=done)


@backups.command()
@click.argument("reference", metavar="SET")
@storage_option
@signer_option
@as_json
def show(reference: str, storage: str, signers: tuple[str, ...], json_: bool) -> None:
    """Show what SET holds, or for an unfinished one its progress."""
    from shared.formats.strict_json import record_to_json

    storage = read_option("--storage", storage)
    catalogue = restore_wiring.open_catalogue(storage, signers)
    with err.status(_READING):
        entry, accepted = catalogue.find(reference), catalogue.trusted
    # Unfinished, failed or with a signature that does not hold: no field of its manifest is shown as if it
    # were known.
    if entry.verified is None:
        _show_progress(entry, storage, json_)
        return
    checked, info, manifest = entry.verified, entry.info, entry.manifest
    if json_:
        # `trusted` beside the signer: whoever can write a set can sign it with a key of their own.
        signature = {"signer": checked.signer, "trusted": bool(accepted), "sha256": checked.sha256}
        print_answer({**record_to_json(manifest), **signature}, json_=True)
        return
    out.print(f"{info.folder} sealed {format_second(manifest.sealed)} ({manifest.reason})")
    out.print(f"MongoDB {manifest.source.server_version} on {', '.join(manifest.source.hosts)}")
    out.print(f"oplog {manifest.oplog.start} to {manifest.oplog.end}, {manifest.oplog.entries} entries")
    out.print(f"signed by {checked.signer}{'' if accepted else SIGNER_UNKNOWN}")
    rows = [
        (h.name, h.kind, h.documents, format_bytes(h.data_bytes), h.content_hash[:12])
        for h in manifest.namespaces
    ]
    print_table("Namespaces", ("namespace", "kind", "documents", "size", "content hash"), rows)
    parts = [
        (p.blob, format_bytes(p.plain_bytes), format_bytes(p.stored_bytes), p.sha256[:12])
        for p in manifest.stored_parts
    ]
    print_table("Parts", ("blob", "plain", "stored", "sha256"), parts)
    _show_extra_parts(manifest)


def _show_extra_parts(manifest: Manifest) -> None:
    """What the set holds besides the database; what could not be read is named, and never listed as there."""
    from shared.formats.extra_parts import KNOWN_KINDS

    for part in manifest.extra_parts:
        if part.kind not in KNOWN_KINDS:
            out.print(f"{part.blob}: this version does not know parts of the kind {part.kind}", markup=False)
            continue
        print_table(f"Part {part.kind}", ("what",), [(name,) for name in part.contents])
        for item in part.unread:
            err.print(f"warning: not in the backup: {item.what}: {item.reason}", markup=False)


def _show_progress(entry: CatalogueEntry, storage: str, json_: bool) -> None:
    from dataclasses import asdict

    info = entry.info
    records, unknown = _records(info.id, storage)
    if json_:
        runs = [asdict(record) for record in records]
        status = {"set": info.id, "state": str(entry.state), "reason": entry.problem, "runs": runs}
        print_answer({**status, "runs_unknown": unknown}, json_=True)
        return
    # Without markup: state and reason may quote a name that somebody else chose, brackets included.
    out.print(f"{info.folder} is {entry.state}: it is not a backup", markup=False)
    if entry.problem:
        out.print(f"Reason: {entry.problem}", markup=False)
    if unknown:
        out.print(f"Progress unknown: {unknown}", markup=False)
    rows = [
        (r.id, r.state, f"{r.updated:%H:%M:%S}", format_bytes(r.done), r.error or r.summary) for r in records
    ]
    if rows:
        print_table("Runs", ("run", "state", "updated", "done", "what"), rows)


def _records(set_id: str, storage: str) -> tuple[list[RunRecord], str]:
    """The run records of a set, or why they cannot be read.

    With --storage they are read from that account too: two installations may have begun a set in the same
    second.
    """
    from shared.records.runs import Runs

    configured = storage in ("", read_environment().get(definitions.BACKUP_STORAGE))
    try:
        state = (
            wiring.open_state()
            if configured
            else wiring.open_container(parse_storage_account(storage), wiring.STATE)
        )
        return list(Runs(state, wiring.system_clock()).list_runs("backup", set_id)), ""
    except GroundcrewError as error:
        # A laptop with a SAS of the backups alone has no run records: what can be shown is shown.
        return [], str(error)


def _warn_of_limits(catalogue: SetCatalogue, chain: bool) -> None:
    """Say before what a verification from here cannot see, so that its success is not read as more."""
    if not catalogue.trusted:
        err.print("[yellow]warning:[/] no --signer given: signatures are checked, but not who made them")
    if catalogue.seals is None and chain:
        err.print("[yellow]warning:[/] the seal log was not compared: it is in the app's own storage")


@backups.command()
@click.argument("reference", metavar="[SET]", default="")
@click.option("--chain/--no-chain", default=True, help="Verify the chain of all manifests too.")
@storage_option
@identity_option
@signer_option
@as_json
def verify(
    reference: str,
    chain: bool,
    storage: str,
    identities: tuple[Path, ...],
    signers: tuple[str, ...],
    json_: bool,
) -> None:
    """Verify signatures, the chain and every stored byte; with --identity every document too.

    Without SET all sets are verified. Exits with 1 and names each blob that failed.
    """
    from cli.verification import retained_since, verify_sets
    from shared.backup.sets import MANIFEST
    from shared.backup.verify import verify_chain

    catalogue = restore_wiring.open_catalogue(read_option("--storage", storage), signers)
    accepted = catalogue.trusted
    _warn_of_limits(catalogue, chain)
    secrets = [identity for path in identities for identity in restore_wiring.read_identities(path)]
    with err.status(_READING):
        entries = catalogue.entries()
        chosen = (
            [catalogue.find(reference)] if reference else [e for e in entries if MANIFEST in e.info.files]
        )
    problems = verify_chain(catalogue, entries, retained_since()) if chain else []
    if not chosen and not problems:
        raise NotFound("there is no backup to verify", hint="Create one: groundcrew backups create")
    with progress_bar(quiet=json_) as reporter:
        problems += verify_sets(catalogue, chosen, secrets, reporter)
    # One broken link is found from both of its ends.
    texts = list(dict.fromkeys(p.problem for p in problems))
    depth = "every document" if secrets else "every stored byte"
    unsigned = "" if accepted else SIGNER_UNKNOWN
    success = f"{len(chosen)} sets verified{unsigned}: {depth}" + (", and the chain" if chain else "")
    result = {"verified": len(chosen), "depth": depth, "trusted": bool(accepted), "problems": texts}
    print_answer(result, json_=json_, text="\n".join(texts) or success)
    if problems:
        raise SystemExit(1)
