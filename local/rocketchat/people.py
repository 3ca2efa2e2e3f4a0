"""The documents about people and rooms: users, their sessions in use, rooms and subscriptions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from local.rocketchat.dice import ID_SIGNS, Dice, bson_date
from local.rocketchat.text import Speaker
from local.rocketchat.vocabulary import EMOJI
from local.rocketchat.world import DAY, HOUR, MINUTE, TTL_MARGIN, ChatMember, ChatWorld, Document, Room

# Zones with half an hour are doubles in BSON, the others int32: both appear under one field.
OFFSETS: tuple[int | float, ...] = (0, 1, 2, 2, 2, -5, -8, 5.5, 9.5, 8)


def user_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`users`, each with the rooms it is in."""
    dice, speaker = Dice(seed, "users"), Speaker(seed, "users")
    rooms: dict[str, list[Room]] = defaultdict(list)
    for room in world.rooms:
        for member in room.members:
            rooms[member.id].append(room)
    for number, person in enumerate(world.people):
        yield _user_document(dice, speaker, world, number, person, rooms[person.id])


def _user_document(
    dice: Dice, speaker: Speaker, world: ChatWorld, number: int, person: ChatMember, rooms: list[Room]
) -> Document:
    created, last_login = world.start + number * MINUTE, world.now - dice.draw_below(40 * DAY)
    document: Document = {
        "_id": person.id,
        "createdAt": bson_date(created),
        "username": person.username,
        "name": person.name,
        "type": "user" if number else "bot",
        "active": number < 2 or dice.draw_bool(0.95),
        "status": dice.pick_one(("online", "away", "busy", "offline", "offline")),
        "roles": ["bot"] if number == 0 else ["user", "admin"] if number == 1 else ["user"],
        "utcOffset": dice.pick_one(OFFSETS),
        "__rooms": [room.id for room in rooms],
        "_updatedAt": bson_date(last_login),
        "federated": False,
    }
    # rocket.cat, which each server makes for itself: no address, no password, no services.
    if number == 0:
        return document
    named = [room for room in rooms if room.kind in "cp"]
    address = f"{person.username}@corp.example"
    return document | {
        "emails": [{"address": address, "verified": dice.draw_bool(0.9)}],
        "services": _user_services(dice, created, last_login),
        "lastLogin": bson_date(last_login),
        "statusConnection": "offline",
        "statusText": dice.pick_one(("", "", speaker.words(3), dice.pick_one(EMOJI))),
        "statusDefault": "online",
        "avatarETag": dice.make_id(),
        "avatarOrigin": "upload",
        "language": dice.pick_one(("en", "de", "pt-BR", "")),
        "requirePasswordChange": False,
        "roomRolePriorities": {room.id: dice.pick_one((500, 1000, 2000, 10000)) for room in named},
        "settings": {"preferences": _user_preferences(dice)},
        # Names that people choose: beyond ASCII, and with null for what was never filled in.
        "customFields": {"Abteilung": speaker.words(1), "floor": str(dice.draw_below(9)), "größe": None},
    }


def _user_services(dice: Dice, created: int, last_login: int) -> Document:
    signs = "./" + ID_SIGNS
    salted = "".join(dice.pick_one(signs) for _ in range(53))
    tokens: list[Document] = [
        {
            "when": bson_date(last_login - age * DAY),
            "hashedToken": dice.make_object_id() + dice.make_object_id(),
            "twoFactorAuthorizedHash": None,
        }
        for age in range(dice.draw_between(1, 6))
    ]
    tokens.append(
        {
            "type": "personalAccessToken",
            "name": "ci",
            "hashedToken": dice.make_object_id(),
            "createdAt": bson_date(created),
        }
    )
    return {
        "password": {"bcrypt": f"$2b$10${salted}", "reset": {"reason": "enroll"}},
        "email2fa": {"enabled": True, "changedAt": bson_date(created)},
        "resume": {"loginTokens": tokens},
        "email": {"verificationTokens": []},
        "oauth_corp": {
            "id": dice.make_object_id(),
            # The driver of Node.js writes whole numbers beyond 32 bits as doubles.
            "expiresAt": float(last_login + DAY),
            "scope": ["openid", "email"],
        },
    }


def _user_preferences(dice: Dice) -> Document:
    return {
        "enableAutoAway": True,
        "idleTimeLimit": 300,
        "emailNotificationMode": dice.pick_one(("mentions", "nothing")),
        "sidebarViewMode": dice.pick_one(("medium", "condensed", "extended")),
        "highlights": [],
        "desktopNotifications": "default",
        # Spelt so by Rocket.Chat itself.
        "themeAppearence": dice.pick_one(("auto", "dark", "light")),
        "muteFocusedConversations": True,
        "notificationsSoundVolume": dice.draw_between(0, 100),
    }


def users_sessions(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`usersSessions`: the connections of whoever is online, in documents without `_updatedAt`."""
    dice = Dice(seed, "usersSessions")
    for person in world.people[1:]:
        connections = [
            {
                "id": dice.make_id(),
                "instanceId": world.instance_id,
                "status": dice.pick_one(("online", "away")),
                "_createdAt": bson_date(world.now - dice.draw_below(9 * HOUR)),
                "_updatedAt": bson_date(world.now),
            }
            for _ in range(dice.draw_below(4))
        ]
        yield {"_id": person.id, "connections": connections}


def room_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_room`, to be made after the messages, whose counts and last message it carries."""
    dice, speaker = Dice(seed, "rooms"), Speaker(seed, "rooms")
    for room in world.rooms:
        document: Document = {
            "_id": room.id,
            "t": room.kind,
            "ts": bson_date(room.created),
            "msgs": room.messages,
            "usersCount": len(room.members),
            "_updatedAt": bson_date(max(room.last_at, room.created)),
            "ro": False,
            "sysMes": True,
        }
        if room.last_message is not None:
            document |= {"lm": bson_date(room.last_at), "lastMessage": room.last_message}
        # Direct messages have no name: each side is shown the other's.
        if room.kind == "d":
            document["uids"] = [person.id for person in room.members]
            document["usernames"] = [person.username for person in room.members]
        elif room.kind in "cp":
            document |= _channel_fields(dice, speaker, room)
        else:
            document |= _livechat_fields(dice, speaker, room)
        yield document


def _channel_fields(dice: Dice, speaker: Speaker, room: Room) -> Document:
    document: Document = {
        "name": room.name,
        "fname": room.name.replace("-", " ").title(),
        "u": room.members[0].u,
        "default": room.id == "GENERAL",
        "broadcast": False,
        "encrypted": room.kind == "p" and dice.draw_bool(0.2),
        "topic": speaker.sentence(),
        "announcement": "",
        "description": speaker.words(6),
        "retention": {"enabled": dice.draw_bool(0.1), "overrideGlobal": False, "maxAge": 30},
    }
    if dice.draw_bool(0.1):
        document["prid"] = "GENERAL"
    if dice.draw_bool(0.2):
        document |= {"teamId": dice.make_object_id(), "teamMain": True}
    return document


def _livechat_fields(dice: Dice, speaker: Speaker, room: Room) -> Document:
    agent = room.members[0]
    return {
        "fname": room.name,
        "open": dice.draw_bool(0.3),
        "departmentId": dice.pick_one(("sales", "support", None)),
        "servedBy": {"_id": agent.id, "username": agent.username, "ts": bson_date(room.created + MINUTE)},
        "v": {
            "_id": dice.make_object_id(),
            "username": f"guest-{dice.draw_below(10_000)}",
            "token": dice.make_object_id(),
            "status": "offline",
        },
        "source": {"type": "widget", "destination": "site.example"},
        "metrics": {"response": {"avg": dice.random() * 90, "total": dice.draw_below(20)}},
        "livechatData": {"order.number": str(dice.draw_below(100_000)), "remark": speaker.sentence()},
        "waitingResponse": dice.draw_bool(0.5),
    }


def subscription_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_subscription`: one for each member of each room."""
    dice = Dice(seed, "subscriptions")
    for room in world.rooms:
        for person in room.members:
            yield _subscription_document(dice, world, room, person)


def _subscription_document(dice: Dice, world: ChatWorld, room: Room, person: ChatMember) -> Document:
    unread = dice.draw_below(12) if dice.draw_bool(0.3) else 0
    last_read = bson_date(max(room.created, min(room.last_at, world.now) - dice.draw_below(3 * DAY)))
    name = room.name or next(
        (other.username for other in room.members if other is not person), person.username
    )
    document: dict[str, Any] = {
        "_id": dice.make_id(),
        "rid": room.id,
        "u": person.u,
        "t": room.kind,
        "name": name,
        "fname": name,
        "open": dice.draw_bool(0.8),
        "alert": unread > 0,
        "unread": unread,
        "userMentions": unread // 4,
        "groupMentions": 0,
        "ts": bson_date(room.created),
        "ls": last_read,
        "lr": last_read,
        "_updatedAt": last_read,
        "f": dice.draw_bool(0.05),
        "roles": ["owner"] if person is room.members[0] else [],
    }
    if room.kind == "p" and dice.draw_bool(0.15):
        document["E2EKey"] = dice.make_id() * 20
    if dice.draw_bool(0.1):
        document["tunread"] = [dice.make_id() for _ in range(dice.draw_between(1, 4))]
    if dice.draw_bool(0.05):
        document["userHighlights"] = ["deploy", "größe"]
    return document


def instance_documents(world: ChatWorld) -> Iterator[Document]:
    """`instances`: the one process of a server that never reports; a writer adds its own, which expires."""
    information = {
        "host": "10.1.0.4",
        "port": "3000",
        "os": {"type": "Linux", "totalmem": 16765456384.0},
        "nodeVersion": "v22.16.0",
        "conns": 0,
    }
    yield {
        "_id": world.instance_id,
        "name": "rocket.chat",
        "pid": 1,
        "_createdAt": bson_date(world.now - DAY),
        "_updatedAt": bson_date(world.now + TTL_MARGIN),
        "extraInformation": information,
    }
