"""The command `restore`: into a server that policy names, or by who has the recovery key."""

from __future__ import annotations

from shared.chatops.model import CommandCall, CommandPlan
from shared.kernel.errors import NotFound, Refused, UsageError
from shared.kernel.secret import Secret
from shared.restore.requested import (
    RequestedRestore,
    RequestedRestoreDeps,
    plan_requested_restore,
    run_requested_restore,
)
from shared.settings import definitions
from shared.settings.environment import parse_setting, read_environment
from shared.wiring import load_policy, open_state, system_clock


def plan_restore(call: CommandCall) -> CommandPlan:
    """What would be restored where. Raises what keeps it from being done."""
    if "into" not in call.arguments:
        return _plan_by_hand(call)
    deps = requested_restore_deps(call.arguments["into"])
    planned = _plan(deps, call)
    size = planned.verified.manifest
    documents = sum(entry.documents for entry in size.namespaces)
    lines = [
        f"restore {planned.reference} ({documents} documents) into {deps.name} at {', '.join(planned.hosts)}"
    ]
    lines += planned.tail.plan.reasons if planned.tail else ()
    lines.append("without its users; production is not touched")
    return CommandPlan("\n".join(lines), target=planned.describe_binding(deps.name))


def run_restore(call: CommandCall, plan: CommandPlan, _by: str) -> str:
    """Do what two people agreed on; what was done, in a sentence."""
    from shared.adapters.log_reporter import LogReporter

    if "into" not in call.arguments:
        return (
            f"approved, for who has the recovery key:\n{_write_command(call)}\nsee docs/runbooks/restore.md"
        )
    deps = requested_restore_deps(call.arguments["into"])
    planned = _plan(deps, call)
    # Between the check of the approval and now nothing may have become another thing either.
    if planned.describe_binding(deps.name) != plan.target:
        raise Refused(
            "what was approved has changed since", value=planned.reference, hint="Ask for it again."
        )
    return run_requested_restore(deps, planned, LogReporter("restore"))


def _plan(deps: RequestedRestoreDeps, call: CommandCall) -> RequestedRestore:
    from shared.pitr.moment import parse_moment

    until = call.arguments.get("until")
    return plan_requested_restore(deps, call.arguments["what"], parse_moment(until) if until else None)


def _plan_by_hand(call: CommandCall) -> CommandPlan:
    """The set and its manifest, bound as well. Production is restored by a person who holds the key."""
    from shared.wiring.backup import trusted_catalogue

    entry = trusted_catalogue().find(call.arguments["what"])
    if entry.verified is None:
        raise NotFound(
            f"{entry.info.folder} is {entry.state}: it is not a backup", value=entry.problem or None
        )
    text = (
        f"have {entry.info.reference} restored by who has the recovery key, which is offline:\n"
        f"{_write_command(call)}\nA restore by the app goes into a server that policy names: "
        f"restore {call.arguments['what']} into {' or '.join(load_policy().backup.restore_targets) or 'NAME'}"
    )
    return CommandPlan(text, target=f"{entry.info.reference} {entry.verified.sha256}")


def _write_command(call: CommandCall) -> str:
    until = f" --until {call.arguments['until']}" if "until" in call.arguments else ""
    return f"groundcrew restore {call.arguments['what']}{until} --to-uri @URI_FILE --identity KEY_FILE"


def requested_restore_deps(name: str) -> RequestedRestoreDeps:
    """What a restore into the server of that name needs. Raises UsageError for one that is not named."""
    from shared.adapters.mongodb import connect_target, parse_addresses
    from shared.wiring.backup import trusted_catalogue
    from shared.wiring.drill import list_production, read_identities

    allowed = load_policy().backup.restore_targets
    if name not in allowed:
        hint = f"backup.restore_targets in policy.yaml names: {', '.join(allowed) or 'none'}."
        raise UsageError("policy names no such server to restore into", value=name, hint=hint)
    setting = definitions.RESTORE_TARGETS
    uris = parse_setting(setting, parse_targets, read_environment().get(setting))
    if name not in uris:
        raise UsageError(f"{setting.name} has no address of {name}", hint=f"For example: {setting.example}")
    drills = read_environment().get(definitions.DRILL_MONGODB)
    return RequestedRestoreDeps(
        name=name,
        connect=lambda: connect_target(uris[name].reveal()),
        addresses=parse_addresses(uris[name].reveal()),
        production=list_production,
        others=parse_addresses(drills) if drills else (),
        catalogue=trusted_catalogue(),
        state=open_state(),
        clock=system_clock(),
        identities=read_identities(),
    )


def parse_targets(text: str) -> dict[str, Secret]:
    """The URIs by name. Raises UsageError, quoting no URI."""
    targets: dict[str, Secret] = {}
    for number, word in enumerate(text.split(), 1):
        name, equals, uri = word.partition("=")
        if not (name and equals and uri.startswith(("mongodb://", "mongodb+srv://"))):
            raise UsageError(f"entry {number} is not name=mongodb://…")
        if name in targets:
            raise UsageError("two addresses of one server", value=name)
        targets[name] = Secret(uri)
    return targets
