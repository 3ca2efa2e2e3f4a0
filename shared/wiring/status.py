"""The wiring of `/api/status`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.settings import definitions as settings
from shared.settings import environment as config
from shared.wiring import backups, clock, state


def status() -> dict[str, Any]:
    """The status, with the machines where a subscription is named. Raises UsageError without any storage."""
    from shared.status.job import report

    more: dict[str, Callable[[], Any]] = {}
    if config.environment().values.get(settings.SUBSCRIPTION.name):
        more["machines"] = _machines
    return report(backups(), state(), clock(), more)


def _machines() -> list[dict[str, str]]:
    from shared.power.job import survey
    from shared.wiring.power import power

    return [
        {"machine": o.machine, "state": str(o.state), "decision": str(o.decision)} for o in survey(power())
    ]
