"""MongoDB over pymongo: raw batches out, raw batches in, and the oplog replayed.

The driver is imported when a connection is made.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.adapters.mongodb.features import MongoFeatures
    from shared.adapters.mongodb.freeze import MongoFreezer
    from shared.adapters.mongodb.moving import MongoMoving
    from shared.adapters.mongodb.rehearsal import MongoRehearsal
    from shared.adapters.mongodb.source import MongoSource
    from shared.adapters.mongodb.target import MongoTarget
    from shared.adapters.mongodb.users import MongoUsers
    from shared.kernel.secret import Secret


def _omit_async_half() -> None:
    """Have pymongo not import its asynchronous client: 20 modules of which nothing here is used.

    It does so for the name in its `__init__` alone. The connections are the synchronous ones' own.
    """
    name = "pymongo.asynchronous.mongo_client"
    if "pymongo" not in sys.modules:
        omitted = ModuleType(name, "Not loaded: see shared.adapters.mongodb.")
        omitted.AsyncMongoClient = type("AsyncMongoClient", (), {})  # type: ignore[attr-defined]
        sys.modules[name] = omitted


_omit_async_half()


def connect_source(uri: str, *, databases: Sequence[str] = ()) -> MongoSource:
    """The server to back up, of which only `databases` if any are given. Raises UsageError, Unavailable."""
    from shared.adapters.mongodb.client import connect
    from shared.adapters.mongodb.source import MongoSource

    return MongoSource(connect(uri), databases)


def connect_target(uri: str, *, pause: Callable[[float], None] = time.sleep) -> MongoTarget:
    """The server to restore into. Raises UsageError, Unavailable.

    What a lost connection interrupts is tried again after a `pause` of some seconds.
    """
    from shared.adapters.mongodb.client import connect
    from shared.adapters.mongodb.retrying import Retry
    from shared.adapters.mongodb.target import MongoTarget

    return MongoTarget(connect(uri), Retry(pause))


def parse_addresses(uri: str) -> tuple[str, ...]:
    """The `host:port` that a URI names, for comparing; of `mongodb+srv` the name as it is. Asks no server."""
    rest = uri.partition("://")[2].partition("/")[0].partition("?")[0]
    # From the last @, since a password may hold one that was not escaped.
    hosts = rest.rpartition("@")[2].split(",")
    return tuple(host.strip().lower() for host in hosts if host.strip())


def connect_freezer(uri: str) -> MongoFreezer:
    """The server whose writes are held back while its disks are copied. Raises UsageError, Unavailable."""
    from shared.adapters.mongodb.client import connect
    from shared.adapters.mongodb.freeze import MongoFreezer

    return MongoFreezer(connect(uri))


def connect_features(uri: str) -> MongoFeatures:
    """The server whose feature compatibility version is read and raised. Raises UsageError, Unavailable."""
    from shared.adapters.mongodb.client import connect
    from shared.adapters.mongodb.features import MongoFeatures

    return MongoFeatures(connect(uri))


def connect_rehearsal(uri: str) -> MongoRehearsal:
    """The copy of a rehearsal. Raises UsageError, Unavailable."""
    from shared.adapters.mongodb.client import connect
    from shared.adapters.mongodb.rehearsal import MongoRehearsal

    return MongoRehearsal(connect(uri))


def connect_moving(uri: str) -> MongoMoving:
    """One of the two servers of a migration, beside its data. Raises UsageError, Unavailable."""
    from shared.adapters.mongodb.client import connect
    from shared.adapters.mongodb.moving import MongoMoving

    return MongoMoving(connect(uri))


def connect_users(admin: Secret, turns: Sequence[str]) -> MongoUsers:
    """The two users that take turns, by a user that may change their passwords. Connects when called on."""
    from shared.adapters.mongodb.users import MongoUsers

    return MongoUsers(admin, turns)
