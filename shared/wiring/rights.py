"""Whether the app may do in Azure what its jobs will ask: told by Azure, tried by nothing.

Without this a missing role would be found out by the first start, or by a snapshot that is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.cloud.rights import (
    CHECK_ACTIONS,
    CLUSTER_ACTIONS,
    DISK_ACTIONS,
    MACHINE_ACTIONS,
    SNAPSHOT_ACTIONS,
    find_missing_actions,
)
from shared.cloud.tags import has_tag
from shared.kernel.errors import NotFound, Refused
from shared.wiring import azure, load_policy

_HINT = "Apply infra/terraform, whose role has it, or give the app's identity that role there."


def check_power_rights() -> str:
    """Asks for each machine that policy names. Raises Refused, NotFound, Unavailable."""
    from shared.wiring.inventory import build_inventory

    inventory = build_inventory()
    # Exactly what the jobs call: a broader role would pass as well, a narrower one is named by its missing
    # verb.
    actions = {"vm": MACHINE_ACTIONS, "aks": CLUSTER_ACTIONS}
    targets = [target for kind in inventory.kinds for target in inventory.targets(kind) if target.id]
    if not targets:
        raise NotFound("Azure has none of the machines that policy names", hint="See power.machines.")
    # Each by itself: a role may be given on one machine, and policy name two.
    for target in targets:
        _check_scope(target.id, actions[target.kind])
    return f"{len(targets)} machines may be started and stopped"


def check_snapshot_rights() -> str:
    """Asks for each disk that policy chooses, and for its resource group. Raises Refused, NotFound, …"""
    rules = load_policy().snapshots
    chosen = [
        disk for disk in azure.connect_disks().list() if rules.disks and has_tag(disk.tags, rules.disks)
    ]
    if not chosen:
        raise NotFound("no disk has the tag of policy's snapshots.disks", value=rules.disks)
    for disk in chosen:
        _check_scope(disk.id, DISK_ACTIONS)
    # A disk of a snapshot is made only where policy wants snapshots checked.
    in_group = SNAPSHOT_ACTIONS + (CHECK_ACTIONS if rules.check == "weekly" else ())
    for group in sorted({disk.id.partition("/providers/")[0] for disk in chosen}):
        _check_scope(group, in_group)
    return f"snapshots of {len(chosen)} disks may be taken and removed"


def _check_scope(scope: str, actions: Sequence[str]) -> None:
    missing = find_missing_actions(actions, azure.connect_rights().list_grants(scope))
    if missing:
        place = scope.rpartition("/")[2]
        raise Refused(f"no right in Azure to {_list_verbs(missing)}", value=place, hint=_HINT)


def _list_verbs(actions: Sequence[str]) -> str:
    """`virtualMachines/start, snapshots/write`: what can be read on a phone, and found in the role."""
    return ", ".join(dict.fromkeys(_shorten(actions)))


def _shorten(actions: Sequence[str]) -> Iterator[str]:
    for action in actions:
        yield action.partition("/")[2].removesuffix("/action")
