"""The commands of chat-ops by the features' own entry points, the same that the command line calls.

A handler's `plan` reads only, and names in `target` whatever may change between the plan and the doing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.chatops.deps import CommandHandler
from shared.chatops.model import CommandCall, CommandPlan
from shared.kernel.errors import Refused
from shared.kernel.timestamps import format_minute
from shared.wiring import open_state

if TYPE_CHECKING:
    from shared.secrets_rotation.deps import RotationDeps

# A week, and what fits on a phone without scrolling.
_BACKUPS_SHOWN = 7


def command_handlers() -> dict[str, CommandHandler]:
    """By command's name. Building them imports and connects nothing."""
    from shared.wiring import silences
    from shared.wiring.chat_power import power_handlers
    from shared.wiring.chat_restore import plan_restore, run_restore
    from shared.wiring.chat_secrets import SecretCommands
    from shared.wiring.chat_status import describe_status

    return {
        "status": CommandHandler(lambda _call: CommandPlan(describe_status())),
        **power_handlers(),
        "backup": CommandHandler(_plan_backup, _begin_backup),
        "backups": CommandHandler(_list_backups),
        # Into a server that policy names; into production only by who has the key, whose command is shown.
        "restore": CommandHandler(plan_restore, run_restore),
        "drill": CommandHandler(_plan_drill, _run_drill),
        "snapshot": CommandHandler(_plan_snapshots, _take_snapshots),
        "deploy": CommandHandler(_plan_deploy, _request_deploy),
        # The text without a target: there is nothing to approve in it.
        "plan": CommandHandler(lambda call: CommandPlan(_plan_deploy(call).text)),
        "rollback": CommandHandler(_plan_rollback, _rollback),
        "certs": CommandHandler(_list_certificates),
        "renew": CommandHandler(_plan_renewal, _renew),
        **SecretCommands(_build_rotation).handlers(),
        "silence": CommandHandler(silences.plan_silence, silences.begin_silence),
        "unsilence": CommandHandler(silences.plan_end, silences.end_silence),
        "cost": CommandHandler(_read_cost),
    }


def _build_rotation() -> RotationDeps:
    from shared.wiring.secrets import rotation_deps

    return rotation_deps()


def _plan_backup(_call: CommandCall) -> CommandPlan:
    from shared.wiring.backup import backup_deps

    # Before it is begun: a set without a server fails hours later, and is told as a failed backup.
    if reason := backup_deps().offline_reason():
        raise Refused("no backup can be made now", value=reason, hint="Start the machine first: up for 2h")
    return CommandPlan("begin a backup of the class manual")


def _begin_backup(_call: CommandCall, _plan: CommandPlan, by: str) -> str:
    from shared.backup.begin import begin_set
    from shared.backup.catalogue import MANUAL
    from shared.wiring.backup import backup_deps

    plan = begin_set(backup_deps(), MANUAL, reason=f"manual: {by} from chat")
    return f"began {plan.klass}/{plan.set} in {len(plan.parts)} parts; `backups` shows when it is sealed"


def _list_backups(_call: CommandCall) -> CommandPlan:
    from shared.wiring.backup import trusted_catalogue

    entries = trusted_catalogue().entries()[-_BACKUPS_SHOWN:]
    lines = [
        f"{format_minute(one.info.created)} {one.info.folder.removeprefix('sets/').strip('/')} {one.state}"
        + (f": {one.problem}" if one.problem else "")
        for one in reversed(entries)
    ]
    return CommandPlan("\n".join(lines) or "there is no backup")


def _plan_drill(_call: CommandCall) -> CommandPlan:
    from shared.wiring import drill
    from shared.wiring.backup import trusted_catalogue

    if not drill.is_enabled():
        hint = "Set DRILL_MONGODB_URI, or backup.drill.cluster in policy.yaml."
        raise Refused("there is no scratch MongoDB to restore into", hint=hint)
    newest = trusted_catalogue().newest_good()
    if newest is None:
        raise Refused("there is no good backup", hint="See: groundcrew backups list --all")
    # Named as the target, so that an approval given for last night's set does not restore tonight's.
    where = newest.info.folder
    return CommandPlan(f"restore {where} into the scratch MongoDB and compare all of it", target=where)


def _run_drill(_call: CommandCall, _plan: CommandPlan, _by: str) -> str:
    from shared.adapters.log_reporter import LogReporter
    from shared.restore.drill.job import run_drill
    from shared.restore.drill.run import describe_drill
    from shared.wiring.drill import drill_deps

    return describe_drill(run_drill(drill_deps(), LogReporter("drill")))


def _plan_snapshots(_call: CommandCall) -> CommandPlan:
    from shared.snapshots import job
    from shared.wiring.snapshots import snapshot_deps

    plan = job.preview_cycle(snapshot_deps())
    taken = [f"take {one.name} of {one.disk.name}: {one.reason}" for one in plan.create]
    skipped = [f"{one.disk.name}: none, {one.reason}" for one in plan.skipped]
    text = "\n".join([*taken, *skipped]) or "take nothing: no disk is selected by policy"
    return CommandPlan(text, target=", ".join(sorted(one.disk.name for one in plan.create)) or "none")


def _take_snapshots(_call: CommandCall, _plan: CommandPlan, _by: str) -> str:
    from shared.snapshots import job
    from shared.wiring.snapshots import snapshot_deps

    # What is removed is the timer's business: nothing is deleted by a word in a chat.
    return str(job.run_cycle(snapshot_deps(), prune=False))


def _plan_deploy(call: CommandCall) -> CommandPlan:
    from shared.deploy import job
    from shared.wiring.deploy import deploy_deps

    deps = deploy_deps()
    sha, environment = job.resolve_commit(deps, call.arguments["sha"]), deps.policy.environments[0]
    results = job.preview_deploy(deps, sha, environment).results
    # The gates in full: who approves from a phone sees what they would see in the terminal.
    report = "\n".join(results.report.lines())
    text = f"deploy {sha[:7]} to {environment}\n{report}\n{results.commit.reason or results.plan}"
    # Part of what is approved: who approved an open plan has not approved one whose gates closed since.
    closed = ", ".join(gate.name for gate in results.report.gates if not gate.passed)
    return CommandPlan(text, target=f"{sha} to {environment}; closed gates: {closed or 'none'}")


def _request_deploy(call: CommandCall, plan: CommandPlan, _by: str) -> str:
    from shared.deploy import job
    from shared.wiring.deploy import deploy_deps

    # Only queued: the gates are asked again when it runs, whatever was shown here.
    deps = deploy_deps()
    sha = job.resolve_commit(deps, call.arguments["sha"])
    # A pull request may have been merged, or pushed to, since it was shown.
    if not plan.target.startswith(f"{sha} "):
        raise Refused("the pull request changed since the plan", value=sha[:7], hint="Ask again.")
    request = job.request_deploy(deps, sha, deps.policy.environments[0])
    return f"{request.key}: queued, behind the same gates as a merge"


def _plan_rollback(call: CommandCall) -> CommandPlan:
    from shared.deploy.rollout.rollback import ACTION, plan_rollback
    from shared.wiring.deploy import deploy_deps

    deps = deploy_deps()
    plan = plan_rollback(deps, int(call.arguments["revision"]), call.arguments.get("restored", ""))
    if plan.changes_version and not plan.restored:
        # Refused before anybody is asked to approve what cannot be done.
        hint = f"Restore the backup from before, then: rollback {plan.number} restored CLASS/SET"
        raise Refused(
            "another version of Rocket.Chat needs the data of before", value=plan.version_then, hint=hint
        )
    now, then = plan.version_now or "unknown", plan.version_then or "unknown"
    text = f"roll {deps.policy.release} back from revision {plan.current} to {plan.number}"
    text += f" (Rocket.Chat {now} to {then})"
    return CommandPlan(text, target=str(plan.current), action=ACTION, arguments=plan.arguments)


def _rollback(call: CommandCall, checked: CommandPlan, by: str) -> str:
    from shared.deploy.rollout.rollback import plan_rollback, rollback
    from shared.wiring.deploy import deploy_deps

    deps = deploy_deps()
    plan = plan_rollback(deps, int(call.arguments["revision"]), call.arguments.get("restored", ""))
    # The approval is for what was shown: minutes have passed since, and a deploy may have ended in them.
    if plan.arguments != dict(checked.arguments):
        raise Refused("the release changed since the plan", hint="Ask again.")
    return rollback(deps, plan, by=by, on_progress=lambda _line: None)


def _list_certificates(_call: CommandCall) -> CommandPlan:
    from shared.certificates.job import describe_scan
    from shared.certificates.records import load_last_scan

    # The last scan, since a new one asks every host and takes longer than people wait in a chat.
    scan = load_last_scan(open_state())
    if scan is None:
        return CommandPlan("no certificate was looked at yet; the scan runs every hour")
    lines = [
        f"{one.state}: {one.name}, ends {one.not_after:%Y-%m-%d}"
        if one.not_after
        else f"{one.state}: {one.name}"
        for one in scan.entries
    ]
    return CommandPlan("\n".join([f"{describe_scan(scan)}, seen {format_minute(scan.at)}", *lines]))


def _plan_renewal(call: CommandCall) -> CommandPlan:
    from shared.certificates.renew import plan_renewal
    from shared.wiring.certificates import certificate_deps

    plan = plan_renewal(certificate_deps(), call.arguments["name"], call.arguments.get("namespace", ""))
    # With its end: once it is renewed by somebody else, the approval is of no use any more.
    return CommandPlan(str(plan), target=f"{plan.certificate.reference} {plan.certificate.not_after}")


def _renew(call: CommandCall, _plan: CommandPlan, by: str) -> str:
    from shared.certificates.renew import plan_renewal, renew_certificate
    from shared.wiring.certificates import certificate_deps

    deps = certificate_deps()
    plan = plan_renewal(deps, call.arguments["name"], call.arguments.get("namespace", ""))
    return renew_certificate(deps, plan, by=by)


def _read_cost(_call: CommandCall) -> CommandPlan:
    state = open_state()
    # The stored report: prices and usage are a minute's work, and last week's is what people mean.
    names = [blob.name for blob in state.list("cost/") if blob.name.endswith(".txt")]
    return CommandPlan(state.read(names[-1])[0].decode() if names else "no week was reported yet")
