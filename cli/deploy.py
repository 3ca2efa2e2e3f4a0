"""`groundcrew deploy`: what a merge would do, do it, see how it goes, and go back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, current_user, err, out, print_answer, print_table, progress_bar
from shared import wiring
from shared.kernel.errors import NotFound, Unavailable, UsageError
from shared.wiring import deploy as deploy_wiring

if TYPE_CHECKING:
    from shared.deploy.records.deploy_record import DeployRecord

_POLL_SECONDS = 2.0

environment_option = click.option("--environment", default="", help="If not the first of policy's.")


@click.group()
def deploy() -> None:
    """Ship releases: plan, run, watch, go back."""


@deploy.command()
@click.argument("sha")
@environment_option
@as_json
def plan(sha: str, environment: str, json_: bool) -> None:
    """Ask all gates about the commit SHA and show what its deploy would change. Changes nothing."""
    from shared.deploy import job

    deps = deploy_wiring.deploy_deps()
    results = job.preview_deploy(deps, sha, environment or deps.policy.environments[0]).results
    report = results.report
    good = report.passed and results.commit.decision == "go"
    if json_:
        gates = [
            {"gate": g.name, "passed": g.passed, "pending": g.pending, "reason": g.reason, "hint": g.hint}
            for g in report.gates
        ]
        facts = {"sha": sha, "passed": good, "decision": results.commit.decision}
        print_answer({**facts, "gates": gates, "plan": results.plan}, json_=True)
    else:
        click.echo("\n".join(report.lines()))
        click.echo(f"\n{results.commit.reason or results.plan}")
    if not good:
        raise SystemExit(1)


@deploy.command()
@click.argument("sha")
@environment_option
@click.option("--wait", is_flag=True, help="Wait for its end, and fail if it does not end well.")
@click.option("--timeout", default=60, show_default=True, help="Minutes to wait.")
@click.option("--dry-run", is_flag=True, help="Do what `plan` does.")
@as_json
@click.pass_context
def run(
    ctx: click.Context, sha: str, environment: str, wait: bool, timeout: int, dry_run: bool, json_: bool
) -> None:
    """Deploy the commit SHA, behind the same gates as a merge, also if it was deployed before."""
    from shared.deploy import job

    if dry_run:
        ctx.invoke(plan, sha=sha, environment=environment, json_=json_)
        return
    deps = deploy_wiring.deploy_deps()
    asked = job.request_deploy(deps, sha, environment or deps.policy.environments[0])
    if not wait:
        print_answer({"deploy": asked.key, "state": "queued"}, json_=json_, text=f"{asked.key}: queued")
        return
    record = _await(asked.key, timeout, quiet=json_)
    print_answer(_plain(record), json_=json_, text=f"{record.state.value}: {record.progress.reason}")
    if record.state.value != "done":  # superseded: what runs is another commit
        raise SystemExit(1)


def _await(key: str, timeout: int, *, quiet: bool) -> DeployRecord:
    from shared.deploy.records.deploys import DeployStore

    deploys, said = DeployStore(wiring.state(), wiring.clock()), 0
    deadline = time.monotonic() + timeout * 60
    with progress_bar(quiet=quiet) as reporter:
        reporter.phase(f"Deploying {key[-40:][:7]}", 0)
        while time.monotonic() < deadline:
            try:
                record = deploys.load(key)
            except NotFound:
                time.sleep(_POLL_SECONDS)
                continue
            for line in record.log[said:]:
                reporter.note(line)
            said = len(record.log)
            if record.state.final:
                return record
            time.sleep(_POLL_SECONDS)
    raise Unavailable(
        f"the deploy did not end within {timeout} minutes", hint="See groundcrew deploy status."
    )


@deploy.command()
@click.argument("sha", default="")
@as_json
def status(sha: str, json_: bool) -> None:
    """Show the newest deploy, or that of the commit SHA: its gates, its plan, how far it is."""
    from shared.deploy.records.deploys import DeployStore

    found = [
        k for k in DeployStore(wiring.state(), wiring.clock()).list_recent() if k.progress.sha.startswith(sha)
    ]
    if not found:
        raise NotFound("there is no such deploy", value=sha or None, hint="See groundcrew deploy history.")
    record = found[-1]
    if json_:
        print_answer({**_plain(record), "gates": record.gates, "plan": record.plan, "log": record.log,
                "proposal": record.proposal}, json_=True)  # fmt: skip
        return
    out.print(f"{record.progress.sha} to {record.progress.environment}: {record.state.value}", markup=False)
    for part in (record.gates, (record.plan,), record.log, (record.proposal,)):
        click.echo("\n".join(part))


@deploy.command()
@as_json
def history(json_: bool) -> None:
    """List the release's revisions and the deploys on record."""
    from shared.deploy.records.deploys import DeployStore

    revisions = deploy_wiring.connect_releases().history()
    record = DeployStore(wiring.state(), wiring.clock()).list_recent()
    if json_:
        rows = [{"revision": r.number, "status": r.status, "chart": r.chart, "app_version": r.app_version,
                 "description": r.description, "at": r.at} for r in revisions]  # fmt: skip
        print_answer({"revisions": rows, "deploys": [_plain(one) for one in record]}, json_=True)
        return
    cells = [(r.number, r.status, r.chart, r.app_version, r.description) for r in revisions]
    print_table("Revisions", ("revision", "status", "chart", "Rocket.Chat", "description"), cells)
    columns = ("begun (UTC)", "commit", "environment", "state", "by", "why")
    print_table("Deploys", columns, [(f"{k.started:%Y-%m-%d %H:%M}", *_cells(k)) for k in record])


def _cells(record: DeployRecord) -> tuple[str, ...]:
    progress = record.progress
    return progress.sha[:7], progress.environment, record.state.value, record.author, progress.reason


@deploy.command()
@click.argument("revision", type=click.IntRange(min=0))
@click.option("--restored", default="", metavar="CLASS/SET", help="The backup that was restored for it.")
@click.option("--dry-run", is_flag=True, help="Show what it would mean.")
@as_json
def rollback(revision: int, restored: str, dry_run: bool, json_: bool) -> None:
    """Go back to REVISION. To another version of Rocket.Chat only after a restore, and with an approval.

    Revision 0 starts nothing: it says that the data are those of the backup again, where nothing was
    deployed before.
    """
    from shared.deploy.rollout.rollback import plan_rollback, rollback

    deps = deploy_wiring.deploy_deps()
    way = plan_rollback(deps, revision, restored)
    if dry_run:
        told = f"from Rocket.Chat {way.version_now} to {way.version_then}" + (
            ": needs a restore and an approval" if way.crosses else ""
        )
        print_answer({**way.arguments, "needs_approval": way.crosses}, json_=json_, text=told)
        return
    done = rollback(deps, way, by=current_user(), on_progress=err.print)
    print_answer({**way.arguments, "done": done}, json_=json_, text=done)


@deploy.command()
@click.argument("sha")
@click.option("--gate", required=True, help="Its name, as `plan` shows it.")
@environment_option
@as_json
def override(sha: str, gate: str, environment: str, json_: bool) -> None:
    """Ask another person to let the commit SHA pass a closed gate, for the reason it has now; then run it."""
    from shared.deploy import job
    from shared.deploy.gates import evaluate
    from shared.records.approvals import Approvals

    deps = deploy_wiring.deploy_deps()
    where = environment or deps.policy.environments[0]
    closed = {
        one.name: one for one in job.preview_deploy(deps, sha, where).results.report.gates if not one.passed
    }
    if gate in evaluate.NOT_OVERRIDABLE:
        raise UsageError("that gate cannot be overridden", value=gate, hint="Mend it and merge again.")
    if gate not in closed:
        hint = f"Closed are: {', '.join(closed) or 'none'}."
        raise UsageError("that gate is not closed", value=gate, hint=hint)
    arguments = evaluate.override_arguments(sha, where, closed[gate])
    lasting = deps.policy.approval_timeout
    asked = Approvals(deps.state, deps.clock).request(
        evaluate.OVERRIDE, arguments, by=current_user(), lasting=lasting
    )
    text = f"asked; let another person run: groundcrew deploy approve {asked.id}"
    print_answer({"id": asked.id, "expires": asked.expires, **arguments}, json_=json_, text=text)


@deploy.command()
@click.argument("identity", metavar="ID")
@as_json
def approve(identity: str, json_: bool) -> None:
    """Agree to what somebody else asked for; ID is bound to exactly that."""
    from shared.records.approvals import Approvals
    from shared.records.audit import AuditTrail

    by = current_user()
    agreed = Approvals(wiring.state(), wiring.clock()).approve(identity, by=by)
    AuditTrail(wiring.state(), wiring.clock()).append(
        by, "approve", f"{agreed.action} {identity}", "approved"
    )
    what = ", ".join(f"{key} {value}" for key, value in agreed.arguments.items())
    text = f"approved: {agreed.action} ({what}), asked for by {agreed.requester}"
    print_answer({"id": identity, "action": agreed.action, **agreed.arguments}, json_=json_, text=text)


@deploy.command()
@click.option("--correct", is_flag=True, help="Apply what was deployed again.")
@as_json
def drift(correct: bool, json_: bool) -> None:
    """Show where the cluster is not as deployed, and who made it so. Exit 1 if there is such a place."""
    from shared.deploy import drift_job as job

    deps = deploy_wiring.deploy_deps()
    found = job.correct_drift(deps, by=current_user()) if correct else job.compare_release(deps)
    facts = {"revision": found.revision, "skipped": found.skipped, "corrected": found.corrected}
    unread = [f"not compared: {one}" for one in found.unread]
    text = "\n".join(
        [*found.lines(), *unread, found.skipped or found.corrected or f"{len(found.drifts)} fields differ"]
    )
    print_answer({**facts, "drifts": found.lines(), "unread": list(found.unread)}, json_=json_, text=text)
    if found.drifts and found.corrected != job.CORRECTED:
        raise SystemExit(1)


def _plain(record: DeployRecord) -> dict[str, Any]:
    progress = record.progress
    return {
        "deploy": progress.key, "sha": progress.sha, "environment": progress.environment,
        "state": record.state.value, "reason": progress.reason, "by": record.author,
        "pull": progress.pull, "backup": progress.backup,
        "version_before": progress.version_before, "version_after": progress.version_after,
        "started": record.started, "updated": record.updated,
    }  # fmt: skip
