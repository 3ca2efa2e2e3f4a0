"""What the actions share: the database, who is there, and which messages are young enough to change."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from local.rocketchat.dice import Dice
from local.rocketchat.messages import Messenger
from local.rocketchat.world import ChatMember, ChatWorld, Document, Room
from shared.kernel.errors import UsageError

_KNOWN_ROOMS, _KNOWN_PEOPLE, _KNOWN_MESSAGES = 200, 300, 300


@dataclass
class Live:
    """A running server's view of the database."""

    client: MongoClient[Document]
    database: Database[Document]
    dice: Dice
    messenger: Messenger
    world: ChatWorld
    instance_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    recent: deque[tuple[str, Room]] = field(default_factory=lambda: deque(maxlen=_KNOWN_MESSAGES))
    scratch: int = 0

    def __getitem__(self, name: str) -> Collection[Document]:
        return self.database[name]

    @property
    def messages(self) -> Collection[Document]:
        """The collection of messages."""
        return self.database["rocketchat_message"]

    @property
    def speaker(self) -> Any:
        """Whoever makes sentences."""
        return self.messenger.speaker

    def person(self) -> ChatMember:
        """Anybody."""
        return self.dice.pick_one(self.world.people)

    def room(self) -> Room:
        """A room with somebody in it."""
        return self.dice.pick_one(self.world.rooms)

    def some_message(self) -> tuple[str, Room]:
        """The id and the room of a message that was there a short while ago."""
        return self.dice.pick_one(self.recent)


def current_time() -> datetime:
    """The clock: what a live server writes carries real time."""
    return datetime.now(UTC)


def now_ms() -> int:
    """The same in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def load_state(client: MongoClient[Document], database: str, seed: int) -> Live:
    """Learn who and what is in the database.

    What is done and to whom follows from `seed`; ids and times are new in every run, as two runs on one
    database must not collide. Raises `UsageError` if there are no rooms with members or no messages.
    """
    target = client[database]
    members: dict[str, list[ChatMember]] = defaultdict(list)
    for row in target["rocketchat_subscription"].find({}, {"rid": 1, "u": 1}).limit(20 * _KNOWN_ROOMS):
        stamp = row["u"]
        members[row["rid"]].append(ChatMember(stamp["_id"], stamp["username"], stamp.get("name", ""), stamp))
    ids = list(members)[:_KNOWN_ROOMS]
    rooms = [
        Room(row["_id"], row["t"], row.get("name", ""), members[row["_id"]], 0)
        for row in target["rocketchat_room"].find({"_id": {"$in": ids}}, {"t": 1, "name": 1})
    ]
    by_id = {room.id: room for room in rooms}
    everybody = {person.id: person for room in rooms for person in room.members}
    world = ChatWorld(seed, now_ms(), list(everybody.values())[:_KNOWN_PEOPLE], rooms)
    messenger = Messenger(world, seed, f"writer:{time.time_ns()}") if rooms else None
    cursor = target["rocketchat_message"].find({"rid": {"$in": ids}}, {"rid": 1}).limit(_KNOWN_MESSAGES)
    recent = [(row["_id"], by_id[row["rid"]]) for row in cursor if row["rid"] in by_id]
    if messenger is None or not recent:
        raise UsageError(
            "No Rocket.Chat to write to", value=database, hint="Seed it first: local.rocketchat.seed"
        )
    live = Live(client, target, Dice(seed, "writer"), messenger, world)
    live.recent.extend(recent)
    return live
