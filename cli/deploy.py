"""`groundcrew deploy`: plan, run, follow and roll back deploys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, err, out, print_answer, print_table, progress_bar
from cli.identity import current_account, current_user
from cli.rehearsal import rehearsals, rehearse
from cli.tables import time_cell
from shared import wiring
from shared.kernel.errors import NotFound, Unavailable, UsageError
from shared.wiring import deploy as deploy_wiring

if TYPE_CHECKING:
    from shared.deploy.records.deploy_record import DeployRecord

_POLL_SECONDS = 2.0

environment_option = click.option(
    "--environment", default="", help="One of policy's environments; the first if not given."
)


@click.group()
def deploy() -> None:
    """Deploy releases: plan, rehearse, run, follow, roll back."""


deploy.add_command(rehearse)
deploy.add_command(rehearsals)


@deploy.command()
@click.argument("sha", metavar="SHA|#PULL")
@environment_option
@as_json
def plan(sha: str, environment: str, json_: bool) -> None:
    """Evaluate all gates for a commit or a pull request, also one that is not merged yet, and show what its
    deploy would change. Changes nothing."""
    from shared.deploy import job

    deps = deploy_wiring.deploy_deps()
    sha = job.resolve_commit(deps, sha)
    results = job.preview_deploy(deps, sha, environment or deps.policy.environments[0]).results
    report = results.report
    # Open gates alone are not enough: the commit may be behind what is deployed already.
    passed = report.passed and results.commit.decision == "go"
    if json_:
        gates = [
            {
                "gate": gate.name, "passed": gate.passed, "pending": gate.pending,
                "reason": gate.reason, "hint": gate.hint, "warnings": list(gate.warnings),
            }
            for gate in report.gates
        ]  # fmt: skip
        facts = {"sha": sha, "passed": passed, "decision": results.commit.decision}
        print_answer({**facts, "gates": gates, "plan": results.plan}, json_=True)
    else:
        click.echo("\n".join(report.lines()))
        click.echo(f"\n{results.commit.reason or results.plan}")
    if not passed:
        raise SystemExit(1)


@deploy.command()
@click.argument("sha", metavar="SHA|#PULL")
@environment_option
@click.option("--wait", is_flag=True, help="Wait until it ended; exit 1 unless it is done.")
@click.option("--timeout", default=60, show_default=True, help="Minutes to wait.")
@click.option("--dry-run", is_flag=True, help="The same as `plan`.")
@as_json
@click.pass_context
def run(
    ctx: click.Context, sha: str, environment: str, wait: bool, timeout: int, dry_run: bool, json_: bool
) -> None:
    """Deploy a commit, or the merge of a pull request, behind the gates; also one that was before."""
    from shared.deploy import job

    if dry_run:
        ctx.invoke(plan, sha=sha, environment=environment, json_=json_)
        return
    deps = deploy_wiring.deploy_deps()
    # By the queue as a webhook's: one deploy at a time, whoever asked for it.
    request = job.request_deploy(
        deps, job.resolve_commit(deps, sha), environment or deps.policy.environments[0]
    )
    if not wait:
        # Exit 0 for the queuing alone: whether it deploys is decided by gates that may wait for hours.
        print_answer({"deploy": request.key, "state": "queued"}, json_=json_, text=f"{request.key}: queued")
        return
    record = _wait_for_end(request.key, timeout, quiet=json_)
    print_answer(_deploy_to_json(record), json_=json_, text=f"{record.state.value}: {record.progress.reason}")
    if record.state.value != "done":  # superseded: what runs is another commit
        raise SystemExit(1)


def _wait_for_end(key: str, timeout: int, *, quiet: bool) -> DeployRecord:
    from shared.deploy.records.deploys import DeployStore

    deploys, printed = DeployStore(wiring.open_state(), wiring.system_clock()), 0
    deadline = time.monotonic() + timeout * 60
    with progress_bar(quiet=quiet) as reporter:
        # The key ends with the commit's 40 characters.
        reporter.phase(f"Deploying {key[-40:][:7]}", 0)
        while time.monotonic() < deadline:
            try:
                record = deploys.load(key)
            # The record is made when the message is taken from the queue, not when it is sent.
            except NotFound:
                time.sleep(_POLL_SECONDS)
                continue
            for line in record.log[printed:]:
                reporter.note(line)
            # By count: the log only grows, and lines may repeat.
            printed = len(record.log)
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
    """Show the newest deploy, or that of the commit SHA: its gates, plan, log and proposal."""
    from shared.deploy.records.deploys import DeployStore

    records = [
        k
        for k in DeployStore(wiring.open_state(), wiring.system_clock()).list_recent()
        if k.progress.sha.startswith(sha)
    ]
    if not records:
        raise NotFound("no such deploy", value=sha or None, hint="See groundcrew deploy history.")
    record = records[-1]
    if json_:
        texts = {"gates": record.gates, "plan": record.plan, "log": record.log, "proposal": record.proposal}
        print_answer({**_deploy_to_json(record), **texts}, json_=True)
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
    record = DeployStore(wiring.open_state(), wiring.system_clock()).list_recent()
    if json_:
        rows = [{"revision": r.number, "status": r.status, "chart": r.chart, "app_version": r.app_version,
                 "description": r.description, "at": r.at} for r in revisions]  # fmt: skip
        print_answer({"revisions": rows, "deploys": [_deploy_to_json(one) for one in record]}, json_=True)
        return
    cells = [(r.number, r.status, r.chart, r.app_version, r.description) for r in revisions]
    print_table("Revisions", ("revision", "status", "chart", "Rocket.Chat", "description"), cells)
    columns = ("started (UTC)", "commit", "environment", "state", "by", "reason")
    print_table("Deploys", columns, [(time_cell(k.started), *_deploy_cells(k)) for k in record])


def _deploy_cells(record: DeployRecord) -> tuple[str, ...]:
    progress = record.progress
    return progress.sha[:7], progress.environment, record.state.value, record.author, progress.reason


@deploy.command()
@click.argument("revision", type=click.IntRange(min=0))
@click.option("--restored", default="", metavar="CLASS/SET", help="The backup that was restored for it.")
@click.option("--dry-run", is_flag=True, help="Show what it would do.")
@as_json
def rollback(revision: int, restored: str, dry_run: bool, json_: bool) -> None:
    """Roll back to REVISION. To another version of Rocket.Chat only after a restore, and with an approval.

    Revision 0 starts nothing: it records that the data are those of the backup again, where nothing was
    deployed before.
    """
    from shared.deploy.rollout.rollback import plan_rollback, rollback

    deps = deploy_wiring.deploy_deps()
    rollback_plan = plan_rollback(deps, revision, restored)
    if dry_run:
        text = f"from Rocket.Chat {rollback_plan.version_now} to {rollback_plan.version_then}" + (
            ": needs a restore and an approval" if rollback_plan.changes_version else ""
        )
        print_answer(
            {**rollback_plan.arguments, "needs_approval": rollback_plan.changes_version},
            json_=json_,
            text=text,
        )
        return
    # The approval for another version is asked for in there, where also the release is compared with the
    # plan.
    done = rollback(deps, rollback_plan, by=current_user(), on_progress=err.print)
    print_answer({**rollback_plan.arguments, "done": done}, json_=json_, text=done)


@deploy.command()
@click.argument("sha", metavar="SHA|#PULL")
@click.option("--gate", required=True, help="Its name, as `plan` shows it.")
@environment_option
@as_json
def override(sha: str, gate: str, environment: str, json_: bool) -> None:
    """Ask a second person to let a commit pass a closed gate, for its present reason; then run it."""
    from shared.deploy import job
    from shared.deploy.gates import evaluate
    from shared.records.approvals import describe_how_to_approve

    deps = deploy_wiring.deploy_deps()
    sha = job.resolve_commit(deps, sha)
    where = environment or deps.policy.environments[0]
    closed = {
        gate.name: gate
        for gate in job.preview_deploy(deps, sha, where).results.report.gates
        if not gate.passed
    }
    # Before asking whether it is closed: nobody shall be sent to look for a second person for nothing.
    if gate in evaluate.NOT_OVERRIDABLE:
        raise UsageError("that gate cannot be overridden", value=gate, hint="Fix it and merge again.")
    if gate not in closed:
        hint = f"Closed are: {', '.join(closed) or 'none'}."
        raise UsageError("that gate is not closed", value=gate, hint=hint)
    # With the reason for which it is closed: should it be closed for another one later, the approval does not
    # count.
    arguments = evaluate.override_arguments(sha, where, closed[gate])
    lasting = deps.policy.approval_timeout
    approval = deps.approvals().request_approval(
        evaluate.OVERRIDE, arguments, by=current_user(), lasting=lasting
    )
    text = f"requested. {describe_how_to_approve(approval.id)}"
    print_answer({"id": approval.id, "expires": approval.expires, **arguments}, json_=json_, text=text)


@deploy.command()
@click.argument("identity", metavar="ID")
@as_json
def approve(identity: str, json_: bool) -> None:
    """Approve what another person requested; ID is bound to exactly that."""
    from shared.records.audit import AuditTrail
    from shared.wiring.people import open_approvals

    by = current_user()
    # Refused there for the requester, under any of their accounts, and for whoever has no signing key.
    approval = open_approvals().approve(identity, by=by)
    AuditTrail(wiring.open_state(), wiring.system_clock()).append(
        by, "approve", f"{approval.action} {identity}", f"approved, signed in as {current_account()}"
    )
    what = ", ".join(f"{key} {value}" for key, value in approval.arguments.items())
    text = f"approved: {approval.action} ({what}), requested by {approval.requester}"
    print_answer({"id": identity, "action": approval.action, **approval.arguments}, json_=json_, text=text)


@deploy.command()
@click.option("--correct", is_flag=True, help="Apply what was deployed again.")
@as_json
def drift(correct: bool, json_: bool) -> None:
    """Show where the cluster differs from what was deployed, and who changed it. Exit 1 if it does."""
    from shared.deploy import drift_job as job

    deps = deploy_wiring.deploy_deps()
    report = job.correct_drift(deps, by=current_user()) if correct else job.compare_release(deps)
    facts = {"revision": report.revision, "skipped": report.skipped, "corrected": report.corrected}
    unread = [f"not compared: {kind}" for kind in report.unread]
    text = "\n".join(
        [
            *report.lines(),
            *unread,
            report.skipped or report.corrected or f"{len(report.drifts)} fields differ",
        ]
    )
    print_answer({**facts, "drifts": report.lines(), "unread": list(report.unread)}, json_=json_, text=text)
    # Differences that were corrected are none any more; those that could not be compared are told, and are no
    # drift.
    if report.drifts and report.corrected != job.CORRECTED:
        raise SystemExit(1)


def _deploy_to_json(record: DeployRecord) -> dict[str, Any]:
    progress = record.progress
    return {
        "deploy": progress.key, "sha": progress.sha, "environment": progress.environment,
        "state": record.state.value, "reason": progress.reason, "by": record.author,
        "pull": progress.pull, "backup": progress.backup,
        "version_before": progress.version_before, "version_after": progress.version_after,
        "started": record.started, "updated": record.updated,
    }  # fmt: skip
