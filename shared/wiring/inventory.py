"""The wiring of the inventory of machines: which exist, and what is to be done about them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.settings.environment import all_or_nothing, timer_schedule
from shared.settings.intervals import daily_time
from shared.wiring import azure, load_policy, open_state, system_clock
from shared.wiring.backup import catalogue_if_trusted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.cloud.machines import PowerSwitch
    from shared.power.inventory import Inventory


@cache
def build_inventory(*, asks: bool = True) -> Inventory:
    """What power sees; only the kinds of machine that policy names are asked for.

    Without `asks` it knows policy and orders only, and asks neither Azure nor the storage of backups.
    """
    from shared.policy import days_off
    from shared.power.inventory import Inventory

    read = all_or_nothing(
        switches=_power_switches if asks else dict,
        activity=azure.connect_activity_log if asks else _nothing,
        state=open_state,
        policy=load_policy,
        # Signatures and formats are a third of all imports, and a plan reads no backup.
        backups=catalogue_if_trusted if asks else _nothing,
    )
    at = daily_time(timer_schedule("nightly_backup"))
    # Two of them are cached, with and without `asks`: one process may need both.
    return Inventory(clock=system_clock(), day_off=days_off(read["policy"].power), backup_at=at, **read)


def _nothing() -> None:
    return None


def _power_switches() -> Mapping[str, PowerSwitch]:
    # Only what policy names: a role without rights to AKS must not fail the ticks of a virtual machine.
    known = {"vm": azure.connect_machines, "aks": azure.connect_clusters}
    return {kind: known[kind]() for kind in {machine.kind for machine in load_policy().power.machines}}
