"""`groundcrew backups`: make, list, show and verify backup sets."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.console import answer, as_json, bar, err, given, out, size, table
from cli.inline import InlineQueues
from cli.restore import UNKNOWN, identity_option, open_storage, signer_option, storage_option
from shared import wiring
from shared.kernel.errors import GroundcrewError, NotFound, Unavailable
from shared.settings import definitions as settings
from shared.settings import environment as config
from shared.wiring import backup as backup_wiring
from shared.wiring import restore as restore_wiring

if TYPE_CHECKING:
    from shared.backup.sets import SetInfo
    from shared.kernel.ports import Blobs
    from shared.records.runs import Run

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

    from shared.backup import job
    from shared.formats.backupset import folder

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
        _await(deps.runs, plan.set, where, timeout, quiet=json_)
    state, reason = _ending(where) if here or wait else ("queued", "")
    told = {"set": where, "parts": len(plan.parts), "state": state, "reason": reason}
    answer(told, json_=json_, text=f"{where}: {state}" + (f": {reason}" if reason else ""))
    if (here or wait) and state != "sealed":
        raise SystemExit(1)


def _ending(where: str) -> tuple[str, str]:
    """How the set ended, as its folder says, and why if it failed."""
    from shared.backup.sets import find

    state = find(wiring.backups(), where).state
    return state, _why(wiring.backups(), where) if state == "failed" else ""


def _why(store: Blobs, where: str) -> str:
    """The reason in the set's `failed.json`."""
    from shared.backup.sets import FAILED

    try:
        return str(json.loads(store.read(where + FAILED)[0])["error"])
    except (ValueError, KeyError, TypeError):
        return f"{where}{FAILED} is there, but cannot be understood"


def _await(runs: Any, set_id: str, where: str, timeout: int, *, quiet: bool) -> None:
    deadline = time.monotonic() + timeout * 60
    with bar(quiet=quiet) as reporter:
        reporter.phase(f"Waiting for {set_id}", 0)
        while time.monotonic() < deadline:
            # The folder is the truth; the record may be missing, or left by a worker that was killed.
            if _ending(where)[0] != "open":
                return
            try:
                run = runs.load("backup", set_id)
            except NotFound:
                run = None
            if run and run.state in ("done", "failed"):
                reporter.note(run.summary if run.state == "done" else f"{run.summary}: {run.error}")
                return
            time.sleep(_POLL_SECONDS)
    raise Unavailable(f"{set_id} was not sealed within {timeout} minutes", hint="See `backups show`.")


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
    from shared.backup.sets import list_sets

    found = [s for s in list_sets(open_storage(storage)) if all_ or s.state == "sealed"]
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
    from shared.backup.sets import find, read_manifest
    from shared.formats.backupset import to_json

    storage = given("--storage", storage)
    store, accepted = restore_wiring.backup_store(storage), restore_wiring.trusted(signers)
    info = find(store, reference)
    if info.state != "sealed":
        _show_progress(store, info, storage, json_)
        return
    checked = read_manifest(store, info, accepted)
    manifest = checked.manifest
    if json_:
        found = {"signer": checked.signer, "trusted": bool(accepted), "sha256": checked.sha256}
        answer({**to_json(manifest), **found}, json_=True)
        return
    out.print(f"{info.folder} sealed {manifest.sealed:%Y-%m-%d %H:%M:%S} UTC because {manifest.reason}")
    out.print(f"MongoDB {manifest.source.server_version} on {', '.join(manifest.source.hosts)}")
    out.print(f"oplog {manifest.oplog.start} to {manifest.oplog.end}, {manifest.oplog.entries} entries")
    out.print(f"signed by {checked.signer}{'' if accepted else UNKNOWN}")
    rows = [
        (h.name, h.kind, h.documents, size(h.data_bytes), h.content_hash[:12]) for h in manifest.namespaces
    ]
    table("Namespaces", ("namespace", "kind", "documents", "size", "content hash"), rows)
    parts = [(p.blob, size(p.plain_bytes), size(p.stored_bytes), p.sha256[:12]) for p in manifest.parts]
    table("Parts", ("blob", "plain", "stored", "sha256"), parts)


def _show_progress(store: Blobs, info: SetInfo, storage: str, json_: bool) -> None:
    from dataclasses import asdict

    reason = _why(store, info.folder) if info.state == "failed" else ""
    records, unknown = _records(info.id, storage)
    if json_:
        told = {"set": info.id, "state": info.state, "reason": reason, "runs": [asdict(r) for r in records]}
        answer({**told, "runs_unknown": unknown}, json_=True)
        return
    out.print(f"{info.folder} is {info.state}: it is no backup", markup=False)
    if reason:
        out.print(f"It failed: {reason}", markup=False)
    if unknown:
        out.print(f"How far it came is not known: {unknown}", markup=False)
    rows = [(r.id, r.state, f"{r.updated:%H:%M:%S}", size(r.done), r.error or r.summary) for r in records]
    if rows:
        table("Runs", ("run", "state", "updated", "done", "what"), rows)


def _records(set_id: str, storage: str) -> tuple[list[Run], str]:
    """The run records of a set, and why they cannot be read.

    Of another account than the settings' they are looked for in that account: two installations may well
    have begun a set in the same second.
    """
    from shared.records.runs import Runs

    ours = storage in ("", config.environment().get(settings.BACKUP_STORAGE))
    try:
        state = wiring.state() if ours else wiring.blobs(config.storage(storage), wiring.STATE)
        return list(Runs(state, wiring.clock()).all("backup", set_id)), ""
    except GroundcrewError as error:
        return [], str(error)


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
    from shared.backup import verify as checking
    from shared.backup.sets import find, list_sets, read_manifest

    store, accepted = open_storage(storage), restore_wiring.trusted(signers)
    if not accepted:
        err.print("[yellow]warning:[/] no --signer given: nobody vouches for who signed the manifests")
    secrets = [identity for path in identities for identity in restore_wiring.read_identities(path)]
    sealed = [s for s in list_sets(store) if s.state == "sealed"]
    chosen = [find(store, reference)] if reference else sealed
    if not chosen:
        raise NotFound("there is no backup to verify", hint="Make one: groundcrew backups create")
    findings = checking.check_chain(store, accepted, kept=_kept()) if chain else []
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
    vouched = "" if accepted else UNKNOWN
    good = f"{len(chosen)} sets verified{vouched}: {depth}" + (", and the chain" if chain else "")
    text = "\n".join(problems) or good
    told = {"verified": len(chosen), "depth": depth, "trusted": bool(accepted), "problems": problems}
    answer(told, json_=json_, text=text)
    if problems:
        raise SystemExit(1)


def _kept() -> dict[str, datetime]:
    """From when on policy keeps the sets of each class; nothing is known of it without a policy."""
    try:
        ages = wiring.policy().backup.keep.ages
    except GroundcrewError:
        return {}
    # A day less, since lifecycle rules run once a day and at their own time.
    return {klass: wiring.clock().now() - age + timedelta(days=1) for klass, age in ages.items()}
