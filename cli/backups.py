"""`groundcrew backups`: make, list, show and verify backup sets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from cli.console import answer, as_json, bar, err, out, size, table
from cli.inline import InlineQueues
from cli.restore import identity_option, signer_option, storage_option
from shared import wiring
from shared.errors import GroundcrewError, NotFound, Unavailable
from shared.wiring import backup as backup_wiring

_POLL_SECONDS = 2.0


@click.group()
def backups() -> None:
    """Make, list, show and verify backups."""


@backups.command()
@click.option("--here", is_flag=True, help="Dump in this process instead of on the Functions app.")
@click.option("--wait", is_flag=True, help="Wait until the set is sealed, and fail if it is not.")
@click.option("--timeout", default=240, show_default=True, help="Minutes to wait.")
@click.option("--dry-run", is_flag=True, help="Show the parts that would be made.")
@as_json
def create(here: bool, wait: bool, timeout: int, dry_run: bool, json_: bool) -> None:
    """Make a backup now, of the class `manual`."""
    from dataclasses import replace

    from shared.formats.backupset import folder
    from shared.jobs import backup as job

    queues = InlineQueues()
    deps = replace(backup_wiring.backup(), queues=queues) if here else backup_wiring.backup()
    if dry_run:
        _show_parts(job.survey(deps).parts, json_)
        return
    plan = job.create(deps, job.MANUAL, reason="asked for from the command line")
    where = folder(plan.klass, plan.set)
    if here:
        with bar(quiet=json_) as reporter:
            reporter.phase(f"Dumping {len(plan.parts)} parts", len(plan.parts))
            for message in queues.drain(job.QUEUE):
                job.run_part(deps, message["set"], message["part"])
                reporter.advance(1)
    elif wait:
        _await(deps.runs, plan.set, timeout, quiet=json_)
    state = _state(where) if here or wait else "queued"
    answer({"set": where, "parts": len(plan.parts), "state": state}, json_=json_, text=f"{where}: {state}")
    if (here or wait) and state != "sealed":
        raise SystemExit(1)


def _state(where: str) -> str:
    from shared.state.sets import find

    return find(wiring.backups(), where).state


def _await(runs: Any, set_id: str, timeout: int, *, quiet: bool) -> None:
    deadline = time.monotonic() + timeout * 60
    with bar(quiet=quiet) as reporter:
        reporter.phase(f"Waiting for {set_id}", 0)
        while time.monotonic() < deadline:
            run = runs.load("backup", set_id)
            if run.state in ("done", "failed"):
                reporter.note(run.summary if run.state == "done" else f"{run.summary}: {run.error}")
                return
            time.sleep(_POLL_SECONDS)
    raise Unavailable(f"{set_id} was not sealed within {timeout} minutes", cure="See `backups show`.")


def _show_parts(parts: Any, json_: bool) -> None:
    rows = [(i, len(p.pieces), "yes" if p.oplog else "no", _names(p)) for i, p in enumerate(parts)]
    if json_:
        answer([{"part": r[0], "namespaces": [p.name for p in parts[r[0]].pieces]} for r in rows], json_=True)
    else:
        table("Would dump", ("part", "namespaces", "oplog", "which"), rows)


def _names(part: Any) -> str:
    names = [piece.name for piece in part.pieces]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@backups.command("list")
@click.option("--all", "all_", is_flag=True, help="Unfinished and failed sets too; they are no backups.")
@storage_option
@as_json
def list_(all_: bool, storage: str, json_: bool) -> None:
    """List the backups there are, oldest first."""
    from shared.state.sets import list_sets

    found = [s for s in list_sets(backup_wiring.backup_store(storage)) if all_ or s.state == "sealed"]
    if json_:
        rows = [
            {"set": s.id, "class": s.klass, "state": s.state, "stored_bytes": s.stored_bytes} for s in found
        ]
        answer(rows, json_=True)
        return
    table(
        "Backups",
        ("set", "class", "state", "begun (UTC)", "stored"),
        [(s.id, s.klass, s.state, f"{s.created:%Y-%m-%d %H:%M}", size(s.stored_bytes)) for s in found],
    )
    if not found:
        out.print("There is no backup. Make one: groundcrew backups create")


@backups.command()
@click.argument("reference", metavar="SET")
@storage_option
@signer_option
@as_json
def show(reference: str, storage: str, signers: tuple[str, ...], json_: bool) -> None:
    """Show what SET holds, and for an unfinished one how far it is."""
    from shared.formats.backupset import to_json
    from shared.state.sets import find, read_manifest

    store = backup_wiring.backup_store(storage)
    info = find(store, reference)
    if info.state != "sealed":
        _show_progress(info.id, info.state, json_)
        return
    checked = read_manifest(store, info, backup_wiring.trusted(signers))
    manifest = checked.manifest
    if json_:
        answer({**to_json(manifest), "signer": checked.signer, "sha256": checked.sha256}, json_=True)
        return
    out.print(f"{info.folder} sealed {manifest.sealed:%Y-%m-%d %H:%M:%S} UTC because {manifest.reason}")
    out.print(f"MongoDB {manifest.source.server_version} on {', '.join(manifest.source.hosts)}")
    out.print(f"oplog {manifest.oplog.start} to {manifest.oplog.end}, {manifest.oplog.entries} entries")
    out.print(f"signed by {checked.signer}")
    rows = [
        (h.name, h.kind, h.documents, size(h.data_bytes), h.content_hash[:12]) for h in manifest.namespaces
    ]
    table("Namespaces", ("namespace", "kind", "documents", "size", "content hash"), rows)
    parts = [(p.blob, size(p.plain_bytes), size(p.stored_bytes), p.sha256[:12]) for p in manifest.parts]
    table("Parts", ("blob", "plain", "stored", "sha256"), parts)


def _show_progress(set_id: str, state: str, json_: bool) -> None:
    from dataclasses import asdict

    from shared.state.runs import Runs

    records = list(Runs(wiring.state(), wiring.clock()).all("backup", set_id))
    if json_:
        answer({"set": set_id, "state": state, "runs": [asdict(r) for r in records]}, json_=True)
        return
    rows = [(r.id, r.state, f"{r.updated:%H:%M:%S}", size(r.done), r.error or r.summary) for r in records]
    table(f"{set_id} is {state}: it is no backup", ("run", "state", "updated", "done", "what"), rows)


@backups.command()
@click.argument("reference", metavar="[SET]", default="")
@click.option("--chain/--no-chain", default=True, help="Check the chain of all manifests too.")
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
    """Check signatures, the chain and every stored byte; with --identity every document too.

    Without SET all sets are checked. Exit 1 names each blob that is not as it should be.
    """
    from shared.state import checking
    from shared.state.sets import find, list_sets, read_manifest

    store, accepted = backup_wiring.backup_store(storage), backup_wiring.trusted(signers)
    if not accepted:
        err.print("[yellow]warning:[/] no --signer given: nobody vouches for who signed the manifests")
    secrets = [identity for path in identities for identity in backup_wiring.read_identities(path)]
    sealed = [s for s in list_sets(store) if s.state == "sealed"]
    chosen = [find(store, reference)] if reference else sealed
    if not chosen:
        raise NotFound("there is no backup to verify", cure="Make one: groundcrew backups create")
    findings = checking.check_chain(store, accepted) if chain else []
    with bar(quiet=json_) as reporter:
        for info in chosen:
            problem = ""
            try:
                manifest = read_manifest(store, info, accepted).manifest
                checking.check_stored(store, manifest, manifest.parts, reporter)
                if secrets:
                    checking.check_content(store, manifest, secrets, reporter)
            except GroundcrewError as error:
                problem = str(error)
            findings.append(checking.Finding(info.folder, problem))
    problems = list(dict.fromkeys(f.problem for f in findings if f.problem))
    depth = "every document" if secrets else "every stored byte"
    good = f"{len(chosen)} sets verified: {depth}" + (", and the chain" if chain else "")
    text = "\n".join(problems) or good
    answer({"verified": len(chosen), "depth": depth, "problems": problems}, json_=json_, text=text)
    if problems:
        raise SystemExit(1)
