"""Replies of `getMore`, received into memory that is used again.

The driver receives each reply into new memory and copies it once more: 1.8 s of CPU for a gigabyte instead of
0.4 (PyMongo 4.20, docs/adr/0021). So connections are the driver's (found, authenticated, pooled and given up
by it), and what is sent over them for a `getMore` is written and read here.
Source: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/

The driver does not promise the names that this uses. Where one is missing, or the URI asks for compression on
the way, `can_receive` says no, and the reader sends the command as a command.
"""

from __future__ import annotations

import math
import random
import struct
import time
from typing import TYPE_CHECKING, Any

import bson
from pymongo import errors
from pymongo.read_preferences import ReadPreference

from shared.kernel.buffers import GrowingBuffer

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession
    from pymongo.synchronous.pool import Connection

    from shared.adapters.mongodb.client import Client

# Length, number, number of the request, operation; then flags and the kind of the one section, a document.
_HEADER = struct.Struct("<iiiiIB")
_OP_MSG, _NO_FLAGS, _BODY = 2013, 0, 0
# A pool that was closed says so to whoever waits for a connection of it: how often that is looked at, as the
# driver does.
_POLL_SECONDS = 0.5


def can_receive(client: object) -> bool:
    """Whether the driver has what this module uses, and replies come uncompressed."""
    from pymongo.synchronous.pool import Connection

    options = getattr(getattr(client, "options", None), "pool_options", None)
    settings = getattr(options, "_compression_settings", None)
    methods = ("send_message", "set_conn_timeout", "_raise_connection_failure")
    has_names = hasattr(client, "_conn_for_reads") and all(hasattr(Connection, name) for name in methods)
    # A reply is compressed only if its request was, so that what is sent here would never be.
    return has_names and settings is not None and not settings.compressors


def receive_reply(
    client: Client, session: ClientSession, command: dict[str, Any], buffer: GrowingBuffer
) -> int:
    """Send the command (with `$db`) in the session; how many bytes of the buffer the reply's document takes.

    Raises the driver's errors: OperationFailure for a refusal, AutoReconnect for a lost connection, which
    closes it, since the rest of a reply must not be taken for the next one.
    """
    number = random.getrandbits(31)
    document = bson.encode({**command, "lsid": session.session_id})
    header = _HEADER.pack(_HEADER.size + len(document), number, 0, _OP_MSG, _NO_FLAGS, _BODY)
    with client._conn_for_reads(ReadPreference.PRIMARY, session, "getMore") as (connection, _):
        connection.send_message(header + document, 0)
        timeout = connection.opts.socket_timeout  # of the URI; None for none
        deadline = time.monotonic() + timeout if timeout else math.inf
        try:
            connection.set_conn_timeout(_POLL_SECONDS)
            size = _receive_document(connection, number, buffer, deadline)
            connection.set_conn_timeout(timeout)
        # As the driver does: whatever ends the receiving leaves the rest of a reply on the way.
        except BaseException as error:  # noqa: BLE001
            connection._raise_connection_failure(error)
    return size


def _receive_document(connection: Connection, number: int, buffer: GrowingBuffer, deadline: float) -> int:
    head = bytearray(_HEADER.size)
    _fill_memory(connection, memoryview(head), deadline)
    length, _, answered, operation, flags, kind = _HEADER.unpack(head)
    size: int = length - _HEADER.size
    if (answered, operation, flags, kind) != (number, _OP_MSG, _NO_FLAGS, _BODY):
        raise errors.ProtocolError("the reply is none to what was asked")
    if not 5 <= size <= connection.max_message_size:
        raise errors.ProtocolError(f"a reply of {size} bytes")
    _fill_memory(connection, buffer.reserve(size), deadline)
    return size


def _fill_memory(connection: Connection, into: memoryview, deadline: float) -> None:
    while into:
        try:
            count = connection.conn.recv_into(into)
        except TimeoutError:
            if connection.cancel_context.cancelled or time.monotonic() > deadline:
                raise
            continue
        if not count:
            raise OSError("connection closed")
        into = into[count:]
