"""A cursor's batches as the server sent them: each reply is received once and walked once.

The driver's own `find_raw_batches` takes a reply apart document by document and puts it together again before
it is walked for the tally, which was half of the dump's time (PyMongo 4.20). So the commands are sent as they
are, and the documents cut out of the reply's bytes, into memory that is used for the batch after the next
again.
Source: https://github.com/mongodb/specifications/blob/master/source/find_getmore_killcursors_commands
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import bson
from bson.int64 import Int64
from pymongo import errors

from shared.adapters.mongodb.client import EXACT, RAW, Client
from shared.adapters.mongodb.replies import can_receive, receive_reply
from shared.formats.documents import TalliedBatch, gather_array
from shared.formats.elements import locate_value
from shared.kernel.buffers import SpareMemory
from shared.kernel.errors import Corrupt

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession
    from pymongo.database import Database

NOT_IMPLEMENTED = 238  # a command or an option that this server does not have


def read_batches_of(
    client: Client, db: str, find: dict[str, Any], spare: SpareMemory | None = None
) -> Iterator[TalliedBatch]:
    """All batches that the command `find` gives, up to 16 MiB each; the cursor is closed however it ends.

    A reader may be held up for longer than the ten minutes a server keeps an idle cursor: `noCursorTimeout`
    belongs into the command. Without that limit the session's applies, half an hour, after which the cursor
    of a killed worker is gone too. A failover ends the cursor, and so the reading, with the driver's error.
    `spare` has the memory of collections that were read before.
    """
    database, receives = client[db], can_receive(client)
    with (
        (spare or SpareMemory()).lend() as memory,
        client.start_session(causal_consistency=False) as session,
    ):
        cursor, batch = _open_cursor(database, session, find)
        try:
            while True:
                # A server may send an empty batch before the end: only the cursor's id says that it is over.
                if batch.tally.documents:
                    yield batch
                if not cursor:
                    return
                more = {"getMore": Int64(cursor), "collection": find["find"]}
                if not receives:
                    cursor, batch = _ask(database, session, more, b"nextBatch")
                else:
                    size = receive_reply(client, session, {**more, "$db": db}, memory.received)
                    into = memory.handed_on.take(size)
                    cursor, batch = _read_cursor(memory.received.memory, size, b"nextBatch", into)
        finally:
            if cursor:
                _kill_cursor(database, session, find["find"], cursor)


def _open_cursor(
    database: Database[dict[str, Any]], session: ClientSession, find: dict[str, Any]
) -> tuple[int, TalliedBatch]:
    try:
        return _ask(database, session, find, b"firstBatch")
    except errors.OperationFailure as error:
        if error.code != NOT_IMPLEMENTED or "noCursorTimeout" not in find:
            raise
    # FerretDB has no such option. Its cursor may end while a reader is held up, which is told as an error.
    usual = {key: value for key, value in find.items() if key != "noCursorTimeout"}
    return _ask(database, session, usual, b"firstBatch")


def _ask(
    database: Database[dict[str, Any]], session: ClientSession, command: dict[str, Any], batch: bytes
) -> tuple[int, TalliedBatch]:
    """The cursor's id, 0 when it is exhausted, and its next batch."""
    # Raw, so that neither the driver nor we make an object of each document.
    reply = bytes(database.command(command, codec_options=RAW, session=session).raw)
    return _read_cursor(reply, len(reply), batch)


def _read_cursor(
    reply: bytes | bytearray, size: int, batch: bytes, into: bytearray | None = None
) -> tuple[int, TalliedBatch]:
    """The cursor's id and the documents, copied to `into`. Raises OperationFailure and Corrupt."""
    ok = locate_value(reply, b"ok", size=size)
    if ok is not None and not any(reply[slice(*ok)]):
        # What the driver does for its own commands.
        refusal = bson.decode(bytes(reply[:size]), EXACT)
        raise errors.OperationFailure(str(refusal.get("errmsg", "")), refusal.get("code"), refusal)
    at = locate_value(reply, b"cursor", b"id", size=size)
    documents = locate_value(reply, b"cursor", batch, size=size)
    if ok is None or at is None or documents is None:
        raise Corrupt("MongoDB's reply holds no cursor", value=f"of {size} bytes")
    return int.from_bytes(reply[slice(*at)], "little", signed=True), gather_array(reply, *documents, into)


def _kill_cursor(
    database: Database[dict[str, Any]], session: ClientSession, collection: str, cursor: int
) -> None:
    # The reading is over already, well or not; a cursor that stays is closed by the server with its session.
    with contextlib.suppress(errors.PyMongoError):
        database.command({"killCursors": collection, "cursors": [Int64(cursor)]}, session=session)
