"""Commands in the oplog: collections and indexes made and dropped, options changed; and transactions.

All of it touches only collections of the writer's own, but for the transaction. Nothing is ever renamed: a
rename during a dump makes the dump worthless, and that case has tests of its own.
"""

from __future__ import annotations

from pymongo.client_session import ClientSession

from local.rocketchat.live.state import Live, current_time

SCRATCH = "writer_scratch"


def change_indexes(live: Live) -> int:
    """On a collection of our own: an index built and dropped at once, and another dropped only next time."""
    scratch = live[SCRATCH]
    scratch.insert_one({"number": live.scratch, "at": current_time(), "text": live.speaker.words(3)})
    scratch.drop_index(scratch.create_index("number"))
    name = "number_1_text_-1"
    if name in scratch.index_information():
        scratch.drop_index(name)
    else:
        scratch.create_index([("number", 1), ("text", -1)], sparse=True)
    return 4


def create_collection(live: Live) -> int:
    """A collection is created, filled, and dropped."""
    live.scratch += 1
    name = f"{SCRATCH}_{live.instance_id[:8]}_{live.scratch}"
    live.database.create_collection(name)
    live[name].insert_many([{"_id": number, "text": live.speaker.words(4)} for number in range(5)])
    live.database.drop_collection(name)
    return 3


def change_options(live: Live) -> int:
    """`collMod`: another time to live on an index, and a validator."""
    scratch = live[SCRATCH]
    if "at_1" not in scratch.index_information():
        scratch.create_index("at", expireAfterSeconds=86_400)
    seconds = 86_400 + live.dice.draw_below(86_400)
    live.database.command("collMod", SCRATCH, index={"name": "at_1", "expireAfterSeconds": seconds})
    validator = {"number": {"$exists": True}, "text": {"$type": "string"}}
    live.database.command("collMod", SCRATCH, validator=validator, validationLevel="moderate")
    return 3


def empty_collection(live: Live) -> int:
    """Everything in a collection of our own deleted in one command: many entries at once."""
    live[SCRATCH].delete_many({"number": {"$lt": live.scratch}})
    return 1


def commit_transaction(live: Live) -> int:
    """Insert, change and delete in two collections, all or nothing; tried again on a conflict."""
    run = live.messenger.dice.make_id()

    def body(session: ClientSession) -> None:
        reports = live["rocketchat_reports"]
        reports.insert_one(
            {"_id": run, "at": current_time(), "reason": live.speaker.sentence()}, session=session
        )
        reports.insert_one({"_id": f"{run}-2", "at": current_time()}, session=session)
        live["rocketchat_room"].update_one(
            {"_id": live.world.rooms[0].id}, {"$set": {"reportedAt": current_time()}}, session=session
        )
        reports.delete_one({"_id": f"{run}-2"}, session=session)

    with live.client.start_session() as session:
        session.with_transaction(body)
    return 4


def abort_transaction(live: Live) -> int:
    """A transaction given up: it must leave no trace."""
    with live.client.start_session() as session:
        session.start_transaction()
        lost = {"_id": live.messenger.dice.make_id(), "lost": True}
        live["rocketchat_reports"].insert_one(lost, session=session)
        session.abort_transaction()
    return 1
