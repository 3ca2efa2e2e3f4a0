"""`groundcrew policy`: what policy.yaml says, and every mistake in it."""

from __future__ import annotations

from pathlib import Path

import click

from cli.console import as_json, print_answer
from shared.settings import definitions
from shared.settings.environment import Environment, read_environment


@click.group()
def policy() -> None:
    """Check the policy."""


@policy.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@as_json
def check(file: Path | None, json_: bool) -> None:
    """Report every mistake in the policy with its line and a hint; exit 0 if there is none, else 2."""
    from dataclasses import asdict

    from shared.policy import find_mistakes

    # An environment of this one value: a broken setting must not keep the policy from being checked.
    env = Environment({definitions.POLICY.name: str(file)}) if file else read_environment()
    name = env.get(definitions.POLICY)
    mistakes = find_mistakes(env.policy_text())
    lines = [f"{name}:{m.line}:{m.column}: {m.path}: {m.problem}. {m.hint}" for m in mistakes]
    text = "\n".join(lines) or f"{name}: no mistakes"
    print_answer({"file": name, "mistakes": [asdict(m) for m in mistakes]}, json_=json_, text=text)
    if mistakes:
        # As for any mistake of the caller; 1 would say that the check itself failed.
        raise SystemExit(2)
