"""Who is there and where they talk: the people, rooms and uploads that all collections refer to."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.rocketchat.dice import Dice
from local.rocketchat.text import Speaker

Document = dict[str, Any]

NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
"""The default moment of the made-up database; no generator reads a clock."""

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
TTL_MARGIN = 20 * 365 * DAY
"""How far ahead of `now` every field lies that a TTL index watches.

A seeded row therefore outlives any test, whatever the real date is, and the same seed gives the same bytes on
every day. Only rows the writer adds or refreshes expire as in a live server.
"""


@dataclass(slots=True)
class ChatMember:
    """A user; `u` is the stamp that messages and rooms carry, shared between documents."""

    id: str
    username: str
    name: str
    u: Document


@dataclass(slots=True)
class Upload:
    """A file somebody has sent to a room."""

    id: str
    name: str
    type: str
    size_bytes: int
    room: Room
    person: ChatMember
    at: int


@dataclass(slots=True)
class Room:
    """A room with what its messages add up to, for the room's and the subscriptions' documents."""

    id: str
    kind: str  # c, p, d, l or v
    name: str
    members: list[ChatMember]
    created: int
    messages: int = 0
    last_at: int = 0
    last_message: Document | None = None


@dataclass(slots=True)
class ChatWorld:
    """All that documents of different collections must agree on."""

    seed: int
    now: int  # milliseconds since 1970
    people: list[ChatMember]
    rooms: list[Room]
    uploads: list[Upload] = field(default_factory=list)
    instance_id: str = ""

    @property
    def start(self) -> int:
        """When the server was set up."""
        return self.now - 400 * DAY


def build_world(seed: int, users: int, now: datetime = NOW) -> ChatWorld:
    """People and rooms of a server with that many users; the first is `rocket.cat`, the second the admin."""
    dice, speaker = Dice(seed, "world"), Speaker(seed, "world")
    milliseconds = int(now.timestamp()) * 1000
    people = [_make_person(dice, speaker, number) for number in range(users)]
    world = ChatWorld(seed, milliseconds, people, [])
    world.instance_id = str(uuid.UUID(bytes=dice.bytes(16), version=4))
    channels = max(3, users * 2 // 3)
    for number in range(channels):
        world.rooms.append(_make_channel(dice, speaker, world, number))
    pairs = {tuple(sorted(dice.pick_some(range(users), 2))) for _ in range(users * 4)}
    for first, second in sorted(pairs):
        world.rooms.append(_make_direct(dice, world, people[first], people[second]))
    for number in range(max(2, users // 8)):
        world.rooms.append(_make_livechat(dice, speaker, world, "lv"[number % 2]))
    return world


def _make_person(dice: Dice, speaker: Speaker, number: int) -> ChatMember:
    if number == 0:
        return _stamp_person("rocket.cat", "rocket.cat", "Rocket.Cat")
    name = "Administrator" if number == 1 else speaker.name()
    # Usernames are unique regardless of case (`username_insensitive`), hence the number.
    username = "admin" if number == 1 else f"{speaker.words(1).lower().replace(chr(39), '')}.{number}"
    return _stamp_person(dice.make_id(), username, name)


def _stamp_person(user_id: str, username: str, name: str) -> ChatMember:
    return ChatMember(user_id, username, name, {"_id": user_id, "username": username, "name": name})


def _make_channel(dice: Dice, speaker: Speaker, world: ChatWorld, number: int) -> Room:
    if number == 0:
        return Room("GENERAL", "c", "general", list(world.people), world.start)
    members = dice.pick_some(world.people[1:], dice.lognormal(9, 0.8, low=2, high=400))
    kind = "c" if dice.draw_bool(0.45) else "p"
    created = world.start + dice.draw_below(300) * DAY
    return Room(dice.make_id(), kind, f"{speaker.slug()}-{number}", members, created)


def _make_direct(dice: Dice, world: ChatWorld, one: ChatMember, other: ChatMember) -> Room:
    # A direct room's id is both user ids in order, without a separator.
    room_id = "".join(sorted((one.id, other.id)))
    return Room(room_id, "d", "", [one, other], world.start + dice.draw_below(390) * DAY)


def _make_livechat(dice: Dice, speaker: Speaker, world: ChatWorld, kind: str) -> Room:
    agents = dice.pick_some(world.people[1:], 1)
    return Room(dice.make_id(), kind, speaker.name(), agents, world.start + dice.draw_below(390) * DAY)
