"""`groundcrew migrate`: the chat's database to another server, with minutes of work and seconds of pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, confirm, print_answer, progress_bar, read_option, yes_option
from cli.identity import current_user
from cli.migrate_outcome import describe_plan, describe_record, plan_to_json, record_to_json
from shared.kernel.errors import NotFound, UsageError
from shared.wiring import migrate as wiring

if TYPE_CHECKING:
    from shared.kernel.ports import Reporter
    from shared.migrate.deps import MigrationDeps
    from shared.migrate.records import MigrationRecord

_SCHEMES = ("mongodb://", "mongodb+srv://")
_EXAMPLE = "For example: mongodb://user:<password>@host:27017/?replicaSet=rs0&authSource=admin"


def uri_options(command: Any) -> Any:
    """`--from-uri` and `--to-uri`, which each command that touches the servers takes: they are not stored."""
    advice = "A password among the arguments shows in `ps`: give @FILE, - or the variable instead."
    for name, side in (("to", "moved to"), ("from", "moved away from")):
        command = click.option(
            f"--{name}-uri",
            default="",
            envvar=f"GROUNDCREW_MIGRATE_{name.upper()}_URI",
            show_envvar=True,
            help=f"The MongoDB that is {side}. {advice}",
        )(command)
    return command


@click.group(invoke_without_command=True)
@uri_options
@click.option("--dry-run", is_flag=True, help="Show the plan: what would be moved, and what is in the way.")
@click.option(
    "--database",
    "databases",
    multiple=True,
    help="Only this database; repeatable. Else all but the server's.",
)
@click.option(
    "--uploads-copied", is_flag=True, help="Uploads outside the database are moved by other means: S3, files."
)
@click.option("--restart", is_flag=True, help="Make the copy anew, over what an earlier run has left.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 32), default=4, show_default=True, help="Copies at once."
)
@as_json
@click.pass_context
def migrate(
    context: click.Context,
    from_uri: str,
    to_uri: str,
    dry_run: bool,
    restart: bool,
    databases: tuple[str, ...],
    uploads_copied: bool,
    jobs: int,
    json_: bool,
) -> None:
    """Move the chat's MongoDB to another server while people write.

    Copies, follows what is written meanwhile until nothing is left behind, and compares. Changes nothing for
    the chat before `groundcrew migrate cut-over`. Run it again to go on where it was interrupted.
    """
    # click calls the group before each of its commands.
    if context.invoked_subcommand is not None:
        return
    from shared.migrate import job
    from shared.migrate.model import MigrationOptions

    options = MigrationOptions(uploads_copied, databases)
    with progress_bar(quiet=json_) as reporter:
        deps = connect(from_uri, to_uri, reporter, jobs=jobs)
        if not dry_run:
            record = job.run_migration(deps, options, by=current_user(), restart=restart)
    if not dry_run:
        _print_record(record, json_=json_)
        return
    plan = job.plan_move(deps, options)
    print_answer(plan_to_json(plan), json_=json_, text="\n".join(describe_plan(plan)))
    # As the run itself would: a script that asks before must not read a refusal as a yes.
    raise SystemExit(1 if plan.refusals else 0)


@migrate.command()
@uri_options
@as_json
def status(from_uri: str, to_uri: str, json_: bool) -> None:
    """Show how far the migration is; with both addresses also whether the way back is open."""
    from shared.migrate.job import watch_migration
    from shared.migrate.records import load_migration

    late, record = "", load_migration(wiring.migration_state())
    if record is None:
        raise NotFound("there is no migration on record", hint="Begin one: groundcrew migrate --dry-run.")
    # Before the switch the record says it all, also while another command is at it.
    if record.phase.switched and from_uri and to_uri:
        with progress_bar(quiet=json_) as reporter:
            record, late = watch_migration(connect(from_uri, to_uri, reporter))
    _print_record(record, json_=json_, late=late)
    if late:
        raise SystemExit(1)


@migrate.command("cut-over")
@uri_options
@click.option("--secret", default="", metavar="NAMESPACE/NAME/KEY", help="The Secret to switch.")
@click.option("--new-uri", default="", help="What goes there: the chat's own address, @FILE or -.")
@click.option("--ignore-client", "ignored", multiple=True, help="A client that may stay connected: its name.")
@click.option("--accept-writable-source", is_flag=True, help="Also if the source cannot be made read-only.")
@click.option("--no-cluster", is_flag=True, help="You stop the chat; only its connections are looked at.")
@yes_option
@as_json
def cut_over(
    from_uri: str,
    to_uri: str,
    secret: str,
    new_uri: str,
    ignored: tuple[str, ...],
    accept_writable_source: bool,
    no_cluster: bool,
    yes: bool,
    json_: bool,
) -> None:
    """Make the other server the chat's: stop it, make the source read-only, replay the rest, compare, switch.

    People cannot write meanwhile. What fails before the switch is taken back. Needs the approval of a second
    person where deploys do.
    """
    from shared.migrate import job
    from shared.migrate.cut_over import CutOverOptions

    confirm("Stop the chat now and move it to the other server?", yes=yes)
    options = CutOverOptions(ignored, accept_writable_source, secret)
    with progress_bar(quiet=json_) as reporter:
        deps = connect(
            from_uri, to_uri, reporter, secret=secret, new_uri=_read_new_uri(secret, new_uri),
            has_cluster=not no_cluster,
        )  # fmt: skip
        record = job.cut_over(deps, options, by=current_user())
    _print_record(record, json_=json_, switched=bool(secret))


@migrate.command()
@uri_options
@click.option("--no-cluster", is_flag=True, help="You stop and start the chat yourself.")
@yes_option
@as_json
def back(from_uri: str, to_uri: str, no_cluster: bool, yes: bool, json_: bool) -> None:
    """Go back to the server of before, while nothing was written to the new one; also in mid cut-over."""
    from shared.migrate.job import go_back_to_source
    from shared.migrate.records import load_migration

    confirm("Move the chat back to the server of before?", yes=yes)
    # The Secret is the one on record: who goes back in a hurry is not asked for what the cut-over was given.
    record = load_migration(wiring.migration_state())
    with progress_bar(quiet=json_) as reporter:
        deps = connect(
            from_uri, to_uri, reporter, secret=record.secret if record else "", has_cluster=not no_cluster
        )
        record = go_back_to_source(deps, by=current_user())
    _print_record(record, json_=json_)


@migrate.command()
@uri_options
@yes_option
@as_json
def abort(from_uri: str, to_uri: str, yes: bool, json_: bool) -> None:
    """End a migration before its cut-over: what it made at the target is dropped, the chat goes on."""
    from shared.migrate.job import abort_migration

    confirm("Drop what was copied to the target?", yes=yes)
    with progress_bar(quiet=json_) as reporter:
        record = abort_migration(connect(from_uri, to_uri, reporter), by=current_user())
    _print_record(record, json_=json_)


def _print_record(record: MigrationRecord, *, json_: bool, late: str = "", switched: bool = False) -> None:
    text = "\n".join(describe_record(record, late=late, switched=switched))
    print_answer(record_to_json(record, late=late), json_=json_, text=text)


def _read_new_uri(secret: str, text: str) -> str:
    # Not taken from --to-uri: that user may do more than the chat's own should.
    if secret and not text:
        raise UsageError("--secret needs --new-uri", hint="The chat's own address of the target: @FILE or -.")
    return read_option("--new-uri", text)


def connect(from_uri: str, to_uri: str, reporter: Reporter, **more: Any) -> MigrationDeps:
    """All that a migration needs. Raises UsageError for a URI that is missing or none."""
    return wiring.build_migration_deps(
        _parse_uri("--from-uri", from_uri), _parse_uri("--to-uri", to_uri), reporter=reporter, **more
    )


def _parse_uri(option: str, text: str) -> str:
    uri = read_option(option, text)
    if not uri:
        raise UsageError(f"{option} is missing", hint=_EXAMPLE)
    if not uri.startswith(_SCHEMES):
        # Nothing of it is repeated: it may be a password in the wrong place.
        raise UsageError(f"{option}: not a MongoDB URI", value="it begins otherwise", hint=_EXAMPLE)
    return uri
