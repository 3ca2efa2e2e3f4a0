"""The wiring of `/api/read_status`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import open_state, system_clock
from shared.wiring.backup import trusted_catalogue
from shared.wiring.jobs import read_settings_report


def read_status() -> dict[str, Any]:
    """The status, with the machines where a subscription is named. Raises UsageError without any storage."""
    from shared.status.job import build_status

    more: dict[str, Callable[[], Any]] = {"jobs": read_settings_report}
    if read_environment().values.get(definitions.SUBSCRIPTION.name):
        more["machines"] = _list_machines
    return build_status(trusted_catalogue, open_state(), system_clock(), more)


def _list_machines() -> list[dict[str, str]]:
    from shared.power.job import preview_tick
    from shared.wiring.power import power_deps

    return [
        {"machine": o.machine, "state": str(o.state), "decision": str(o.decision)}
        for o in preview_tick(power_deps())
    ]
