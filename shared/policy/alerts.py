"""The policy of alerts that monitoring sends: what planned downtime explains, whose silence is an alarm."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from .base import Duration, Glob, Name, Section, max_hours, reject


def _check_wait(value: timedelta) -> timedelta:
    # Collected alerts lie in a queue until then, and nobody is woken by what still waits.
    if value > timedelta(minutes=10):
        reject("is longer than 10m", "A critical alert waits as long as any other: write 30s or 1m")
    return value


class AlertTarget(Section):
    """What else an alert may call a machine."""

    machine: Name = Field(description="the machine, as `power.machines` names it")
    called: tuple[Glob, ...] = Field(
        min_length=1,
        description="names in labels and targets that mean it: host names, nodes; `*` stands for anything",
        examples=[["chat.example.org", "rocketchat-*"]],
    )


class AlertPolicy(Section):
    """Alerts of Alertmanager and Azure Monitor."""

    # Muting is opt-in by label: an alert about a full disk or a failed backup is as true while the machine is
    # off.
    availability: tuple[Glob, ...] = Field(
        default=("availability=true",),
        description="alerts that a machine being off explains, by name (`*` allowed) or as `label=value`; "
        "while a machine is off by its schedule those about it are not told, and all others are",
    )
    targets: tuple[AlertTarget, ...] = Field(
        default=(), description="what alerts call a machine besides its name"
    )
    # MicroK8s and Rocket.Chat need minutes after the machine runs, and Prometheus' rules a few more until
    # they resolve.
    start_grace: Annotated[Duration, max_hours(2)] = Field(
        default=timedelta(minutes=15),
        description="for so long after a planned start the same alerts are still explained",
    )
    group_wait: Annotated[Duration, AfterValidator(_check_wait)] = Field(
        default=timedelta(seconds=30), description="how long alerts are collected before they are sent as one"
    )
    # An alert that always fires and whose silence is the news: kube-prometheus-stack ships it as `Watchdog`.
    watchdog: Annotated[Duration, max_hours(24)] | None = Field(
        default=None,
        description="Alertmanager's Watchdog is expected at least so often while the server should be up; "
        "its silence is an alarm. Without it nothing is expected",
        examples=["15m"],
    )
