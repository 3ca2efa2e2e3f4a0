"""The wiring of power and of the page that wakes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared import config, settings
from shared.wiring import azure, backups, clock, policy, state
from shared.wiring.notifications import notifications

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.jobs.wake import Wake
    from shared.ports_compute import PowerSwitch
    from shared.ports_health import Probe
    from shared.state.fleet import Fleet
    from shared.state.tending import Power


@cache
def fleet(*, asks: bool = True) -> Fleet:
    """What power sees; only the kinds of machine that policy names are asked for, and none without `asks`."""
    from shared.policy import days_off
    from shared.state.fleet import Fleet

    read = config.all_or_nothing(
        switches=_switches if asks else dict, state=state, policy=policy, backups=backups
    )
    at = config.daily_time(config.schedule("nightly_backup"))
    return Fleet(clock=clock(), day_off=days_off(read["policy"].power), backup_at=at, **read)


def _switches() -> Mapping[str, PowerSwitch]:
    known = {"vm": azure.machines, "aks": azure.clusters}
    return {kind: known[kind]() for kind in {machine.kind for machine in policy().power.machines}}


@cache
def power() -> Power:
    """All that power needs. Raises UsageError with every bad setting."""
    from shared.state.tending import Power

    read = config.all_or_nothing(fleet=fleet, notifications=notifications, probes=probes)
    guests = azure.machines() if "vm" in read["fleet"].switches else None
    return Power(guests=guests, begin_backup=_begin_backup, **read)


def probes() -> tuple[Probe, ...]:
    """How to see whether the server is well: its nodes and Rocket.Chat's own answer, as far as it is set."""
    env = config.environment()
    found: list[Probe] = []
    if env.get(settings.KUBECONFIG):
        from shared.state.node_health import NodeHealth
        from shared.wiring.deploy import cluster

        found.append(NodeHealth(cluster()))
    if url := env.get(settings.CHAT):
        from shared.adapters.chat_health import connect

        found.append(config.named(settings.CHAT, connect, url))
    return tuple(found)


@cache
def wake() -> Wake:
    """What the wake page needs."""
    from shared.jobs import power as job
    from shared.jobs.wake import Wake

    return Wake(
        survey=lambda: job.survey(power()),
        order=lambda machine, text, by: job.order(power(), machine, text, by=by),
        tick=lambda: job.tick(power()),
        state=state(),
        clock=clock(),
        zone=ZoneInfo(policy().timezone),
        sign_in=config.environment().wake_sign_in(),
    )


def _begin_backup() -> str:
    from shared.jobs import backup as job
    from shared.wiring.backup import backup

    return job.nightly(backup())
