"""`groundcrew policy`: what policy.yaml says, and every mistake in it."""

from __future__ import annotations

from pathlib import Path

import click

from cli.console import answer, as_json
from shared.settings import definitions as settings
from shared.settings import environment as config


@click.group()
def policy() -> None:
    """Check the policy."""


@policy.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@as_json
def check(file: Path | None, json_: bool) -> None:
    """Report every mistake in the policy with its line and a cure; exit 0 if there is none, else 2."""
    from dataclasses import asdict

    from shared.policy import check as find_mistakes

    env = config.Environment({settings.POLICY.name: str(file)}) if file else config.environment()
    name = env.get(settings.POLICY)
    mistakes = find_mistakes(env.policy_text())
    lines = [f"{name}:{m.line}:{m.column}: {m.path}: {m.problem}. {m.hint}" for m in mistakes]
    text = "\n".join(lines) or f"{name}: no mistakes"
    answer({"file": name, "mistakes": [asdict(m) for m in mistakes]}, json_=json_, text=text)
    if mistakes:
        raise SystemExit(2)
