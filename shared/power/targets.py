"""The machines that policy names, found among those that there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.cloud.machines import MachineState
from shared.cloud.tags import has_tag
from shared.power.model import PowerStatus

if TYPE_CHECKING:
    from shared.policy import MachinePolicy


@dataclass(frozen=True, slots=True)
class Target:
    """A machine under schedule. `key` names it in state and messages; `id` and `state` if it is there."""

    key: str
    kind: str
    rules: MachinePolicy
    id: str = ""
    state: MachineState | None = None
    problem: str = ""  # why nothing is done about it
    carries: frozenset[str] = frozenset()  # of "mongodb" and "rocketchat"

    def is_called(self, text: str) -> bool:
        """Whether somebody means it by this name, key or id."""
        return text.lower() in (self.key, self.id, (self.rules.name or self.key).lower())

    @property
    def power(self) -> PowerStatus:
        """Its state as core knows it; MISSING if it is not there."""
        return PowerStatus(self.state.power.value) if self.state else PowerStatus.MISSING


def match_targets(
    rules: Iterable[MachinePolicy],
    states: Mapping[str, MachineState],
    tags: Mapping[str, Mapping[str, str]],
) -> Iterator[Target]:
    """Machines in policy's order; one that two entries fit belongs to the first."""
    taken: set[str] = set()
    keys: set[str] = set()
    for rule in rules:
        matching = [
            state for state in states.values() if _matches_rule(rule, state, tags) and state.id not in taken
        ]
        if rule.name and len(matching) != 1:
            # Of two machines of one name, one may be somebody else's.
            problem = "" if not matching else "several machines have this name: set GROUNDCREW_RESOURCE_GROUP"
            yield Target(_unique_key(rule.name, rule.kind, "", keys), rule.kind, rule, problem=problem)
            continue
        for state in sorted(matching, key=lambda one: one.id):
            taken.add(state.id)
            group = state.id.partition("/resourcegroups/")[2].partition("/")[0]
            yield Target(_unique_key(state.name, rule.kind, group, keys), rule.kind, rule, state.id, state)


def _matches_rule(rule: MachinePolicy, state: MachineState, tags: Mapping[str, Mapping[str, str]]) -> bool:
    if rule.name:
        return state.name == rule.name.lower()
    return has_tag(tags.get(state.id, {}), rule.tag or "")


def _unique_key(name: str, kind: str, group: str, keys: set[str]) -> str:
    key = machine_key(name, kind)
    if key in keys and group:
        key = f"{key}.{group}"
    keys.add(key)
    return key


def machine_key(name: str, kind: str) -> str:
    """What state and messages call a machine: its name, and of a cluster its kind too."""
    return name.lower() if kind == "vm" else f"{name.lower()}.{kind}"
