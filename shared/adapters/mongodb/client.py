"""Connecting, and turning the driver's exceptions into ours, so that none of them leaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS
from pymongo import errors

from shared.errors import Conflict, GroundcrewError, Inconsistent, NotFound, Refused, Unavailable, UsageError

Client = pymongo.MongoClient[dict[str, Any]]

RAW = DEFAULT_RAW_BSON_OPTIONS
# Dates that Python's datetime cannot hold must not stop a catalogue from being read.
EXACT: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)

NAMESPACE_NOT_FOUND, COMMAND_NOT_FOUND = 26, 59
_UNAUTHORIZED = (13, 18, 33, 8000)
_GONE = (NAMESPACE_NOT_FOUND, 175)  # NamespaceNotFound, QueryPlanKilled (a drop kills plans)
_TIMEOUT_MS = 10_000


def connect(uri: str) -> Client:
    """A client that has spoken to the server once. Raises UsageError for a bad URI, else as `translated`."""
    try:
        client: Client = pymongo.MongoClient(
            uri, appname="groundcrew", serverSelectionTimeoutMS=_TIMEOUT_MS, connectTimeoutMS=_TIMEOUT_MS
        )
    except (errors.PyMongoError, ValueError, TypeError) as error:
        # The text of the error may repeat the password of the URI.
        cure = "For example: mongodb://user:<password>@host:27017/?replicaSet=rs0&authSource=admin"
        raise UsageError("not a MongoDB URI", value=type(error).__name__, cure=cure) from None
    with translated("connecting to MongoDB"):
        client.admin.command("ping")
    return client


@contextmanager
def translated(thing: str) -> Iterator[None]:
    """What the driver raises within comes out as one of our errors, saying what was being done."""
    try:
        yield
    except GroundcrewError:
        raise
    except errors.OperationFailure as error:
        raise _failure(thing, error) from error
    except (errors.PyMongoError, BSONError) as error:
        raise Unavailable(f"{thing} failed", value=_first_line(error), cure="Is MongoDB up?") from error


def _failure(thing: str, error: errors.OperationFailure) -> GroundcrewError:
    value = f"{_first_line(error)} (code {error.code})"
    if error.code in _UNAUTHORIZED:
        cure = "Check the password, and grant the user the built-in role backup (or restore)."
        return Refused(f"{thing} is not allowed", value=value, cure=cure)
    if error.code in _GONE:
        return Inconsistent(f"{thing} failed", value=value, cure="The collection was dropped meanwhile.")
    if error.code == COMMAND_NOT_FOUND:
        return NotFound(f"{thing}: the server has no such command", value=value)
    if error.code == 112:
        return Conflict(f"{thing} met another write", value=value)
    return Unavailable(f"{thing} failed", value=value)


def _first_line(error: Exception) -> str:
    return (
        str(error).split(", full error")[0].split(", Timeout:")[0].splitlines()[0][:200] if str(error) else ""
    )
