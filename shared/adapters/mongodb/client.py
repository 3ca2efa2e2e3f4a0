"""Connecting, and translating the driver's exceptions into ours: none of them leaks.

Our errors quote the server's own first line, without what may be content of a document: a duplicate's
key, the text of a failed validation, the password of a URI.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS
from pymongo import errors

from shared.kernel.errors import (
    Conflict,
    GroundcrewError,
    Inconsistent,
    NotFound,
    Refused,
    Unavailable,
    UsageError,
)

Client = pymongo.MongoClient[dict[str, Any]]

# Dates that Python's datetime cannot hold must stop neither a catalogue nor an `_id` from being read.
RAW = DEFAULT_RAW_BSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_MS)
EXACT: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)

# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
UNAUTHORIZED, NAMESPACE_NOT_FOUND, INDEX_NOT_FOUND, NAMESPACE_EXISTS = 13, 26, 27, 48
COMMAND_NOT_FOUND, UNKNOWN_FIELD, DUPLICATE_KEY = 59, 40415, 11000
_AUTH_FAILURES = (11, UNAUTHORIZED, 18, 8000)  # UserNotFound, AuthenticationFailed, and Atlas's own
_DROPPED = (NAMESPACE_NOT_FOUND, 175)  # QueryPlanKilled, which a drop or a rename does to a reader
_OPLOG_TRIMMED = 136  # CappedPositionLost: the oplog was trimmed under its reader
_WRITE_CONFLICT = 112
OUT_OF_DISK_SPACE = 14031  # https://github.com/mongodb/mongo/blob/r8.0.4/src/mongo/base/error_codes.yml
_SCHEMES = ("mongodb://", "mongodb+srv://")
_DEFAULTS = {"serverSelectionTimeoutMS": 10_000, "connectTimeoutMS": 10_000}
# Whatever a URI made for other purposes says: a secondary may lag behind the oplog's position at which the
# dump begins, so that a write before it would be in neither, and what was just restored may not be there yet.
# With directConnection=true the one member that is named is read, secondary or not, and nothing else.
_READ_FROM_PRIMARY: dict[str, Any] = {
    "readPreference": "primary",
    "readPreferenceTags": "",
    "maxStalenessSeconds": -1,
}
# What follows these in a server's message may be a document's content, or is noise.
_REDACT_AFTER = (", full error", ", Timeout:", " dup key", " (configured timeouts")


def connect(uri: str) -> Client:
    """A client that has reached the server once. Raises UsageError for a bad URI, else as `translate_errors`.

    Waits ten seconds for the server unless the URI says otherwise.
    """
    client = _create_client(uri)
    try:
        with translate_errors("connecting to MongoDB"):
            client.admin.command("ping")
    except BaseException:
        client.close()
        raise
    return client


def _create_client(uri: str) -> Client:
    defaults: dict[str, Any] = {name: ms for name, ms in _DEFAULTS.items() if name.lower() not in uri.lower()}
    hint = "For example: mongodb://user:<password>@host:27017/?replicaSet=rs0&authSource=admin"
    if not uri.startswith(_SCHEMES):
        # The driver takes anything else for a host's name.
        raise UsageError("not a MongoDB URI", value="it begins otherwise", hint=hint)
    try:
        # The driver only warns of an option whose value it does not understand, and goes on without: not
        # what somebody wants who wrote `tls=yes`. Options of other drivers are none of our business.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            client: Client = pymongo.MongoClient(uri, appname="groundcrew", **defaults, **_READ_FROM_PRIMARY)
    except (errors.PyMongoError, ValueError, TypeError) as error:
        # The text of the error may repeat the password of the URI.
        raise UsageError("not a MongoDB URI", value=type(error).__name__, hint=hint) from None
    mistakes = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    if wrong := [text for text in mistakes if not text.startswith("Unknown option")]:
        client.close()
        raise UsageError("a MongoDB URI with a bad option", value=wrong[0].split(" ")[0], hint=hint)
    return client


@contextmanager
def translate_errors(message: str) -> Iterator[None]:
    """What the driver raises within comes out as one of our errors, saying what was being done."""
    try:
        yield
    except GroundcrewError:
        raise
    except errors.OperationFailure as error:
        raise _translate_failure(message, error) from error
    except (errors.PyMongoError, BSONError) as error:
        hint = "Is MongoDB up, and does its own name for itself lead there? Else add directConnection=true."
        raise Unavailable(f"{message} failed", value=describe_error(error), hint=hint) from error


def _translate_failure(message: str, error: errors.OperationFailure) -> GroundcrewError:
    value = f"{describe_error(error)} (code {error.code})"
    # Told apart by code: the server's texts change between versions, and are translated by no one.
    if error.code in _AUTH_FAILURES:
        hint = "Check the password, and grant the user the built-in role backup (or restore)."
        return Refused(f"{message} is not allowed", value=value, hint=hint)
    if error.code in _DROPPED:
        return Inconsistent(f"{message} failed", value=value, hint="The collection was dropped meanwhile.")
    if error.code == COMMAND_NOT_FOUND:
        return NotFound(f"{message}: the server has no such command", value=value)
    if error.code == _WRITE_CONFLICT:
        return Conflict(f"{message} met another write", value=value)
    if error.code == OUT_OF_DISK_SPACE:
        return _full_disk_error(message)
    if error.code == _OPLOG_TRIMMED:
        return Unavailable(f"{message} was overtaken by the trimming of the oplog", value=value)
    return Unavailable(f"{message} failed", value=value)


def check_disk_space(write_errors: Sequence[Mapping[str, Any]], message: str) -> None:
    """Raises Unavailable if the server had no room for one of the documents.

    Not the document's fault: told as one, a drill on a small server would condemn a good set.
    """
    if any(error.get("code") == OUT_OF_DISK_SPACE for error in write_errors):
        raise _full_disk_error(message)


def _full_disk_error(message: str) -> Unavailable:
    """That the server has no room left, which says nothing of what was to be written."""
    hint = "Give the target more room, then go on: groundcrew restore SET --resume."
    return Unavailable(f"{message} failed", value="the server's disk is full", hint=hint)


def describe_error(error: Exception) -> str:
    """The first line of what a server or the driver said, without the content of documents."""
    message = str(error)
    for marker in _REDACT_AFTER:
        message = message.split(marker)[0]
    return message.splitlines()[0][:200] if message else ""
