"""The order of start and stop among machines: `after` in policy. Pure.

A machine starts when those that it comes after run, and stops when those that come after it are off. One that
cannot be started or stopped keeps the others from nothing: it is told of, and they go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.power.attempts import Act
from shared.power.model import PowerDecision, PowerStatus

_OFF = (PowerStatus.DEALLOCATED, PowerStatus.STOPPED, PowerStatus.MISSING)


@dataclass(frozen=True, slots=True)
class SequencedMachine:
    """What the order among machines depends on. `label` is policy's name of it, `after` those of others."""

    key: str
    label: str
    after: tuple[str, ...]
    state: PowerStatus
    decision: PowerDecision


def find_waits(machines: Iterable[SequencedMachine]) -> Mapping[str, str]:
    """By key, why a machine that is to start or stop now waits for another; only of those that do."""
    known = list(machines)
    waits: dict[str, str] = {}
    for machine in known:
        # Only the next step waits: what runs already is not stopped because something below it went off.
        if machine.decision.act is Act.START:
            before = {name.lower() for name in machine.after}
            others = [one for one in known if one.label.lower() in before and _is_coming_up(one)]
            if others:
                waits[machine.key] = f"waiting until {_list_keys(others)} runs"
        elif machine.decision.act is Act.STOP:
            others = [one for one in known if _comes_after(one, machine) and _is_going_off(one)]
            if others:
                waits[machine.key] = f"waiting until {_list_keys(others)} is off"
    return waits


def _comes_after(one: SequencedMachine, other: SequencedMachine) -> bool:
    return other.label.lower() in {name.lower() for name in one.after}


def _is_coming_up(machine: SequencedMachine) -> bool:
    """Whether it is to run, does not yet, and may still: what a person stopped or Azure refuses may not."""
    coming = machine.decision.act in (Act.START, Act.WAIT) or machine.state is PowerStatus.STARTING
    up = machine.state is PowerStatus.RUNNING
    return machine.decision.desired_up and coming and not up and not machine.decision.alarm


def _is_going_off(machine: SequencedMachine) -> bool:
    # One that stays up needs what it comes after; only one that cannot be stopped is not waited for.
    return machine.state not in _OFF and not machine.decision.alarm


def _list_keys(machines: list[SequencedMachine]) -> str:
    return ", ".join(machine.key for machine in machines)
