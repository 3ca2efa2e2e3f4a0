"""`groundcrew restore`: from encrypted blobs to a proven database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from cli.cluster_state import print_state, read_state, restore_state
from cli.console import as_json, err, print_answer, progress_bar, read_option
from cli.restore_outcome import print_outcome
from shared.kernel.errors import UsageError
from shared.settings.environment import all_or_nothing
from shared.wiring import restore as wiring

if TYPE_CHECKING:
    from shared.formats.agekeys import Identity
    from shared.kernel.ports import Blobs, Reporter
    from shared.restore.job import RestoreDeps

_SCHEMES = ("mongodb://", "mongodb+srv://")

_UNVOUCHED = "[yellow]warning:[/] no --signer given: nobody vouches for who signed the manifest"

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
    default="",
    envvar="GROUNDCREW_RESTORE_URI",
    show_envvar=True,
    help="The MongoDB to restore into; it must be empty. A password among the arguments shows in `ps`:"
    " give @FILE, - (a line of standard input) or the variable instead.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Only db.collection, a database, or a pattern such as 'db.uploads*'; repeatable.",
)
@click.option("--into-non-empty", is_flag=True, help="Add to what the target holds.")
@click.option(
    "--from",
    "from_",
    multiple=True,
    metavar="NAME",
    help="A database or db.collection to restore under the name of --to; repeatable.",
)
@click.option("--to", multiple=True, metavar="NAME", help="The new name, one for each --from.")
@click.option(
    "--until",
    default="",
    metavar="MOMENT",
    help="Restore this moment: a time with its zone (all of that second), or `seconds,ordinal` of the oplog."
    " With `latest` the base is chosen.",
)
@click.option("--resume", is_flag=True, help="Go on with a restore of this set that broke off.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    help="How many parts, batches of one part, collections and index builds at once.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and check that the key fits.")
@click.option(
    "--cluster-state",
    "state_folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the cluster's state of SET into DIR, a new or empty folder, as files ready to be applied:"
    " Secrets in the clear. The database is not restored.",
)
@storage_option
@identity_option
@signer_option
@as_json
def restore(
    reference: str,
    to_uri: str,
    only: tuple[str, ...],
    into_non_empty: bool,
    from_: tuple[str, ...],
    to: tuple[str, ...],
    until: str,
    resume: bool,
    jobs: int,
    dry_run: bool,
    state_folder: Path | None,
    storage: str,
    identities: tuple[Path, ...],
    signers: tuple[str, ...],
    json_: bool,
) -> None:
    """Restore SET (an id, class/id, or `latest`) and prove that every namespace is what it was.

    Every stored byte is checked before the first is written.
    """
    if state_folder is not None:
        _restore_state(reference, until, state_folder, storage, identities, signers, dry_run, json_)
        return
    _check_options(to_uri, from_, to)
    # `backups` takes its options from here: what a restore needs is imported when there is one.
    from shared.restore.job import restore_set

    with progress_bar(quiet=json_) as reporter:
        job = _build_deps(to_uri, storage, identities, signers, reporter, jobs, needs_key=not dry_run)
        if until:
            job, reference = _aim_at_moment(job, until, reference)
        result = restore_set(
            job, reference, only=only, dry_run=dry_run,
            into_non_empty=into_non_empty, resume=resume, renames=tuple(zip(from_, to, strict=True)),
        )  # fmt: skip
    print_outcome(result, dry_run=dry_run, trusted=bool(job.catalogue.trusted), json_=json_)
    # Also where everything was written: a restore that nobody can call equal is no success.
    if not dry_run and not result.proven:
        raise SystemExit(1)


def _aim_at_moment(job: RestoreDeps, until: str, reference: str) -> tuple[RestoreDeps, str]:
    """The restore with the captured oplog up to the moment behind it, and the set that it begins with."""
    from shared.pitr.tail import OplogTail
    from shared.wiring.pitr import plan_moment

    plan = plan_moment(job.catalogue, until, reference)
    # Before the first byte is read: whoever meant another second can still break off.
    for reason in plan.reasons:
        job.reporter.note(reason)
    return replace(job, tail=OplogTail(job.backups, plan, job.identities)), plan.base.reference


def _check_options(to_uri: str, from_: Sequence[str], to: Sequence[str]) -> None:
    if not to_uri:
        raise UsageError("--to-uri is missing", hint="Name an empty MongoDB, or give --cluster-state DIR.")
    if len(from_) != len(to):
        raise UsageError("--from and --to belong together", value=f"{len(from_)} and {len(to)} given")


def _restore_state(
    reference: str,
    until: str,
    folder: Path,
    storage: str,
    identities: Sequence[Path],
    signers: Sequence[str],
    dry_run: bool,
    json_: bool,
) -> None:
    """The cluster's state of the set; where a moment is given, of the base that it is restored from."""
    catalogue = wiring.open_catalogue(check_storage(storage), signers)
    if not catalogue.trusted:
        err.print(_UNVOUCHED)
    if until:
        from shared.wiring.pitr import plan_moment

        # The cluster's state is only in sets: of a moment between two, that of the one before is the nearest.
        reference = plan_moment(catalogue, until, reference).base.reference
    state = read_state(catalogue, reference, identities)
    answer = restore_state(state, folder, dry_run=dry_run)
    if json_:
        print_answer(answer, json_=True)
    else:
        print_state(answer, state)


def _build_deps(
    to_uri: str,
    storage: str,
    identities: Sequence[Path],
    signers: Sequence[str],
    reporter: Reporter,
    jobs: int,
    *,
    needs_key: bool,
) -> RestoreDeps:
    """All that the restore needs. Raises one UsageError with all faults of target, storage and key files."""
    if needs_key and not identities:
        # A reader that fails, so that the missing key is told together with the other faults.
        files: dict[str, Callable[[], list[Identity]]] = {"no key": _require_key}
    else:
        files = {f"key file {path}": partial(wiring.read_identities, path) for path in identities}
    read = all_or_nothing(
        target=lambda: _parse_target(to_uri), storage=lambda: check_storage(storage), **files
    )
    job = wiring.build_restore_deps(
        read.pop("target"), storage=read.pop("storage"), identity_files=(), signers=signers, reporter=reporter
    )
    if not job.catalogue.trusted:
        err.print(_UNVOUCHED)
    # Read once and handed over: a key file may be a pipe.
    return replace(
        job,
        jobs=jobs,
        identities=[identity for identities_read in read.values() for identity in identities_read],
    )


def _parse_target(text: str) -> str:
    uri = read_option("--to-uri", text)
    if not uri.startswith(_SCHEMES):
        hint = "For example: mongodb://user:<password>@host:27017/?replicaSet=rs0&authSource=admin"
        raise UsageError("--to-uri: not a MongoDB URI", value="it begins otherwise", hint=hint)
    return uri


def _require_key() -> NoReturn:
    raise UsageError("no key to decrypt with", hint="Give the key file: --identity FILE.")


def check_storage(storage: str) -> str:
    """What `--storage` names, empty for the settings'; that it can be opened was tried. Raises UsageError."""
    text = read_option("--storage", storage)
    wiring.backup_store(text)
    return text


def open_storage(storage: str) -> Blobs:
    """The container of backups that `--storage` names, or the settings'. Raises UsageError."""
    return wiring.backup_store(read_option("--storage", storage))
