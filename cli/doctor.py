"""`groundcrew doctor`: whether each job could run tonight, and what to do if not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.console import as_json, out, print_answer
from cli.terminal import escape_markup

if TYPE_CHECKING:
    from shared.health.doctor import Diagnosis

_SIGNS = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "failed": "[bold red]FAILED[/] "}


@click.command()
@click.option("--only", multiple=True, metavar="JOB", help="Only this job, as backup or deploys; repeatable.")
@as_json
def doctor(only: tuple[str, ...], json_: bool) -> None:
    """Try what each job needs, as far as it can be tried without changing anything.

    Which jobs are looked at follows from policy and settings. Each failure comes with what mends it. Exits
    with 1 if a job could not run tonight.
    """
    from shared.health.doctor import blocked_jobs, diagnose, select_checks
    from shared.wiring.doctor import doctor_checks

    # All of them, although the first failed: each run of this should end the list, not lengthen it.
    diagnoses = diagnose(select_checks(doctor_checks(), only))
    blocked = blocked_jobs(diagnoses)
    if json_:
        print_answer({"blocked": blocked, "checks": [asdict(one) for one in diagnoses]}, json_=True)
    else:
        _print_diagnoses(diagnoses)
        could = "[bold green]every job could run tonight[/]"
        out.print(f"\n[bold red]cannot run:[/] {', '.join(blocked)}" if blocked else f"\n{could}")
    if blocked:
        raise SystemExit(1)


def _print_diagnoses(diagnoses: list[Diagnosis]) -> None:
    shown: dict[str, Diagnosis] = {}
    for job in dict.fromkeys(one.job for one in diagnoses):
        out.print(f"[bold]{job}[/]")
        for one in (one for one in diagnoses if one.job == job):
            # One missing setting fails a dozen checks with the same sentence.
            _print_diagnosis(one, shown.get(one.message) if one.status != "ok" else None)
            shown.setdefault(one.message, one)


def _print_diagnosis(one: Diagnosis, before: Diagnosis | None) -> None:
    """One line, and what mends it below; of a message that was shown already, `before`, only where."""
    message, *rest = one.message.splitlines() or [""]
    if before:
        message = f"as {before.name} above" if before.job == one.job else f"as {before.name} of {before.job}"
    out.print(f"  {_SIGNS[one.status]} {one.name}: {escape_markup(message)}")
    if one.status == "ok" or before:
        return
    for line in filter(None, (*(text.strip() for text in rest), one.hint, one.command)):
        out.print(f"          {escape_markup(line)}")
