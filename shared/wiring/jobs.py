"""Which jobs policy and settings ask for, and whether each has what it needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import load_policy

log = logging.getLogger(__name__)

# Those that the app's functions read.
QUEUES = ("backup-parts", "deploys", "rehearsals", "chat-commands", "notifications")


def settings_checks() -> Mapping[str, Callable[[], object]]:
    """For each job that is asked for: builds what it needs. Those call raise UsageError.

    Raises UsageError if the policy cannot be read, since it says what is asked for.
    """
    from shared.wiring import (
        calendar,
        certificates,
        cost,
        drill,
        hardening,
        power,
        probes,
        rehearsal,
        secrets,
        snapshots,
    )
    from shared.wiring.backup import backup_deps
    from shared.wiring.prune import prune_deps

    rules = load_policy()
    checks: list[tuple[str, bool, Callable[[], object]]] = [
        # Always: an installation without a backup is what this is for to prevent.
        ("backup", True, backup_deps),
        ("pages", True, _check_pages),
        ("deploys", bool(rules.deploy.repository), _check_deploys),
        ("power", power.is_enabled(), _check_power),
        ("snapshots", snapshots.is_enabled(), _check_snapshots),
        ("cost", cost.is_enabled(), _check_cost),
        ("chatops", bool(rules.chat.rules), _check_chatops),
        ("certificates", certificates.is_enabled(), certificates.certificate_deps),
        ("drill", drill.is_enabled(), drill.drill_deps),
        ("rehearsal", rehearsal.is_enabled(), rehearsal.rehearsal_deps),
        ("retention", rules.backup.retention == "self", prune_deps),
        ("secrets", secrets.is_enabled(), secrets.rotation_deps),
        ("calendar", True, calendar.calendar_deps),
        ("probes", probes.is_enabled(), probes.probe_deps),
        ("hardening", hardening.is_enabled(), hardening.hardening_deps),
    ]
    return {job: check for job, is_asked, check in checks if is_asked}


def read_settings_report() -> Mapping[str, str]:
    """For the status: by job `ok`, or what is wrong with its settings."""
    return {job: _describe_check(check) for job, check in settings_checks().items()}


def _describe_check(check: Callable[[], object]) -> str:
    try:
        check()
    except UsageError as error:
        return str(error)
    except Exception as error:  # a bug in one job's wiring must not hide the others
        log.exception("settings.check_crashed", extra={"check": getattr(check, "__name__", "")})
        return f"internal error ({type(error).__name__})"
    return "ok"


def handle_deploy_message(requests: Sequence[Mapping[str, Any]]) -> str:
    """Do what a message of the queue `deploys` asks for. What cannot begin is recorded and notified."""
    from shared.deploy import job
    from shared.wiring.deploy import deploy_deps

    try:
        # A message that cannot be handled now would be tried five times and end in the poison queue, unseen
        # by GitHub.
        deps = deploy_deps()
    except UsageError as error:
        return _record_unstarted(requests, error)
    return job.handle_message(deps, requests)


def _record_unstarted(requests: Sequence[Mapping[str, Any]], error: UsageError) -> str:
    from shared.catch_up.watch import notify_bad_settings
    from shared.deploy.plan_comment.request import is_plan_request
    from shared.deploy.records.deploys import DeployStore
    from shared.deploy.unstarted import record_unstarted
    from shared.wiring import open_state, system_clock
    from shared.wiring.notifications import build_notifier

    # A plan that cannot be commented is not made up for: the next push asks again.
    deploys = [request for request in requests if not is_plan_request(request)]
    if not deploys:
        return f"no plan was commented: {error.public}"
    done = record_unstarted(DeployStore(open_state(), system_clock()), deploys, error)
    notify_bad_settings(build_notifier(), "deploys", error)
    return done


def _check_pages() -> object:
    return read_environment().wake_sign_in()


def _check_deploys() -> object:
    from shared.wiring.deploy import deploy_deps
    from shared.wiring.webhook import build_intake

    # Without it every delivery is refused with 503, which only GitHub's page of the webhook would show.
    if not any(build_intake().secrets):
        name = definitions.WEBHOOK_SECRETS.name
        raise UsageError(f"{name} is not set", hint=f"For example: {definitions.WEBHOOK_SECRETS.example}")
    return deploy_deps()


def _check_power() -> object:
    from shared.wiring.power import power_deps

    return power_deps()


def _check_snapshots() -> object:
    from shared.wiring.snapshots import check_deps, snapshot_deps

    # The cycle and the check: the settings of either may be what is missing.
    return snapshot_deps(), check_deps()


def _check_cost() -> object:
    from shared.wiring.cost import cost_deps

    return cost_deps()


def _check_chatops() -> object:
    from shared.wiring.chat_platforms import read_secrets, secret_settings
    from shared.wiring.chatops import chatops_deps

    return [read_secrets(setting) for setting in secret_settings().values()], chatops_deps()
