"""A fleet in memory under a clock that stands still: machines, state, people, a server, a backup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest

from local.fakes.activity import MemoryActivityLog
from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.compute import MemoryMachines
from local.fakes.disks import MemoryDisks
from local.fakes.faults import FaultPlan, with_faults
from local.fakes.health import SwitchedHealth
from local.fakes.notifications import MemoryNotifications
from shared.backup.catalogue import SetCatalogue
from shared.cloud.machines import CommandResult, MachineState, PowerState
from shared.policy import Policy, days_off, parse_policy
from shared.power import job as power
from shared.power.deps import PowerDeps
from shared.power.guest import CHECK_MARK, HOLD_MARK, REFRESH_MARK, STOP_MARK, WATCH_MARK
from shared.power.inventory import Inventory
from shared.power.reconcile import TickResult
from shared.power.records import PowerRecord
from tests.support.signed_sets import catalogue_of, put_sealed

CLEAN_STOP = "groundcrew:stop_exit=0\ngroundcrew:containers=0\ngroundcrew:kernel=6.8.0\n"
BERLIN = ZoneInfo("Europe/Berlin")
TICK = timedelta(minutes=5)
POLICY = """
timezone: Europe/Berlin
backup: {when_vm_off: WHEN}
power:
  machines:
    - name: rocketchat
      windows: [Mon-Fri 07:00-19:00]
      alternatives: [Standard_D4as_v5]
"""


def berlin(clock: str, day: int = 2) -> datetime:
    """A time on Berlin's clock on a day of March 2026; the 2nd is a Monday."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 3, day, hour, minute, tzinfo=BERLIN).astimezone(UTC)


_load = lru_cache(parse_policy)  # worlds are made by the hundred


@dataclass
class World:
    """Everything outside of the job; `job(plan)` is the job with faults in all it touches."""

    policy_text: str = POLICY.replace("WHEN", "skip")
    clock: ManualClock = field(default_factory=lambda: ManualClock(berlin("6:50")))

    def __post_init__(self) -> None:
        self.captured_after: list[list[str]] = []
        self.probed = 0
        self.policy: Policy = _load(self.policy_text)
        self.machines = MemoryMachines(self.clock)
        self.machines.start_takes = self.machines.stop_takes = timedelta(minutes=2)
        self.state, self.backups = MemoryBlobs(self.clock), MemoryBlobs(self.clock)
        self.notifications = MemoryNotifications(self.clock)
        self.health = SwitchedHealth(self.serves)
        self.activity = MemoryActivityLog(self.clock)
        self.scripts: list[str] = []
        self.services, self.stopped_at = True, self.clock.now()  # MicroK8s in the guest
        self.checks, self.check_says, self.start_says = 0, "", ""  # of the guest, and what it answers
        self.snap_scripts: list[str] = []  # what was asked of snapd, and what it answers
        self.snap_says = {
            HOLD_MARK: "groundcrew:refreshes=held\ngroundcrew:snap=7001\n",
            REFRESH_MARK: "groundcrew:refresh=begun\ngroundcrew:change=42\ngroundcrew:snap=7001\n",
            WATCH_MARK: "groundcrew:change_status=Done\ngroundcrew:ready=yes\ngroundcrew:snap=7002\n",
        }
        self.disks = MemoryDisks(self.clock)
        self.asked_for_backup = 0
        self.seals_at_once = True
        self.machines.on_command = self._guest

    def add(self, power_state: PowerState = PowerState.DEALLOCATED, name: str = "rocketchat") -> str:
        self.id = self.machines.add(name, power=power_state, tags={"groundcrew": "chat"})
        return self.id

    def serves(self) -> bool:
        """The services come up with the machine, and stay down when they were stopped since."""
        return self.power is PowerState.RUNNING and (self.services or self.since > self.stopped_at)

    def _guest(self, _machine: str, script: str) -> CommandResult:
        if script.startswith(CHECK_MARK):
            self.checks += 1
            return CommandResult(self.check_says, "", 0)
        for mark, answer in self.snap_says.items():
            if script.startswith(mark):
                self.snap_scripts.append(mark.rpartition(" ")[2])
                return CommandResult(answer, "", 0)
        stops = script.startswith(STOP_MARK)
        self.scripts.append("stop" if stops else "start")
        self.services, self.stopped_at = not stops, self.clock.now()
        return CommandResult(CLEAN_STOP if stops else self.start_says, "", 0)

    def begin_backup(self) -> str:
        self.asked_for_backup += 1
        if self.seals_at_once:
            self.seal(self.clock.now())
        return "began sets/daily/…"

    def capture_oplog(self) -> str:
        """The last slice before a stop, which notes what the guest had been asked to do by then."""
        self.captured_after.append(list(self.scripts))
        return "captured 3 entries"

    def run_probes(self) -> str:
        """As people would look at the chat; it is counted."""
        self.probed += 1
        return "6 probes ok"

    def seal(self, begun: datetime) -> None:
        """A set that was begun then and is sealed now."""
        put_sealed(self.backups, begun)

    def truth(self) -> MachineState:
        """What it is doing, whatever the views show; costs no call."""
        lag, self.machines.lag = self.machines.lag, timedelta()
        before = self.machines.calls.copy()
        state = self.machines.get_state(self.id)
        self.machines.lag, self.machines.calls = lag, before
        return state

    @property
    def power(self) -> PowerState:
        return self.truth().power

    @property
    def since(self) -> datetime:
        since = self.truth().since
        assert since is not None
        return since

    def job(self, plan: FaultPlan | None = None, *, with_backups: bool = True) -> PowerDeps:
        plan = plan or FaultPlan()
        machines = with_faults(self.machines, plan, "machines")
        inventory = Inventory(
            {"vm": machines},
            with_faults(self.state, plan, "state"),
            self.clock,
            self.policy,
            days_off(self.policy.power),
            self._catalogue(plan) if with_backups else None,
            datetime(2026, 1, 1, 1, 0, tzinfo=UTC).time(),
            with_faults(self.activity, plan, "activity"),
        )
        notifications = with_faults(self.notifications, plan, "notifications")
        probe = with_faults(self.health, plan, "health")
        doubles = with_faults(self, plan, "self")
        return PowerDeps(
            inventory, machines, notifications, [probe], doubles.begin_backup, doubles.capture_oplog,
            with_faults(self.disks, plan, "disks"), doubles.run_probes,
        )  # fmt: skip

    def _catalogue(self, plan: FaultPlan) -> SetCatalogue:
        return catalogue_of(with_faults(self.backups, plan, "backups"), self.state, self.clock)

    def tick(self, plan: FaultPlan | None = None) -> TickResult:
        (outcome,) = power.run_tick(self.job(plan))
        return outcome

    def ticks(self, until: datetime) -> Iterator[tuple[datetime, TickResult]]:
        """Tick every five minutes until then, both ends included."""
        while True:
            yield self.clock.now(), self.tick()
            if self.clock.now() >= until:
                return
            self.clock.advance(TICK)

    def run(self, until: datetime) -> list[TickResult]:
        return [outcome for _, outcome in self.ticks(until)]

    def die(self) -> None:
        """The process is gone: its leases end."""
        self.state.holders_died()
        self.clock.advance(timedelta(minutes=1))

    @property
    def record(self) -> PowerRecord:
        return self.job().inventory.records.load("rocketchat")


@pytest.fixture
def world() -> World:
    made = World()
    made.seal(berlin("2:00"))
    return made


@pytest.fixture
def make_world() -> type[World]:
    return World


@pytest.fixture
def at() -> Callable[..., datetime]:
    return berlin
