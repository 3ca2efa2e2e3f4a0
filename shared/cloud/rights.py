"""What the app must be allowed to do in Azure, by job, and what of it is missing.

The actions are those of `infra/terraform/modules/identity`; a test holds the two together.
https://learn.microsoft.com/azure/role-based-access-control/permissions/compute
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

# Asked at the machine itself, since a role may be given on it alone.
MACHINE_ACTIONS = (
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/instanceView/read",
    "Microsoft.Compute/virtualMachines/start/action",
    "Microsoft.Compute/virtualMachines/deallocate/action",
    "Microsoft.Compute/virtualMachines/runCommand/action",
)
CLUSTER_ACTIONS = (
    "Microsoft.ContainerService/managedClusters/read",
    "Microsoft.ContainerService/managedClusters/start/action",
    "Microsoft.ContainerService/managedClusters/stop/action",
)
DISK_ACTIONS = ("Microsoft.Compute/disks/read", "Microsoft.Compute/disks/beginGetAccess/action")
# Asked at the disk's resource group, where a snapshot is made.
SNAPSHOT_ACTIONS = (
    "Microsoft.Compute/snapshots/read",
    "Microsoft.Compute/snapshots/write",
    "Microsoft.Compute/snapshots/delete",
)
CHECK_ACTIONS = (
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/disks/delete",
    "Microsoft.Compute/snapshots/beginGetAccess/action",
)


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """What one role gives at a scope: patterns such as `*/read`, less what it excludes."""

    actions: tuple[str, ...]
    excluded: tuple[str, ...] = ()

    def allows(self, action: str) -> bool:
        """Whether it gives the action. Azure tells no case, and `*` stands for any text, `/` included."""
        return _matches(action, self.actions) and not _matches(action, self.excluded)


def find_missing_actions(needed: Iterable[str], grants: Iterable[RoleGrant]) -> list[str]:
    """The actions that no role gives. Roles add up: what one excludes another may give."""
    known = list(grants)
    return [action for action in needed if not any(grant.allows(action) for grant in known)]


def _matches(action: str, patterns: Iterable[str]) -> bool:
    # Brackets mean nothing to Azure, and something to fnmatch; no action has one.
    return any(fnmatchcase(action.lower(), pattern.lower().replace("[", "[[]")) for pattern in patterns)
