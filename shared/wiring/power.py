"""The wiring of power and of the page that wakes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import all_or_nothing, parse_setting, read_environment
from shared.wiring import azure, load_policy, open_state, system_clock
from shared.wiring.inventory import build_inventory
from shared.wiring.notifications import build_notifier
from shared.wiring.pages import page_access

if TYPE_CHECKING:
    from shared.health.ports import Probe
    from shared.power.deps import PowerDeps
    from shared.power.wake import WakeDeps


def is_enabled() -> bool:
    """Whether policy names machines, or tagged ones may be found. Raises UsageError."""
    return bool(load_policy().power.machines) or azure.is_configured()


def run_tick() -> str:
    """What `power_tick` does; nothing where no machine is named. Raises UsageError."""
    from shared.power.last_tick import describe_tick, run_recorded_tick

    # Recorded: the status page, alerts and notifications tell by this record what is off on purpose.
    return describe_tick(run_recorded_tick(power_deps())) if is_enabled() else "policy names no machine"


@cache
def power_deps() -> PowerDeps:
    """All that power needs. Raises UsageError with every bad setting."""
    from shared.power.deps import PowerDeps

    read = all_or_nothing(inventory=build_inventory, notifications=build_notifier, probes=health_probes)
    # AKS has no guest to run `microk8s stop` in: its nodes are drained by the service.
    guests = azure.connect_machines() if "vm" in read["inventory"].switches else None
    disks = azure.connect_disks() if guests and load_policy().power.refresh_windows else None
    return PowerDeps(
        guests=guests, disks=disks, begin_backup=_begin_backup, capture_oplog=_capture_oplog,
        run_probes=_run_probes, **read,
    )  # fmt: skip


def health_probes() -> tuple[Probe, ...]:
    """How to see whether the server is well: its nodes and Rocket.Chat's own answer, as far as it is set."""
    env = read_environment()
    probes: list[Probe] = []
    if env.get(definitions.KUBECONFIG):
        from shared.health.node_probe import NodeHealth
        from shared.wiring.kubernetes import connect_cluster

        probes.append(NodeHealth(connect_cluster()))
    if url := env.get(definitions.CHAT):
        from shared.adapters.chat_probe.health import connect_health

        probes.append(parse_setting(definitions.CHAT, connect_health, url))
    return tuple(probes)


@cache
def wake_deps() -> WakeDeps:
    """What the wake page needs."""
    from shared.power import job
    from shared.power.last_tick import run_recorded_tick
    from shared.power.wake import WakeDeps

    return WakeDeps(
        survey=lambda: job.preview_tick(power_deps()),
        # Late, so that the page is served (and says what is wrong) where power's settings are broken.
        order=lambda machine, text, by: job.place_order(power_deps(), machine, text, by=by),
        tick=lambda: run_recorded_tick(power_deps()),
        state=open_state(),
        clock=system_clock(),
        zone=ZoneInfo(load_policy().timezone),
        probe=lambda: [probe.check() for probe in power_deps().probes],
        access=page_access(),
    )


def _capture_oplog() -> str:
    """A stop does not wait for settings of the capture to be corrected."""
    from shared.wiring.pitr import capture_around_stop

    try:
        return capture_around_stop() or "not captured by policy"
    except UsageError as error:
        return f"not captured: {error}"


def _run_probes() -> str:
    from shared.wiring.probes import run_for_start

    return run_for_start()


def _begin_backup() -> str:
    from shared.backup import job
    from shared.wiring.backup import backup_deps

    # As the timer does it, with its own decision whether one is due: a stop never makes a second one.
    return job.run_nightly(backup_deps())
