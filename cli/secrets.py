"""`groundcrew secrets`: where secrets are kept and how old they are, and their rotation. Never a value."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, confirm, print_answer, print_table, yes_option
from cli.identity import current_user
from cli.migrate_secrets import migrate
from cli.secret_scan import scan
from cli.sops import COMMANDS
from shared.kernel.errors import UsageError
from shared.wiring.secrets import rotation_deps as wiring

if TYPE_CHECKING:
    from shared.kernel.secret import Secret
    from shared.secrets_rotation.model import SecretStatus


@click.group()
def secrets() -> None:
    """Watch secrets and rotate them; seal values files to age keys."""


for _command in (*COMMANDS, migrate, scan):
    secrets.add_command(_command)


@secrets.command("list")
@as_json
def list_(json_: bool) -> None:
    """Show every secret that policy knows, without its value. Exit 1 if one is due, or of unknown age."""
    from shared.secrets_rotation.job import list_secrets
    from shared.secrets_rotation.model import SecretState

    secrets_listed = list_secrets(wiring())
    if json_:
        print_answer([_as_dict(one) for one in secrets_listed], json_=True)
    else:
        columns = ("secret", "kind", "state", "changed", "due", "last rotation", "reasons")
        print_table("Secrets", columns, [_row(one) for one in secrets_listed])
    # A rotation that goes on is none of them: it is looked after.
    if any(
        one.state in (SecretState.DUE, SecretState.UNKNOWN, SecretState.UNDOING) for one in secrets_listed
    ):
        raise SystemExit(1)


@secrets.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Show the steps, and what is in the way. Changes nothing.")
@click.option(
    "--given",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The file with the new secret, where it is made elsewhere (smtp, github-app-key, age-recipient); "
    "- reads standard input.",
)
@yes_option
@as_json
def rotate(name: str, dry_run: bool, given: Path | None, yes: bool, json_: bool) -> None:
    """Exchange the secret NAME, or go on with its rotation that was interrupted.

    The old one stays valid until the new one is proven and all readers run with it; until then a failure
    undoes everything. Exit 1 if it was undone, or has to wait: the timer goes on with it.
    """
    from shared.secrets_rotation.job import plan_rotation, rotate_secret
    from shared.secrets_rotation.model import RotationStep

    deps = wiring()
    plan = plan_rotation(deps, name)
    if dry_run:
        answer = {"secret": name, "steps": list(plan.steps), "obstacle": plan.obstacle}
        print_answer(answer, json_=json_, text=f"would {plan}")
        return
    # The plan is the question: what is restarted, and how long the old one stays valid, is in it.
    confirm(f"{plan}?", yes=yes)
    ended = rotate_secret(deps, name, by=current_user(), given=_read_given(given) if given else None)
    text = f"{name}: {ended.step}: {ended.failure or f'{ended.new_label} replaced {ended.old_label}'}"
    text += f"\nto be done by a person: {ended.remains}" if ended.remains else ""
    answer = {
        "secret": name, "rotation": ended.id, "step": ended.step, "failure": ended.failure,
        "remains": ended.remains,
    }  # fmt: skip
    print_answer(answer, json_=json_, text=text)
    if ended.step is not RotationStep.DONE:
        raise SystemExit(1)


def _read_given(file: Path) -> Secret:
    """Raises UsageError for a file that cannot be read, or is empty."""
    from shared.kernel.secret import Secret

    try:
        # Whole, unlike other options: a private key has many lines.
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        # Its class only: the text of a decoding error quotes bytes of the secret.
        raise UsageError(f"cannot read {file}", value=type(error).__name__) from error
    if not text.strip():
        raise UsageError("the new secret is empty", value=file)
    # Editors end files with a line break, which no password has.
    return Secret(text.strip())


def _row(one: SecretStatus) -> tuple[str, ...]:
    changed = f"{one.changed:%Y-%m-%d}" if one.changed else "unknown"
    due = f"{one.due:%Y-%m-%d}" if one.due else ""
    last = f"{one.last.step_since:%Y-%m-%d} {one.last.step} by {one.last.by}" if one.last else ""
    return (one.name, one.kind, one.state, changed, due, last, "; ".join(one.reasons))


def _as_dict(one: SecretStatus) -> dict[str, Any]:
    last = one.last and {
        "rotation": one.last.id, "by": one.last.by, "step": one.last.step, "at": one.last.step_since,
        "old": one.last.old_label, "new": one.last.new_label, "failure": one.last.failure,
    }  # fmt: skip
    homes = [{"home": str(each.home), "changed": each.changed, "problem": each.problem} for each in one.homes]
    return {
        "name": one.name, "kind": one.kind, "state": one.state, "homes": homes, "readers": list(one.readers),
        "changed": one.changed, "due": one.due, "last": last, "reasons": list(one.reasons),
        "remains": one.last.remains if one.last else "",
    }  # fmt: skip
