"""What a running server writes down beside the talk: sessions, jobs, webhooks, previews, days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from local.rocketchat.counters import format_iso
from local.rocketchat.dice import Dice, bson_date
from local.rocketchat.text import Speaker
from local.rocketchat.world import DAY, HOUR, MINUTE, SECOND, TTL_MARGIN, ChatWorld, Document

JOBS = (
    "Generate and save statistics",
    "Generate download files for user data",
    "Cleanup OEmbed cache",
    "NPS",
    "User status",
    "livechat-queue",
    "SAML cleanup",
)


def session_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_sessions` without end: ids as strings, and as ObjectIds where a bulk upsert made them."""
    dice = Dice(seed, "sessions")
    agents = ("Chrome", "Firefox", "Electron", "Safari")
    number = 0
    while True:
        number += 1
        person, at = dice.pick_one(world.people), world.now - dice.draw_below(45 * DAY)
        day = datetime.fromtimestamp(at / 1000, UTC)
        yield {
            "_id": ObjectId(dice.bytes(12)) if number % 3 == 0 else dice.make_object_id(),
            "type": "session" if number % 4 else "computed-session",
            "userId": person.id,
            "year": day.year,
            "month": day.month,
            "day": day.day,
            "sessionId": dice.make_id(),
            "instanceId": world.instance_id,
            "mostImportantRole": "user",
            "device": {
                "type": "browser",
                "name": dice.pick_one(agents),
                "longVersion": f"{dice.draw_between(100, 140)}.0.{dice.draw_below(9999)}"
                f".{dice.draw_below(99)}",
                "os": {
                    "name": dice.pick_one(("Windows", "Linux", "Mac OS")),
                    "version": str(dice.draw_between(10, 15)),
                },
            },
            "host": "chat.example",
            "ip": f"203.0.113.{dice.draw_below(256)}",
            "searchTerm": f"{person.username}{person.name}",
            "loginToken": dice.make_object_id(),
            "loginAt": bson_date(at),
            "lastActivityAt": bson_date(at + dice.draw_below(HOUR)),
            "closedAt": bson_date(at + 2 * HOUR),
            "createdAt": bson_date(at),
            "_computedAt": bson_date(at + TTL_MARGIN),
            "_updatedAt": bson_date(at),
        }


def cron_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_cron`: Agenda's rows, whose ids are true ObjectIds."""
    dice = Dice(seed, "cron")
    for number, name in enumerate(JOBS):
        last = world.now - number * MINUTE
        yield {
            "_id": ObjectId(dice.bytes(12)),
            "name": name,
            "type": "single",
            "data": None,
            "priority": 0,
            "repeatInterval": "*/5 * * * *",
            "repeatTimezone": None,
            "lastModifiedBy": None,
            "nextRunAt": bson_date(last + 5 * MINUTE),
            "lockedAt": None,
            "lastRunAt": bson_date(last),
            "lastFinishedAt": bson_date(last + 400),
        }


def cron_history(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_cron_history` without end, going back from now; nothing ever removes a row."""
    dice = Dice(seed, "cron_history")
    at = world.now
    while True:
        at -= MINUTE
        for name in JOBS:
            document: Document = {
                "_id": dice.make_id(),
                "name": name,
                "intendedAt": bson_date(at),
                "startedAt": bson_date(at + dice.draw_below(500)),
                "finishedAt": bson_date(at + 500 + dice.draw_below(9000)),
                "_updatedAt": bson_date(at + 10_000),
            }
            outcome = (
                {"error": "MongoNetworkTimeoutError: connection 7 timed out"} if dice.draw_bool(0.01) else {}
            )
            yield document | outcome


def integration_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_integrations`: the webhooks of the history."""
    dice = Dice(seed, "integrations")
    for number in range(4):
        yield _integration_document(dice, world, number)


def _integration_document(dice: Dice, world: ChatWorld, number: int) -> Document:
    script = "class Script {\n  process_incoming_request({ request }) {\n    return {};\n  }\n}\n" * 3
    return {
        "_id": f"integration{number:06}"[:17],
        "type": "webhook-outgoing" if number % 2 else "webhook-incoming",
        "name": ("builds", "alerts", "tickets", "deploys")[number],
        "enabled": True,
        "username": "rocket.cat",
        "channel": ["#general"],
        "urls": ["https://hooks.example/in"],
        "token": dice.make_id(),
        "scriptEnabled": True,
        "script": script,
        "scriptCompiled": f"(() => {{{script}}})()",
        "_createdBy": {"_id": world.people[1].id, "username": "admin"},
        "_createdAt": bson_date(world.start),
        "_updatedAt": bson_date(world.start),
    }


def integration_history(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_integration_history` without end: each call with its integration and the answer."""
    dice, speaker = Dice(seed, "integration_history"), Speaker(seed, "integration_history")
    hooks = list(integration_documents(world, seed))
    while True:
        at = world.now - dice.draw_below(30 * DAY)
        items = [
            {"id": dice.draw_below(1_000_000), "key": dice.make_object_id(), "text": speaker.sentence()}
            for _ in range(dice.lognormal(6, 1.2, low=1, high=3000))
        ]
        yield {
            "_id": dice.make_id(),
            "type": "outgoing-webhook",
            "step": "after-process-false-result",
            "integration": dice.pick_one(hooks),
            "event": "sendMessage",
            "data": {"room": {"_id": dice.pick_one(world.rooms).id}, "items": items},
            "url": "https://hooks.example/in",
            "httpCallData": {"token": dice.make_object_id(), "headers": {"content-type": "application/json"}},
            "httpError": None,
            "httpResult": f'{{"ok":true,"answer":"{speaker.paragraph(3)}"}}',
            "finished": True,
            "error": False,
            "_createdAt": bson_date(at),
            "_updatedAt": bson_date(at + TTL_MARGIN),
        }


def oembed_cache(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_oembed_cache` without end: ids are URLs; one is longer than most software expects."""
    dice, speaker = Dice(seed, "oembed_cache"), Speaker(seed, "oembed_cache")
    number = 0
    while True:
        url = f"https://{speaker.slug(1)}.example/{speaker.slug(4)}/{dice.make_object_id()}?q=ü&page={number}#a.b$c"
        if number == 1:
            url += "&long=" + dice.make_id() * 100
        number += 1
        at = bson_date(world.now - dice.draw_below(60 * DAY))
        yield {"_id": url, "data": _preview_document(dice, speaker), "updatedAt": at, "_updatedAt": at}


def _preview_document(dice: Dice, speaker: Speaker) -> Document:
    meta: Document = {
        "pageTitle": speaker.sentence(),
        "ogType": "article",
        "ogTitle": speaker.sentence(),
        "ogDescription": speaker.paragraph(2),
        "viewport": "width=device-width, initial-scale=1",
        # A meta tag without a name.
        "": speaker.words(5),
        "twitter:label1": "Written by",
    }
    page = "".join(f"<p>{speaker.paragraph(5)}</p>" for _ in range(dice.lognormal(8, 1.0, low=1, high=400)))
    meta["oembedHtml"] = page[:240_000]
    headers = {"contentType": "text/html; charset=utf-8", "contentLength": str(len(page))}
    return {"meta": meta, "headers": headers}


def analytics_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_analytics`: rooms by days, back from now, until the server began; the date is a number."""
    dice = Dice(seed, "analytics")
    rooms = [room for room in world.rooms if room.kind in "cp"]
    at = world.now
    while at > world.start:
        day = int(datetime.fromtimestamp(at / 1000, UTC).strftime("%Y%m%d"))
        for room in rooms:
            described: dict[str, Any] = {"_id": room.id, "name": room.name, "t": room.kind, "usernames": []}
            yield {
                "_id": dice.make_object_id(),
                "date": day,
                "room": described,
                "type": "messages",
                "messages": dice.draw_below(300),
                "_updatedAt": bson_date(at),
            }
        at -= DAY


def read_receipts(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_message_read_receipt` without end."""
    dice = Dice(seed, "read_receipts")
    while True:
        message, room = dice.make_id(), dice.pick_one(world.rooms)
        at = world.now - dice.draw_below(300 * DAY)
        for person in room.members[:20]:
            at += SECOND
            yield {
                "_id": dice.make_id(),
                "roomId": room.id,
                "userId": person.id,
                "messageId": message,
                "ts": bson_date(at),
                "_updatedAt": bson_date(at),
            }


def migration_documents(world: ChatWorld) -> Iterator[Document]:
    """`migrations`: the version of the schema, in the only document there is."""
    yield {
        "_id": "control",
        "version": 326,
        "locked": False,
        "lockedAt": bson_date(world.now - 9 * DAY),
        "buildAt": format_iso(world.now - 20 * DAY),
        "hash": "0123456789abcdef0123456789abcdef01234567",
    }
