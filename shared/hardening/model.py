"""What is audited: the wanted, the seen, and the verdict on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

# The three that Microsoft has in the place of a tenant's id:
# https://learn.microsoft.com/entra/identity-platform/v2-protocols#endpoints
_ANY_TENANT = ("/common/", "/organizations/", "/consumers/")


class AuditVerdict(StrEnum):
    """How one rule is met."""

    MET = "met"
    MISSED = "missed"
    UNKNOWN = "unknown"  # it cannot be seen, which is never safe
    ABSENT = "absent"  # this version has no such setting
    ACCEPTED = "accepted"  # missed, and policy says why that is


class RuleSeverity(StrEnum):
    """How bad it is that a rule is missed."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class SettingRule:
    """One setting of Rocket.Chat: `want` is one comparison by its name, as in baseline.yaml."""

    id: str
    setting: str
    severity: RuleSeverity
    want: tuple[str, Any]
    why: str


@dataclass(frozen=True, slots=True)
class PermissionRule:
    """Who may hold a permission."""

    permission: str
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Baseline:
    """All rules that are data."""

    settings: tuple[SettingRule, ...]
    permissions: tuple[PermissionRule, ...]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """Who changed a setting last, and when; either may not be known."""

    at: datetime | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A personal access token, without the token."""

    name: str
    created: datetime | None
    bypasses_two_factor: bool


@dataclass(frozen=True, slots=True)
class ChatAccount:
    """A user who is an administrator, or has personal access tokens."""

    username: str
    is_admin: bool
    active: bool
    has_second_factor: bool
    last_login: datetime | None
    tokens: tuple[AccessToken, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatIntegration:
    """A webhook."""

    name: str
    incoming: bool
    runs_script: bool
    urls: tuple[str, ...] = ()
    posts_as: str = ""


@dataclass(frozen=True, slots=True)
class ObservedChat:
    """What was read of the chat. `settings` has those that exist, by id; `changes` who changed them."""

    settings: Mapping[str, Any]
    permissions: Mapping[str, frozenset[str]]
    accounts: tuple[ChatAccount, ...]
    integrations: tuple[ChatIntegration, ...]
    changes: Mapping[str, SettingChange] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """What a pod may do on its node. `risks` names it: `privileged`, `hostNetwork`, `hostPath /etc`."""

    name: str
    risks: tuple[str, ...]
    floating_images: tuple[str, ...]  # without a version, or `latest`
    started: datetime | None = None  # its image is at least as old as that


@dataclass(frozen=True, slots=True)
class ObservedNamespace:
    """A namespace; `enforced` is its pod security level, empty for none, None if it cannot be seen."""

    name: str
    enforced: str | None
    pods: tuple[ObservedPod, ...]


@dataclass(frozen=True, slots=True)
class NetworkRule:
    """One inbound rule of a network security group; lower priorities are asked first."""

    name: str
    priority: int
    allow: bool
    protocol: str
    sources: tuple[str, ...]
    ports: tuple[str, ...]  # as Azure has them: `22`, `8000-8100`, `*`


@dataclass(frozen=True, slots=True)
class NetworkGroup:
    """A network security group that guards something."""

    name: str
    rules: tuple[NetworkRule, ...]


@dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """The groups, the network interfaces that none guards, and those that the internet reaches."""

    groups: tuple[NetworkGroup, ...]
    unguarded: tuple[str, ...]
    public: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HardeningFinding:
    """The verdict on one rule."""

    id: str  # `rule`, or `rule/what it is about`: what policy accepts a risk by
    verdict: AuditVerdict  # unknown is open, never met
    severity: RuleSeverity
    seen: str  # in words; never a secret
    wanted: str = ""  # the same
    why: str = ""  # what may come of it, or why it is accepted
    changed: str = ""  # who changed it last and when, if that is known

    @property
    def is_open(self) -> bool:
        """Whether somebody has to look at it."""
        return self.verdict in (AuditVerdict.MISSED, AuditVerdict.UNKNOWN)

    def __str__(self) -> str:
        wanted = f", wanted {self.wanted}" if self.wanted else ""
        why = f": {self.why}" if self.why else ""
        return f"{self.id}: {self.seen}{wanted}{why}{f' ({self.changed})' if self.changed else ''}"


def accepts_any_tenant(addresses: str) -> bool:
    """Whether one of the addresses, apart by spaces, is Entra's for the accounts of every tenant."""
    # An administrator who joins parts of an address often doubles a slash; Entra takes it all the same.
    return any(part in f"{addresses}/".replace("//", "/") for part in _ANY_TENANT)
