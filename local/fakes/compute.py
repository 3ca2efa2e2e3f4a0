"""Machines in memory, under a test's clock: quick enough for a simulated year."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from local.fakes.clock import ManualClock
from local.fakes.disks import resource_id
from shared.cloud.machines import CommandResult, Machine, MachineState, NodePool, PowerState
from shared.kernel.errors import Conflict, NotFound, Refused, Unavailable
from shared.kernel.ports import Clock

# How long a script that hangs keeps other operations than a stop away, as the stand-in of Azure does.
SCRIPT_LIMIT = timedelta(minutes=90)

_STARTS, _STOPS = PowerState.STARTING, PowerState.DEALLOCATING


@dataclass
class _Kept:
    """A machine, and the states it was in, each from a moment on."""

    machine: Machine
    history: list[tuple[datetime, PowerState, str]] = field(default_factory=list)
    script_until: datetime | None = None  # a script hangs in the guest until then


class MemoryMachines:
    """`Machines` for tests, safe for threads.

    A start ends `start_takes` after its call, a stop `stop_takes`; views show what was `lag` ago. `calls`
    counts what a cloud would be asked. `fail_start` lets the next starts end in a failure.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ManualClock()
        self._lock = threading.RLock()
        self._kept: dict[str, _Kept] = {}
        self._failures: list[str] = []
        self.start_takes = self.stop_takes = self.lag = timedelta()
        self.calls: Counter[str] = Counter()
        self.on_command: Callable[[str, str], CommandResult] = lambda _id, _script: CommandResult("", "", 0)

    def add(
        self,
        name: str,
        *,
        group: str = "rocketchat",
        size: str = "Standard_D4ads_v5",
        power: PowerState = PowerState.RUNNING,
        tags: Mapping[str, str] | None = None,
        location: str = "westeurope",
    ) -> str:
        """Put a machine in place and return its id."""
        identity = resource_id("virtualmachines", name, group)
        machine = Machine(identity, name, group, location, size, dict(tags or {}))
        with self._lock:
            self._kept[identity] = _Kept(machine, [(self._clock.now(), power, "")])
        return identity

    def remove(self, machine_id: str) -> None:
        """Somebody deleted it."""
        with self._lock:
            del self._kept[machine_id.lower()]

    def set_tags(self, machine_id: str, tags: Mapping[str, str]) -> None:
        """Somebody changed its tags."""
        with self._lock:
            entry = self._get(machine_id)
            entry.machine = replace(entry.machine, tags=dict(tags))

    def set_pools(self, machine_id: str, pools: tuple[NodePool, ...]) -> None:
        """It is a cluster of such nodes."""
        with self._lock:
            kept = self._get(machine_id)
            kept.machine = replace(kept.machine, pools=pools)

    def set_power(self, machine_id: str, power: PowerState) -> None:
        """It changed by itself: a shutdown from inside, an eviction."""
        with self._lock:
            self._get(machine_id).history.append((self._clock.now(), power, ""))

    def history(self, machine_id: str) -> Sequence[tuple[datetime, PowerState]]:
        """The states it was in, each from a moment on, those to come included; costs no call."""
        with self._lock:
            return [(at, power) for at, power, _ in self._get(machine_id).history]

    def fail_start(self, code: str = "AllocationFailed", *, times: int = 1) -> None:
        """Let the next starts fail at their end."""
        with self._lock:
            self._failures.extend([code] * times)

    def list(self) -> list[Machine]:
        """See `PowerSwitch.list`."""
        with self._lock:
            self.calls["list"] += 1
            return [self._kept[identity].machine for identity in sorted(self._kept)]

    def list_states(self) -> Mapping[str, MachineState]:
        """See `PowerSwitch.list_states`."""
        with self._lock:
            self.calls["states"] += 1
            return {identity: self._visible_state(identity, self.lag) for identity in sorted(self._kept)}

    def get_state(self, machine_id: str) -> MachineState:
        """See `PowerSwitch.get_state`."""
        with self._lock:
            self.calls["state"] += 1
            return self._visible_state(machine_id, self.lag)

    def begin_start(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_start`."""
        with self._lock:
            self.calls["begin_start"] += 1
            self._begin_move(machine_id, _STARTS, PowerState.RUNNING, self.start_takes)

    def begin_deallocate(self, machine_id: str) -> None:
        """See `PowerSwitch.begin_deallocate`."""
        with self._lock:
            self.calls["begin_deallocate"] += 1
            self._begin_move(machine_id, _STOPS, PowerState.DEALLOCATED, self.stop_takes)

    def run_command(self, machine_id: str, script: str, *, timeout: timedelta) -> CommandResult:
        """See `Machines.run_command`; `on_command` answers, or raises TimeoutError for one that hangs."""
        with self._lock:
            self.calls["run_command"] += 1
            state = self._visible_state(machine_id, timedelta())
            entry, now = self._get(machine_id), self._clock.now()
        if state.power is not PowerState.RUNNING:
            raise Refused("Run a command: the machine is not running", value=state.power.value)
        if entry.script_until is not None and now < entry.script_until:
            raise Conflict("Run a command: busy", value="Conflict")
        try:
            return self.on_command(machine_id.lower(), script)
        except TimeoutError as error:
            entry.script_until = now + SCRIPT_LIMIT
            raise Unavailable("Run a command: no end in sight", value=str(timeout)) from error

    def _get(self, machine_id: str) -> _Kept:
        entry = self._kept.get(machine_id.lower())
        if entry is None:
            raise NotFound("Virtual machine", value=machine_id)
        return entry

    def _visible_state(self, machine_id: str, lag: timedelta) -> MachineState:
        kept, until = self._get(machine_id), self._clock.now() - lag
        past = [entry for entry in kept.history if entry[0] <= until] or kept.history[:1]
        since, power, failure = past[-1]
        return MachineState(kept.machine.id, power, power in (_STARTS, _STOPS), failure, failure, since)

    def _begin_move(self, machine_id: str, meanwhile: PowerState, goal: PowerState, takes: timedelta) -> None:
        now, kept = self._clock.now(), self._get(machine_id)
        before = self._visible_state(machine_id, timedelta())
        if meanwhile is _STOPS:
            kept.script_until = None  # a stop preempts a script that hangs
        scripted = kept.script_until is not None and now < kept.script_until
        if before.busy or scripted:
            raise Conflict(f"{kept.machine.name}: busy", value="Conflict")
        if before.power is goal:  # nothing to do is a success too, and the last failure is forgotten
            kept.history.append((now, goal, ""))
            return
        failure = self._failures.pop(0) if meanwhile is _STARTS and self._failures else ""
        kept.history[:] = [entry for entry in kept.history if entry[0] <= now]
        ended = (now + takes, before.power if failure else goal, failure)
        kept.history += [(now, meanwhile, ""), ended]
