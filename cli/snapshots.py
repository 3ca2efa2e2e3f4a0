"""`groundcrew snapshots`: what is kept and why, what would be taken and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, confirm, err, out, print_answer, print_table, yes_option
from shared.kernel.timestamps import format_minute
from shared.wiring.snapshots import check_deps
from shared.wiring.snapshots import snapshot_deps as wiring

if TYPE_CHECKING:
    from shared.snapshots.check.job import CheckResult, SnapshotCheck
    from shared.snapshots.decide import SnapshotPlan

dry_option = click.option("--dry-run", is_flag=True, help="Show what would be done, with reasons.")


@click.group()
def snapshots() -> None:
    """Take and prune snapshots of disks."""


@snapshots.command("list")
@as_json
def list_(json_: bool) -> None:
    """List the snapshots there are with what becomes of each and why, and the disks that are due."""
    from shared.snapshots import job

    _print_plan(job.preview_cycle(wiring()), json_)


@snapshots.command()
@dry_option
@as_json
def run(dry_run: bool, json_: bool) -> None:
    """Take what is due and remove what may go."""
    _run_cycle(dry_run, json_, take=True)


@snapshots.command()
@dry_option
@yes_option
@as_json
def prune(dry_run: bool, yes: bool, json_: bool) -> None:
    """Remove what may go, of all disks; the newest good one, others' and those with a keep-until never."""
    if not (dry_run or yes):
        _confirm_removal()
    _run_cycle(dry_run, json_, take=False)


@snapshots.command()
@click.argument("name", required=False, default="")
@click.option("--yes", is_flag=True, help="Do it; without it the plan and what it costs are shown.")
@as_json
def check(name: str, yes: bool, json_: bool) -> None:
    """Make a disk of a snapshot, look at it and remove it: of each disk's newest good one, or of NAME.

    What passes is marked as proven, and the newest proven one is never removed.
    """
    from shared.snapshots.check import job

    deps = check_deps()
    plan = job.preview_checks(deps, name)
    # The plan is the default, and not the deed: a disk costs money as long as it is there.
    if not yes:
        text = "\n".join(f"would {one}" for one in plan) + "\nnothing was changed: --yes does it"
        print_answer({"checks": [_check_as_dict(one) for one in plan], "done": False}, json_=json_, text=text)
        return
    done = []
    for one in plan:
        err.print(str(one))
        done.append(job.run_check(deps, one))
    rows = [_check_as_dict(one) | _result_as_dict(result) for one, result in zip(plan, done, strict=True)]
    print_answer({"checks": rows, "done": True}, json_=json_, text="\n".join(map(_describe_result, done)))
    if any(result.problems for result in done):
        raise SystemExit(1)


def _check_as_dict(check: SnapshotCheck) -> dict[str, Any]:
    return {
        "snapshot": check.snapshot.name,
        "size_gb": check.snapshot.size_gb,
        "price": check.meter,
        "costs_at_most": None if check.most is None else str(check.most),
        "currency": check.currency,
        "missing": check.missing,
    }


def _result_as_dict(result: CheckResult) -> dict[str, Any]:
    seconds = result.took.total_seconds()
    return {"proven": result.proven, "problems": list(result.problems), "seconds": seconds}


def _describe_result(result: CheckResult) -> str:
    verdict = f"{result.snapshot} is {'proven' if result.proven else 'not proven'}"
    return "; ".join((f"{verdict}, in {result.took.total_seconds():.0f} s", *result.problems))


def _confirm_removal() -> None:
    from shared.retention.decide import Keep
    from shared.snapshots import job

    # Planned for the question alone: what is removed is decided again when it is done.
    removed = [d for d in job.preview_cycle(wiring()).decisions if not isinstance(d, Keep)]
    if removed:
        confirm(f"remove {len(removed)} snapshots of all disks? --dry-run lists them", yes=False)


def _run_cycle(dry_run: bool, json_: bool, *, take: bool) -> None:
    from shared.snapshots import job

    if dry_run:
        _print_plan(job.preview_cycle(wiring()), json_, take=take)
        return
    outcome = job.run_cycle(wiring(), take=take)
    rows = {"taken": outcome.taken, "removed": outcome.removed, "problems": outcome.problems}
    print_answer(rows, json_=json_, text=str(outcome))
    if outcome.problems:
        raise SystemExit(1)


def _print_plan(plan: SnapshotPlan, json_: bool, *, take: bool = True) -> None:
    from shared.retention.decide import Keep

    rows = [
        (
            "keep" if isinstance(decision, Keep) else "remove",
            decision.item.name.rpartition("/")[2],
            decision.item.klass,
            format_minute(decision.item.taken),
            ", ".join(decision.reasons),
        )
        for decision in plan.decisions
    ]
    if json_:
        print_answer(_plan_as_dict(plan, rows, take), json_=True)
        return
    if rows:
        print_table("Snapshots", ("", "snapshot", "class", "taken", "reasons"), rows)
    for create in plan.create if take else ():
        out.print(
            f"would take {create.name} of {create.disk.name} ({create.retention_class}): {create.reason}"
        )
    for skipped in plan.skipped if take else ():
        out.print(f"none of {skipped.disk.name}: {skipped.reason}")
    removed = sum(row[0] == "remove" for row in rows)
    out.print(f"{len(rows) - removed} kept, {removed} removed")


def _plan_as_dict(
    plan: SnapshotPlan, rows: list[tuple[str, str, str, str, str]], take: bool
) -> dict[str, Any]:
    names = ("decision", "snapshot", "class", "taken", "reasons")
    return {
        "snapshots": [dict(zip(names, row, strict=True)) for row in rows],
        "take": [
            {"snapshot": c.name, "disk": c.disk.id, "class": c.retention_class, "reason": c.reason}
            for c in (plan.create if take else ())
        ],
        "skip": [{"disk": p.disk.id, "reason": p.reason} for p in (plan.skipped if take else ())],
    }
