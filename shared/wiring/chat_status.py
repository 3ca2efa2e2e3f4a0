"""The answer to `status`: what somebody on a phone has to know. A line that fails hides no other."""

from __future__ import annotations

from collections.abc import Callable

from shared.kernel.errors import GroundcrewError
from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import load_policy


def describe_status() -> str:
    """Machines, the newest backup, failing checks, and requests that wait for an approval."""
    sections: dict[str, Callable[[], str]] = {
        "backup": _describe_backup,
        "checks": _describe_checks,
        "requests": _describe_requests,
    }
    # The server first: most who ask want to know whether it runs.
    if read_environment().values.get(definitions.SUBSCRIPTION.name) and load_policy().power.machines:
        sections = {"server": _describe_machines, **sections}
    return "\n".join(f"{name}: {_run_section(section)}" for name, section in sections.items())


def _run_section(section: Callable[[], str]) -> str:
    # Unknown is said, and is not good: an empty line would read as if all were well.
    try:
        return section()
    except GroundcrewError as error:
        return f"unknown: {error}"


def _describe_machines() -> str:
    from shared.power.job import preview_tick
    from shared.wiring.power import power_deps

    results = preview_tick(power_deps())
    return "; ".join(f"{one.machine} is {one.state}, {one.error or one.decision}" for one in results)


def _describe_backup() -> str:
    from shared.wiring.health import check_backups

    return check_backups()


def _describe_checks() -> str:
    from shared.wiring.health import health_monitor

    checks = health_monitor().report()["checks"]
    failing = [f"{name} ({check['message']})" for name, check in checks.items() if not check["ok"]]
    return f"failing: {'; '.join(failing)}" if failing else f"all {len(checks)} pass"


def _describe_requests() -> str:
    from shared.chatops.replies import describe_request
    from shared.wiring.people import open_approvals

    pending = open_approvals().pending()
    return "; ".join(map(describe_request, pending)) or "none waits"
