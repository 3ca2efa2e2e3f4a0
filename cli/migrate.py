"""`groundcrew migrate`: the chat's database to another server, with minutes of work and seconds of pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, print_answer, progress_bar, read_option
from cli.identity import current_user
from cli.migrate_outcome import describe_plan, describe_record, plan_to_json, record_to_json
from shared.kernel.errors import UsageError
from shared.wiring import migrate as wiring

if TYPE_CHECKING:
    from shared.kernel.ports import Reporter
    from shared.migrate.deps import MigrationDeps

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
    if context.invoked_subcommand is not None:
        return
    from shared.migrate import job
    from shared.migrate.model import MigrationOptions

    options = MigrationOptions(uploads_copied, databases)
    with progress_bar(quiet=json_) as reporter:
        deps = connect(from_uri, to_uri, reporter, jobs)
        if not dry_run:
            record = job.run_migration(deps, options, by=current_user(), restart=restart)
    if not dry_run:
        print_answer(record_to_json(record), json_=json_, text="\n".join(describe_record(record)))
        return
    plan = job.plan_move(deps, options)
    print_answer(plan_to_json(plan), json_=json_, text="\n".join(describe_plan(plan)))
    # As the run itself would: a script that asks before must not read a refusal as a yes.
    raise SystemExit(1 if plan.refusals else 0)


def connect(from_uri: str, to_uri: str, reporter: Reporter, jobs: int = 4) -> MigrationDeps:
    """All that a migration needs. Raises UsageError for a URI that is missing or none."""
    return wiring.build_migration_deps(
        _parse_uri("--from-uri", from_uri), _parse_uri("--to-uri", to_uri), reporter=reporter, jobs=jobs
    )


def _parse_uri(option: str, text: str) -> str:
    uri = read_option(option, text)
    if not uri:
        raise UsageError(f"{option} is missing", hint=_EXAMPLE)
    if not uri.startswith(_SCHEMES):
        # Nothing of it is repeated: it may be a password in the wrong place.
        raise UsageError(f"{option}: not a MongoDB URI", value="it begins otherwise", hint=_EXAMPLE)
    return uri
