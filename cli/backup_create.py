"""`groundcrew backups create`: a set of the class `manual`, made by the app or in this process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from cli.console import (
    as_json,
    print_answer,
    print_table,
    progress_bar,
)
from cli.inline import InlineQueues
from shared.kernel.errors import Unavailable
from shared.wiring import backup as backup_wiring

if TYPE_CHECKING:
    from shared.formats.backupset import BackupPlan
    from shared.records.run_record import RunRecord
    from shared.records.runs import Runs

# Reads two blobs each time; a part takes minutes.
_POLL_SECONDS = 2.0


@click.command()
@click.option("--here", is_flag=True, help="Dump in this process instead of on the Functions app.")
@click.option("--wait", is_flag=True, help="Wait until the set is sealed, and fail if it is not.")
@click.option("--timeout", default=240, show_default=True, help="Minutes to wait.")
@click.option("--dry-run", is_flag=True, help="Show the parts that would be made.")
@as_json
def create(here: bool, wait: bool, timeout: int, dry_run: bool, json_: bool) -> None:
    """Create a backup now, of the class `manual`."""
    from dataclasses import replace

    from shared.backup.begin import begin_set, plan_set
    from shared.backup.catalogue import MANUAL
    from shared.backup.deps import QUEUE
    from shared.backup.job import run_part
    from shared.formats.backupset import set_folder

    queues = InlineQueues()
    # The same job over another queue, so that a dump on a laptop is no second way of making a backup.
    deps = replace(backup_wiring.backup_deps(), queues=queues) if here else backup_wiring.backup_deps()
    if dry_run:
        _show_parts(plan_set(deps).parts, json_)
        return
    plan = begin_set(deps, MANUAL, reason="manual: groundcrew backups create")
    where = set_folder(plan.klass, plan.set)
    if here:
        with progress_bar(quiet=json_) as reporter:
            reporter.phase(f"Dumping {len(plan.parts)} parts", len(plan.parts))
            # The part that completes the set sends no further message, and seals it.
            for message in queues.drain(QUEUE):
                run_part(deps, message["set"], message["part"])
                reporter.advance(1)
    # By watching and not by dumping: the app's workers do it, and Ctrl-C here ends only the watching.
    elif wait:
        _wait_until_ended(deps.runs, plan, where, timeout, quiet=json_)
    state, reason = _end_state(where) if here or wait else ("queued", "")
    result = {"set": where, "parts": len(plan.parts), "state": state, "reason": reason}
    print_answer(result, json_=json_, text=f"{where}: {state}" + (f": {reason}" if reason else ""))
    # Whoever neither waits nor dumps gets 0 for having queued it; everything else has to end in a sealed set.
    if (here or wait) and state != "sealed":
        raise SystemExit(1)


def _end_state(where: str) -> tuple[str, str]:
    """How the set ended, and why if it is no backup."""
    entry = backup_wiring.trusted_catalogue().find(where)
    # From the catalogue, signature included: the word of whoever dumped is no proof that it can be restored.
    return str(entry.state), entry.problem


def _wait_until_ended(runs: Runs, plan: BackupPlan, where: str, timeout: int, *, quiet: bool) -> None:
    deadline = time.monotonic() + timeout * 60
    shown = 0
    with progress_bar(quiet=quiet) as reporter:
        reporter.phase(f"Dumping {plan.set}", sum(part.data_bytes for part in plan.parts))
        # Not by the wall clock: a laptop that sleeps, or is set right, would end the wait or prolong it.
        while time.monotonic() < deadline:
            # The set's folder decides; the run record may be missing, or stale after a worker was killed.
            if _end_state(where)[0] != "open":
                return
            records = {record.id: record for record in runs.list_runs("backup", plan.set)}
            done = count_dumped_bytes(plan.set, records.values())
            reporter.advance(
                done - shown
            )  # less than nothing where a worker was killed and another began anew
            shown = done
            run = records.get(plan.set)
            if run and run.state in ("done", "failed"):
                reporter.note(run.summary if run.state == "done" else f"{run.summary}: {run.error}")
                return
            time.sleep(_POLL_SECONDS)
    raise Unavailable(
        f"timed out: {plan.set} was not sealed within {timeout} minutes",
        hint=f"See how far it is: groundcrew backups show {plan.set}",
    )


def count_dumped_bytes(set_id: str, records: Iterable[RunRecord]) -> int:
    """Of the parts' planned bytes, which are an estimate: so a part that is done counts as all of them."""
    parts = [record for record in records if record.id.startswith(f"{set_id}.part-")]
    return sum(part.total if part.state == "done" else min(part.done, part.total) for part in parts)


def _show_parts(parts: Any, json_: bool) -> None:
    rows = [(i, len(p.pieces), "yes" if p.oplog else "no", _list_names(p)) for i, p in enumerate(parts)]
    if json_:
        print_answer(
            [{"part": r[0], "namespaces": [p.name for p in parts[r[0]].pieces]} for r in rows], json_=True
        )
    else:
        print_table("Would dump", ("part", "namespaces", "oplog", "which"), rows)


def _list_names(part: Any) -> str:
    # Three of them: a part may hold hundreds of small collections, and a line is read on a phone.
    names = [piece.name for piece in part.pieces]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
