"""Service levels: recording rules and burn-rate alerts, from probes alone.

Windows and factors are those of the SRE workbook, table 5-8 (https://sre.google/workbook/alerting-on-slos/),
for 30 days: 14.4 times over 1 h and 5 min (2 % of the budget), 6 times over 6 h and 30 min (5 %), once over
3 d and 6 h (10 %). A probe each minute is traffic by itself, so a quiet night is as good as a busy day. Right
after a start, though, few probes are in a window and one failure is a large share of them: each alert also
wants a number of failures.

What lies in planned downtime is left out of both sides of the share, and only if Groundcrew says so: what is
not known counts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .settings import Settings

PROBE = 'job="rocketchat-probe"'
DOWNTIME = "rocketchat:planned_downtime:active"
WINDOWS = ("5m", "30m", "1h", "6h", "3d")


class Burn(NamedTuple):
    """An alert: failures above `factor` budgets in both windows, `least` of them in the long one."""

    name: str
    factor: float
    long: str
    short: str
    least: int
    severity: str


_AVAILABILITY = (
    Burn("SLOAvailabilityBurnFast", 14.4, "1h", "5m", 5, "critical"),
    Burn("SLOAvailabilityBurn", 6, "6h", "30m", 10, "critical"),
    Burn("SLOAvailabilityBurnSlow", 1, "3d", "6h", 10, "warning"),
)
_LATENCY = (
    Burn("SLOLatencyBurn", 6, "6h", "30m", 20, "warning"),
    Burn("SLOLatencyBurnSlow", 1, "3d", "6h", 20, "warning"),
)


def slo_groups(settings: Settings) -> list[dict[str, Any]]:
    """Groups of rules for Prometheus; evaluated once a minute, as often as is probed."""
    goal = settings.objective
    availability = f"{goal.availability:.4g}"
    latency = f"{goal.latency:.4g}"
    return [
        {"name": "slo-probes", "interval": "1m", "rules": _probe_rules(settings)},
        {
            "name": "slo-alerts",
            "interval": "1m",
            "rules": [
                *(_alert(burn, "availability", availability, "not answered") for burn in _AVAILABILITY),
                *(_alert(burn, "latency", latency, f"slower than {goal.slow:g} s") for burn in _LATENCY),
            ],
        },
    ]


def downtime_group(settings: Settings) -> dict[str, Any]:
    """The group that says whether this is planned downtime, for alerts: there, with value 1, or absent."""
    rules = [{"record": DOWNTIME, "expr": _downtime(settings)}]
    return {"name": "planned-downtime", "interval": "1m", "rules": rules}


def _downtime(settings: Settings) -> str:
    """1 in planned downtime and while a planned start is under way; absent otherwise, or if not known."""
    machine = f'{{machine="{settings.machine}"}}'
    planned = f"max(groundcrew_power_planned_up{machine})"
    since = f"max(groundcrew_power_planned_since_timestamp_seconds{machine})"
    grace = int(settings.start_grace.total_seconds())
    return f"({planned} == 0) + 1 or ({planned} == 1 and time() - {since} < {grace})"


def _probe_rules(settings: Settings) -> list[dict[str, Any]]:
    goal = settings.objective
    rules: list[dict[str, Any]] = [
        {
            "record": "rocketchat:probe_success:in_service",
            # Not by the recorded series, which another group may write only a minute later.
            "expr": f"probe_success{{{PROBE}}} unless on () ({_downtime(settings)})",
        },
        {
            "record": "rocketchat:probe_fast:in_service",
            "expr": f"(probe_duration_seconds{{{PROBE}}} < bool {goal.slow:g}) "
            "and on (instance) (rocketchat:probe_success:in_service == 1)",
        },
    ]
    for level, source in (("availability", "probe_success"), ("latency", "probe_fast")):
        series = f"rocketchat:{source}:in_service"
        for window in WINDOWS:
            rules.append(
                {
                    "record": f"rocketchat:{level}_errors:ratio_{window}",
                    "expr": f"1 - avg_over_time({series}[{window}])",
                }
            )
            rules.append(
                {
                    "record": f"rocketchat:{level}_errors:count_{window}",
                    "expr": f"count_over_time({series}[{window}]) - sum_over_time({series}[{window}])",
                }
            )
    return rules


def _alert(burn: Burn, level: str, goal: str, what: str) -> dict[str, Any]:
    limit = f"{burn.factor:g} * (1 - {goal})"
    errors = f"rocketchat:{level}_errors"
    return {
        "alert": burn.name,
        "expr": f"{errors}:ratio_{burn.long} > {limit} and {errors}:ratio_{burn.short} > {limit} "
        f"and {errors}:count_{burn.long} >= {burn.least}",
        "labels": {"severity": burn.severity, "availability": "true"},
        "annotations": {
            "summary": f"{{{{ $value | humanizePercentage }}}} of the probes of {burn.long} were {what}",
            "cure": "Look at the dashboard Rocket.Chat for when it began, and at the last deploy",
        },
    }
