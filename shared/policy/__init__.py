"""policy.yaml: what the team decides (schedules, retention, gates), as frozen types.

Importing this costs nothing: pydantic and PyYAML are imported when a policy is read. Types may be named in
annotations anywhere (`if TYPE_CHECKING: from shared.policy import Policy`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.policy.holidays import DayOff, days_off
    from shared.policy.yaml_lines import Mistake

    from .backup import BackupPolicy, Retention
    from .certificates import CertificatePolicy
    from .chat import ChatPolicy, ChatRule
    from .cost import CostPolicy
    from .deploy import DeployPolicy
    from .document import Policy, find_mistakes, json_schema, parse_policy
    from .hardening import AcceptedRisk, HardeningPolicy
    from .notify import NotifyPolicy, Routes
    from .people import Person
    from .power import Holidays, MachinePolicy, PowerPolicy, Vacation
    from .secrets import SecretEntry, SecretsPolicy
    from .snapshots import SnapshotPolicy

__all__ = [
    "AcceptedRisk",
    "BackupPolicy",
    "CertificatePolicy",
    "ChatPolicy",
    "ChatRule",
    "CostPolicy",
    "DayOff",
    "DeployPolicy",
    "HardeningPolicy",
    "Holidays",
    "MachinePolicy",
    "Mistake",
    "NotifyPolicy",
    "Person",
    "Policy",
    "PowerPolicy",
    "Retention",
    "Routes",
    "SecretEntry",
    "SecretsPolicy",
    "SnapshotPolicy",
    "Vacation",
    "days_off",
    "find_mistakes",
    "json_schema",
    "parse_policy",
]  # fmt: skip

# By hand and not by a loop over the folder: looking into the modules would import pydantic, which is what
# this table avoids.
_HOMES = {
    "backup": ("BackupPolicy", "Retention"),
    "certificates": ("CertificatePolicy",),
    "chat": ("ChatPolicy", "ChatRule"),
    "cost": ("CostPolicy",),
    "holidays": ("DayOff", "days_off"),
    "deploy": ("DeployPolicy",),
    "hardening": ("AcceptedRisk", "HardeningPolicy"),
    "document": ("Policy", "find_mistakes", "json_schema", "parse_policy"),
    "yaml_lines": ("Mistake",),
    "notify": ("NotifyPolicy", "Routes"),
    "people": ("Person",),
    "power": ("Holidays", "MachinePolicy", "PowerPolicy", "Vacation"),
    "secrets": ("SecretEntry", "SecretsPolicy"),
    "snapshots": ("SnapshotPolicy",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


# PEP 562: a name is looked up when it is first used, so that a webhook which needs no policy never pays for
# pydantic.
def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
