"""What monitoring.yaml and policy.yaml say, checked before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

from shared.policy.document import Policy, parse_policy
from shared.policy.values import format_policy_duration, parse_duration

MONITORING = Path(__file__).resolve().parent.parent
ROOT = MONITORING.parent.parent

KEYS = frozenset(
    {"runbooks", "namespace", "policy", "machine", "years", "start_grace", "groundcrew", "oncall_email"}
    | {"smtp", "smtp_user", "probe", "slo"}
)
SLO_KEYS = frozenset({"availability", "latency", "latency_seconds"})
_HTTPS = re.compile(r"https://[a-z0-9.-]+(?::\d+)?(?:/[\w./-]*)?", re.ASCII)


class SettingsError(Exception):
    """monitoring.yaml cannot be used; the text names the key, its value and the cure."""


@dataclass(frozen=True, slots=True)
class Objective:
    """Shares of 0 to 1 that are promised over 30 days; `slow` is the latency's limit in seconds."""

    availability: float
    latency: float
    slow: float


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the generated files depend on besides rules/ and the code."""

    runbooks: str
    namespace: str
    machine: str
    years: tuple[int, int]
    start_grace: timedelta
    groundcrew: str
    oncall_email: str
    smtp: str
    smtp_user: str
    probe: str
    objective: Objective
    policy: Policy
    day_off: Callable[[date], str]

    @property
    def repeat_after(self) -> str:
        """Prometheus' notation of notify.repeat_after."""
        return format_policy_duration(self.policy.notify.repeat_after)


def load_settings(text: str, policy_text: str) -> Settings:
    """The settings. Raises `SettingsError` for a key or value that cannot be, `UsageError` for the policy."""
    from shared.policy.holidays import days_off

    data = yaml.safe_load(text)
    given = set(data) if isinstance(data, dict) else set()
    if given != KEYS:
        wrong = ", ".join(sorted(given ^ KEYS))
        raise SettingsError(f"monitoring.yaml: missing or unknown: {wrong}. It has the keys {sorted(KEYS)}")
    policy = parse_policy(policy_text)
    for key in ("runbooks", "groundcrew", "probe"):
        if not _HTTPS.fullmatch(str(data[key])):
            raise SettingsError(f"monitoring.yaml: {key}: '{data[key]}' is no https address without a query")
    return Settings(
        runbooks=str(data["runbooks"]).rstrip("/"),
        namespace=str(data["namespace"]),
        machine=_machine(str(data["machine"]), policy),
        years=_years(data["years"]),
        start_grace=parse_duration(str(data["start_grace"])),
        groundcrew=str(data["groundcrew"]).rstrip("/"),
        oncall_email=str(data["oncall_email"]),
        smtp=str(data["smtp"]),
        smtp_user=str(data["smtp_user"]),
        probe=str(data["probe"]),
        objective=_objective(data["slo"]),
        policy=policy,
        day_off=days_off(policy.power),
    )


def _machine(name: str, policy: Policy) -> str:
    known = [machine.label for machine in policy.power.machines]
    if name not in known:
        raise SettingsError(f"monitoring.yaml: machine: '{name}' is not in the policy, which has {known}")
    return name


def _years(value: Any) -> tuple[int, int]:
    whole = isinstance(value, list) and len(value) == 2 and all(type(year) is int for year in value)
    if not whole or not 2020 <= value[0] <= value[1] <= value[0] + 5:
        raise SettingsError(f"monitoring.yaml: years: '{value}' is not [first, last], six years at most")
    return value[0], value[1]


def _objective(value: Any) -> Objective:
    if not isinstance(value, dict) or set(value) != SLO_KEYS:
        raise SettingsError(f"monitoring.yaml: slo has the keys {sorted(SLO_KEYS)}, not '{value}'")
    for key in ("availability", "latency"):
        # At 99.99 % and one probe a minute a single failure is the budget of a week: it cannot be measured.
        if not 90 <= float(value[key]) <= 99.95:
            raise SettingsError(f"monitoring.yaml: slo.{key}: '{value[key]}' is not from 90 to 99.95 percent")
    if not 0.1 <= float(value["latency_seconds"]) <= 30:
        raise SettingsError(
            f"monitoring.yaml: slo.latency_seconds: '{value['latency_seconds']}' is not from 0.1 to 30"
        )
    return Objective(
        float(value["availability"]) / 100, float(value["latency"]) / 100, float(value["latency_seconds"])
    )


def read_settings() -> Settings:
    """The settings of this checkout. Raises `SettingsError` if the policy that they name is not there."""
    text = (MONITORING / "monitoring.yaml").read_text(encoding="utf-8")
    path = str((yaml.safe_load(text) or {}).get("policy", "policy.yaml"))
    try:
        policy_text = (ROOT / path).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"monitoring.yaml: policy: '{path}' cannot be read: {error.strerror}") from error
    return load_settings(text, policy_text)
