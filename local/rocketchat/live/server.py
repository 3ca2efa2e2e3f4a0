"""What the server does by itself: heartbeats, scheduled jobs, previews, settings, notifications."""

from __future__ import annotations

from datetime import UTC, timedelta

from bson import ObjectId
from pymongo import DeleteOne, InsertOne, UpdateOne

from local.rocketchat.live.state import Live, current_time
from local.rocketchat.operations import JOBS
from local.rocketchat.world import Document


def send_heartbeat(live: Live) -> int:
    """This process's row in `instances`, which expires a minute after the last beat."""
    facts = {
        "pid": 7,
        "name": "rocket.chat",
        "extraInformation.conns": live.dice.draw_below(90),
        "_updatedAt": current_time(),
    }
    live["instances"].update_one(
        {"_id": live.instance_id},
        {"$set": facts, "$setOnInsert": {"_createdAt": current_time()}},
        upsert=True,
    )
    return 1


def run_job(live: Live) -> int:
    """A scheduled job runs: its row locked and released, its run written down and completed."""
    name, started = live.dice.pick_one(JOBS), current_time()
    cron, history = live["rocketchat_cron"], live["rocketchat_cron_history"]
    cron.update_one({"name": name}, {"$set": {"lockedAt": started, "lastRunAt": started}})
    run_id = live.messenger.dice.make_id()
    run = {"name": name, "intendedAt": started, "startedAt": started, "_updatedAt": started}
    history.insert_one({"_id": run_id, **run})
    history.update_one({"_id": run_id}, {"$set": {"finishedAt": current_time(), "result": {"ok": True}}})
    later = {
        "lockedAt": None,
        "lastFinishedAt": current_time(),
        "nextRunAt": current_time() + timedelta(minutes=5),
    }
    cron.update_one({"name": name}, {"$set": later})
    return 4


def preview_link(live: Live) -> int:
    """A link is looked up: cached under its address, and put into the message."""
    message_id, _ = live.some_message()
    url = f"https://news.example/{live.speaker.slug(3)}?id={live.messenger.dice.make_object_id()}"
    meta = {"pageTitle": live.speaker.sentence(), "": live.speaker.words(3), "og.title": "a.b"}
    cached = {"_id": url, "data": {"meta": meta, "headers": {}}, "updatedAt": current_time()}
    live["rocketchat_oembed_cache"].insert_one(cached)
    live.messages.update_one(
        {"_id": message_id}, {"$push": {"urls": {"url": url, "meta": {"pageTitle": "x"}}}}
    )
    return 2


def change_setting(live: Live) -> int:
    """An administrator changes a setting."""
    value = live.dice.pick_one((True, 7, 2.5, "text", None, ["a", "b"], {"url": "assets/logo.png"}))
    live["rocketchat_settings"].update_one(
        {"_id": "Layout_Custom_CSS"},
        {"$set": {"value": value, "_updatedAt": current_time()}, "$inc": {"changes": 1}},
    )
    return 1


def replace_setting(live: Live) -> int:
    """A setting written anew as a whole, as after an upgrade: a replacement in the oplog."""
    settings = live["rocketchat_settings"]
    document = settings.find_one({"_id": "Organization_Type"}) or {"type": "select"}
    fields = {name: value for name, value in document.items() if name not in ("_id", "ts", "renewed")}
    settings.replace_one({"_id": "Organization_Type"}, {"renewed": current_time(), **fields}, upsert=True)
    return 1


def queue_notification(live: Live) -> int:
    """A notification is queued, and sent."""
    queue, entry_id = live["rocketchat_notification_queue"], live.messenger.dice.make_id()
    items = [{"type": "push", "data": {"payload": {"sender": live.person().username}}}]
    queue.insert_one({"_id": entry_id, "uid": live.person().id, "items": items, "ts": current_time()})
    queue.delete_one({"_id": entry_id})
    return 2


def upsert_sessions(live: Live) -> int:
    """Sessions upserted in bulk, where the server makes ObjectIds as ids."""
    today = current_time().astimezone(UTC)
    day = {"year": today.year, "month": today.month, "day": today.day, "instanceId": live.instance_id}
    updates = [
        UpdateOne(
            {"sessionId": live.messenger.dice.make_id(), **day},
            {
                "$set": {"userId": live.person().id, "lastActivityAt": current_time()},
                "$setOnInsert": {"type": "session"},
            },
            upsert=True,
        )
        for _ in range(3)
    ]
    live["rocketchat_sessions"].bulk_write(updates, ordered=False)
    return 1


def rotate_tokens(live: Live) -> int:
    """Login tokens: one more, and only the newest three kept, which truncates an array."""
    token = {"when": current_time(), "hashedToken": live.messenger.dice.make_object_id() * 2}
    live["users"].update_one(
        {"_id": live.person().id},
        {"$push": {"services.resume.loginTokens": {"$each": [token], "$slice": -3}}},
    )
    return 1


def remove_fields(live: Live) -> int:
    """Fields removed, at the top and nested, one renamed, and an array cut at its end."""
    document: Document = {
        "_id": live.messenger.dice.make_id(),
        "list": [1, {"deep": [1, 2, 3]}, 3, 4, 5],
        "nested": {"kept": 1, "gone": {"a": 1}},
        "old": True,
    }
    reports = live["rocketchat_reports"]
    reports.insert_one(document)
    chosen = {"_id": document["_id"]}
    reports.update_one(chosen, {"$unset": {"nested.gone": "", "old": ""}, "$set": {"list.1.deep.2": "x"}})
    reports.update_one(chosen, {"$push": {"list": {"$each": [], "$slice": 2}}, "$rename": {"nested": "kept"}})
    reports.update_one(chosen, [{"$set": {"total": {"$size": "$list"}, "kept.more": "$total"}}])
    return 4


def append_capped(live: Live) -> int:
    """A row at the end of the capped collection."""
    live["odd_capped"].insert_one({"name": live.speaker.words(2), "at": current_time()})
    return 1


def run_bulk(live: Live) -> int:
    """Insert, change and delete in one ordered command, with an id that is no string."""
    one, other = ObjectId(), {"run": live.messenger.dice.make_id(), "n": 1}
    live["odd_ids"].bulk_write(
        [
            InsertOne({"_id": one, "kind": "live"}),
            InsertOne({"_id": other, "kind": "live"}),
            UpdateOne({"_id": other}, {"$set": {"kind": "changed", "a.b.c": [None]}}),
            DeleteOne({"_id": one}),
        ]
    )
    return 3
