"""`groundcrew secrets migrate`: plaintext values of the chart into sealed Secrets that the values name."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path

import click

from cli.console import as_json, confirm, print_answer, yes_option
from cli.sops import default_recipients, read_text, write_file
from shared.kernel.errors import UsageError

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_NEW = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("file", type=_FILE)
@click.option("-o", "--output", type=_NEW, required=True, help="The new file for the sealed Secrets.")
@click.option("--release", default="rocketchat", show_default=True, help="The Helm release.")
@click.option("-n", "--namespace", default="rocketchat", show_default=True, help="Where it is.")
@click.option("-r", "--recipient", "recipients", multiple=True, help="A public key, age1…; repeatable.")
@click.option("--dry-run", is_flag=True, help="Show the diff, with secrets masked. Writes nothing.")
@yes_option
@as_json
def migrate(
    file: Path, output: Path, release: str, namespace: str, recipients: tuple[str, ...], dry_run: bool,
    yes: bool, json_: bool,
) -> None:  # fmt: skip
    """Move the secrets in FILE, values of the official chart, into Secrets that it then names.

    The Secrets are sealed as sops does it, without --recipient to the public key of GROUNDCREW_SOPS_AGE_KEY.
    Comments and layout of FILE stay. Exit 1 if something was left in plain text. Apply the Secrets before
    the values are deployed, and exchange what was in the repository: its history still has it.
    """
    from shared.deploy.chart.move_secrets import dump_manifest, move_secrets
    from shared.formats.sops_writer import SealRules, seal

    text = read_text(file)
    plan = move_secrets(text, str(file), release)
    known = [value for keys in plan.secrets.values() for value in keys.values()]
    lines = [*plan.moved, *(f"left: {one}" for one in plan.left)]
    diff = _masked_diff(file, text, plan.values, known)
    shown = "\n".join([*lines, "", *diff]) if lines else "no secret in plain text"
    answer = {"moved": list(plan.moved), "left": list(plan.left), "diff": diff, "output": str(output)}
    if dry_run or not plan.secrets:
        print_answer(answer, json_=json_, text=shown)
    else:
        if output.exists():
            raise UsageError(f"{output} is there already", hint="Choose another with --output.")
        confirm(f"{shown}\n\nwrite {output} and {file}?", yes=yes)
        rules = SealRules(encrypted_regex="^(data|stringData)$")
        to = recipients or default_recipients()
        sealed = seal(dump_manifest(plan.manifest(namespace)), str(output), to, rules, datetime.now(UTC))
        # The sealed file first: until it is there, the values are the only place that has the secrets.
        write_file(output, sealed, mode=0o644)
        write_file(file, plan.values, mode=file.stat().st_mode & 0o777)
        print_answer(answer, json_=json_, text="\n".join([*lines, f"wrote {output} and {file}"]))
    if plan.left:
        raise SystemExit(1)


def _masked_diff(file: Path, before: str, after: str, known: list[str]) -> list[str]:
    """What changes in the values, with no secret in it."""
    from shared.kernel.redact import redact

    passwords = [word for value in known for word in value.split(",")]
    lines = unified_diff(before.splitlines(), after.splitlines(), str(file), str(file), lineterm="", n=1)
    return [_mask_value(redact(line, [*known, *passwords])) for line in lines]


def _mask_value(line: str) -> str:
    """A removed value is a secret, or part of one, whatever form it has: its key is enough to know it by."""
    if line.startswith("---") or not line.startswith("-"):
        return line
    key, colon, value = line.partition(":")
    return f"{key}{colon} **redacted**" if colon and value.strip() else line
