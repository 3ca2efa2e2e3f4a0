"""Who may use which command in which room: what a rule of the policy allows, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from shared.chatops.model import AllowRule
from shared.records.people import KnownPerson


def find_permitted(rules: Sequence[AllowRule], person: KnownPerson, room: str) -> frozenset[str]:
    """The commands that the person may use in the room; `help` comes with any of them."""
    # Rules only add up: none takes away what another one allows.
    permitted = {
        command
        for rule in rules
        if room in rule.rooms and any(person.is_called(subject) for subject in rule.who)
        for command in rule.commands
    }
    return frozenset(permitted | {"help"}) if permitted else frozenset()


def find_permitted_anywhere(rules: Sequence[AllowRule], person: KnownPerson) -> frozenset[str]:
    """The commands that the person may use in some room."""
    rooms = {room for rule in rules for room in rule.rooms}
    return frozenset().union(*(find_permitted(rules, person, room) for room in rooms))


def find_refusal(rules: Sequence[AllowRule], person: KnownPerson, room: str, command: str) -> str:
    """Why the person may not use the command there; empty if they may."""
    permitted = find_permitted(rules, person, room)
    if command in permitted:
        return ""
    if not permitted:
        return f"chat.rules in policy.yaml allow {person.id} nothing in {room}"
    return f"chat.rules in policy.yaml do not allow {person.id} {command} in {room}"
