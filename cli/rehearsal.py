"""`groundcrew deploy rehearse` and `rehearsals`: a commit is tried on a copy of the newest backup."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, out, print_answer, print_table, progress_bar
from cli.identity import current_user
from cli.tables import time_cell
from shared.kernel.errors import Unavailable
from shared.wiring import deploy as deploy_wiring
from shared.wiring import rehearsal as wiring

if TYPE_CHECKING:
    from shared.formats.rehearsals import Rehearsal

_POLL_SECONDS = 2.0


@click.command()
@click.argument("sha", metavar="SHA|#PULL")
@click.option("--wait", is_flag=True, help="Wait until it ended; exit 1 unless it passed.")
@click.option("--timeout", default=240, show_default=True, help="Minutes to wait.")
@click.option("--dry-run", is_flag=True, help="Show what would be started, on which backup, and where.")
@as_json
def rehearse(sha: str, wait: bool, timeout: int, dry_run: bool, json_: bool) -> None:
    """Try a commit, or a pull request that is not merged yet, on a copy of the newest backup.

    The copy is restored into a namespace that is shut in, the commit's Rocket.Chat is started on it, its
    migrations are measured, and everything is removed. The signed outcome opens or closes the gate.
    """
    from shared.deploy.job import resolve_commit
    from shared.rehearsal.asking import begin_rehearsal

    deps = deploy_wiring.deploy_deps()
    commit, pull = resolve_commit(deps, sha), _parse_pull(sha)
    if dry_run:
        _show_plan(commit, json_=json_)
        return
    asked = wiring.open_rehearsals()
    began = asked.clock.now()
    record = begin_rehearsal(asked, commit, pull, deps.policy.environments[0], by=current_user())
    if not wait:
        print_answer(_to_json(record), json_=json_, text=f"{commit[:7]}: {_describe(record)}")
        return
    record = _wait_for_end(commit, began.timestamp(), timeout, quiet=json_)
    print_answer(_to_json(record), json_=json_, text=f"{commit[:7]} {_describe(record)}")
    if record.state != "passed":
        raise SystemExit(1)


@click.command()
@as_json
def rehearsals(json_: bool) -> None:
    """List the rehearsals on record, the newest first."""
    records = list(wiring.open_records().list_recent())
    if json_:
        print_answer({"rehearsals": [_to_json(one) for one in records]}, json_=True)
        return
    rows = [
        (time_cell(one.updated), one.sha[:7], f"#{one.pull}" if one.pull else "", one.version, one.reference,
         _describe(one))
        for one in records
    ]  # fmt: skip
    print_table("Rehearsals", ("changed (UTC)", "commit", "pull", "Rocket.Chat", "backup", "outcome"), rows)
    if not rows:
        out.print("No rehearsal is on record. Ask for one: groundcrew deploy rehearse SHA")


def _show_plan(commit: str, *, json_: bool) -> None:
    from shared.rehearsal.run import choose_subject

    deps = wiring.rehearsal_deps()
    subject = choose_subject(deps, commit, "dry-run")
    manifest, spec = subject.verified.manifest, subject.spec
    facts = {
        "sha": commit, "backup": f"{manifest.klass}/{manifest.set}", "image": spec.chat.image,
        "mongodb": spec.mongodb_image, "namespace": deps.policy.namespace, "room": subject.room,
        "storage_bytes": spec.storage_bytes, "left_out": list(spec.chat.left_out),
    }  # fmt: skip
    text = (
        f"would restore {facts['backup']} into {deps.policy.namespace} and start {spec.chat.image} on it\n"
        f"{subject.room}; at most {spec.storage_bytes / (1 << 30):.0f} GiB of its disk"
    )
    print_answer(facts, json_=json_, text=text)


def _wait_for_end(commit: str, began: float, timeout: int, *, quiet: bool) -> Rehearsal:
    records, deadline, shown = wiring.open_records(), time.monotonic() + timeout * 60, ""
    with progress_bar(quiet=quiet) as reporter:
        reporter.phase(f"Rehearsing {commit[:7]}", 0)
        while time.monotonic() < deadline:
            record = records.read(commit)
            # What ended before was asked for by somebody else.
            if record is not None and record.ended and record.updated.timestamp() >= began:
                return record
            if record is not None and record.step != shown:
                shown = record.step
                reporter.note(shown)
            time.sleep(_POLL_SECONDS)
    hint = "It goes on. See: groundcrew deploy rehearsals"
    raise Unavailable("timed out waiting for the rehearsal", value=f"{timeout} min", hint=hint)


def _parse_pull(text: str) -> int:
    digits = text.removeprefix("#")
    # A SHA has 40 characters; no pull request has a number of ten digits.
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0


def _describe(record: Rehearsal) -> str:
    from shared.records.rehearsal_text import describe_rehearsal

    return describe_rehearsal(record)


def _to_json(record: Rehearsal) -> dict[str, Any]:
    from shared.formats.strict_json import record_to_json

    return record_to_json(record)
