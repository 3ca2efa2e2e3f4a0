"""What people do: write, read, react, answer, edit, delete, upload, come and go."""

from __future__ import annotations

from bson import Binary

from local.rocketchat.dice import bson_date
from local.rocketchat.files import FileBytes, grid_chunks, grid_file, upload_row
from local.rocketchat.live.state import Live, current_time, now_ms
from local.rocketchat.text import paragraph_node, plain_leaf
from local.rocketchat.vocabulary import SHORTCODES
from local.rocketchat.world import ChatMember, Document, Room, Upload


def insert_message(live: Live, document: Document, room: Room, author: ChatMember) -> int:
    """A message with all that hangs on it: room, alerts, unread counts."""
    live.messages.insert_one(document)
    live.recent.append((document["_id"], room))
    sent = document["ts"]
    live["rocketchat_room"].update_one(
        {"_id": room.id},
        {"$inc": {"msgs": 1}, "$set": {"lm": sent, "lastMessage": document, "_updatedAt": sent}},
    )
    others = {"rid": room.id, "u._id": {"$ne": author.id}}
    live["rocketchat_subscription"].update_many(
        {**others, "$or": [{"alert": {"$ne": True}}, {"open": {"$ne": True}}]},
        {"$set": {"alert": True, "open": True, "_updatedAt": sent}},
    )
    if room.kind != "d" and "mentions" not in document:
        return 3
    counted = {"$inc": {"unread": 1, "userMentions": 1}, "$set": {"_updatedAt": sent}}
    live["rocketchat_subscription"].update_one(others, counted)
    return 4


def post_message(live: Live) -> int:
    """Somebody says something."""
    room = live.room()
    author = live.dice.pick_one(room.members)
    return insert_message(live, live.messenger.message(room, author, now_ms()), room, author)


def read_room(live: Live) -> int:
    """Somebody opens a room: last seen, nothing unread, a receipt for the newest message."""
    message_id, room = live.some_message()
    person = live.dice.pick_one(room.members)
    fields = {
        "ls": current_time(),
        "unread": 0,
        "alert": False,
        "userMentions": 0,
        "open": True,
        "_updatedAt": current_time(),
    }
    live["rocketchat_subscription"].update_one(
        {"rid": room.id, "u._id": person.id}, {"$set": fields, "$unset": {"tunread": ""}}
    )
    receipt = {"roomId": room.id, "userId": person.id, "messageId": message_id, "ts": current_time()}
    live["rocketchat_message_read_receipt"].insert_one({"_id": live.messenger.dice.make_id(), **receipt})
    return 2


def react_to_message(live: Live) -> int:
    """A reaction, and now and then all of one kind withdrawn."""
    message_id, room = live.some_message()
    key = f"reactions.{live.dice.pick_one(SHORTCODES)}"
    if live.dice.draw_bool(0.3):
        change: Document = {"$unset": {key: ""}, "$set": {"_updatedAt": current_time()}}
    else:
        person = live.dice.pick_one(room.members)
        change = {
            "$push": {f"{key}.usernames": person.username, f"{key}.names": person.name},
            "$set": {"_updatedAt": current_time()},
        }
    live.messages.update_one({"_id": message_id}, change)
    return 1


def reply_in_thread(live: Live) -> int:
    """An answer in a thread, which changes the thread's first message too."""
    parent_id, room = live.some_message()
    author = live.dice.pick_one(room.members)
    document = live.messenger.message(room, author, now_ms()) | {"tmid": parent_id}
    change = {
        "$inc": {"tcount": 1},
        "$set": {"tlm": document["ts"], "_updatedAt": document["ts"]},
        "$addToSet": {"replies": author.id},
    }
    live.messages.update_one({"_id": parent_id}, change)
    others = {"rid": room.id, "u._id": {"$ne": author.id}}
    live["rocketchat_subscription"].update_one(others, {"$addToSet": {"tunread": parent_id}})
    return 2 + insert_message(live, document, room, author)


def edit_message(live: Live) -> int:
    """New words: the whole text, or one leaf deep in the tree, which makes a nested change of an array."""
    message_id, _ = live.some_message()
    text = live.speaker.sentence()
    stamp = {"editedAt": current_time(), "editedBy": {"_id": live.person().id}, "_updatedAt": current_time()}
    deep = {"_id": message_id, "md.0.type": "PARAGRAPH", "md.0.value.0.type": "PLAIN_TEXT"}
    changed = live.messages.update_one(deep, {"$set": {"msg": text, "md.0.value.0.value": text, **stamp}})
    if changed.matched_count:
        return 1
    whole = {"msg": text, "md": [paragraph_node(plain_leaf(text))], **stamp}
    live.messages.update_one({"_id": message_id}, {"$set": whole, "$unset": {"urls": "", "pinnedBy": ""}})
    return 2


def star_message(live: Live) -> int:
    """Stars pushed and pulled: an array that grows and shrinks."""
    message_id, room = live.some_message()
    person = live.dice.pick_one(room.members)
    live.messages.update_one({"_id": message_id}, {"$addToSet": {"starred": {"_id": person.id}}})
    live.messages.update_one({"_id": message_id}, {"$pull": {"starred": {"_id": person.id}}})
    return 2


def delete_message(live: Live) -> int:
    """A message goes to the trash, then away: two steps, as Rocket.Chat does it."""
    index = live.dice.draw_below(len(live.recent))
    message_id, room = live.recent[index]
    # A few stay, so that the other actions have something to work on.
    if len(live.recent) < 20:
        return 0
    del live.recent[index]
    document = live.messages.find_one({"_id": message_id})
    if document is None:  # another writer was faster
        return 0
    trashed = {**document, "_deletedAt": current_time(), "__collection__": "message"}
    live["rocketchat__trash"].replace_one({"_id": message_id}, trashed, upsert=True)
    live.messages.delete_one({"_id": message_id})
    live["rocketchat_room"].update_one({"_id": room.id}, {"$inc": {"msgs": -1}})
    return 3


def upload_file(live: Live) -> int:
    """A file: its row, the chunks, the file, the row completed, and the message that shows it."""
    dice, room = live.messenger.dice, live.room()
    author = live.dice.pick_one(room.members)
    kind, suffix = live.dice.pick_one(
        (("image/png", "png"), ("text/plain", "log"), ("application/zip", "zip"))
    )
    size = live.dice.lognormal(150_000, 1.0, low=500, high=900_000)
    sent = Upload(dice.make_id(), f"{live.speaker.slug()}.{suffix}", kind, size, room, author, now_ms())
    uploads = live["rocketchat_uploads"]
    described = upload_row(sent, live.world)
    uploads.insert_one(described | {"complete": False, "uploading": True, "progress": 0})
    content = FileBytes(dice.draw_below(1 << 30), "writer").make(kind, size)
    chunks = list(grid_chunks(dice, sent.id, content))
    for chunk in chunks:
        live["rocketchat_uploads.chunks"].insert_one(chunk)
    live["rocketchat_uploads.files"].insert_one(grid_file(sent.id, sent.id, size, kind, sent.at))
    done = {"complete": True, "uploading": False, "progress": 1}
    uploads.update_one({"_id": sent.id}, {"$set": done, "$unset": {"token": ""}})
    return 3 + len(chunks) + insert_message(live, live.messenger.file(sent), room, author)


def remove_upload(live: Live) -> int:
    """A small file sent and taken back at once: its chunks and its row are deleted."""
    file_id = live.messenger.dice.make_id()
    chunk = {"files_id": file_id, "n": 0, "data": Binary(live.dice.bytes(500))}
    live["rocketchat_uploads.chunks"].insert_one(chunk)
    live["rocketchat_uploads.files"].insert_one(grid_file(file_id, file_id, 500, "image/png", now_ms()))
    live["rocketchat_uploads.files"].delete_one({"_id": file_id})
    live["rocketchat_uploads.chunks"].delete_many({"files_id": file_id})
    return 4


def connect_client(live: Live) -> int:
    """A client connects, reports once, and another one goes."""
    sessions, person = live["usersSessions"], live.person()
    connection_id = live.messenger.dice.make_id()
    connection = {"id": connection_id, "instanceId": live.instance_id, "status": "online"}
    dated = {**connection, "_createdAt": current_time(), "_updatedAt": current_time()}
    sessions.update_one({"_id": person.id}, {"$push": {"connections": dated}}, upsert=True)
    sessions.update_one(
        {"_id": person.id, "connections.id": connection_id},
        {"$set": {"connections.$._updatedAt": bson_date(now_ms())}},
    )
    status = live.dice.pick_one(("online", "away", "busy"))
    live["users"].update_one({"_id": person.id}, {"$set": {"status": status, "_updatedAt": current_time()}})
    if live.dice.draw_bool(0.7):
        sessions.update_one({"_id": person.id}, {"$pull": {"connections": {"id": connection_id}}})
        return 4
    return 3
