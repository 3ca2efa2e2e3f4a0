"""Which rights a migration's user lacks, out of what `connectionStatus` says of it. Pure.

https://www.mongodb.com/docs/manual/reference/command/connectionStatus/ and, for what a resource covers,
https://www.mongodb.com/docs/manual/reference/resource-document/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Action and where it is needed: the whole cluster, any database of people, or one collection.
_CLUSTER, _ANY, _OPLOG = "cluster", "any database", "local.oplog.rs"
_SOURCE = (
    ("find", _ANY),
    ("listCollections", _ANY),
    ("insert", _ANY),
    ("find", _OPLOG),
    ("inprog", _CLUSTER),
)
_BLOCK = (("setUserWriteBlockMode", _CLUSTER),)
_TARGET = (
    *((action, _ANY) for action in ("find", "insert", "remove", "update", "createCollection")),
    *((action, _ANY) for action in ("dropCollection", "createIndex", "dropIndex", "collMod")),
    ("find", _OPLOG),
)


def find_missing_rights(info: Mapping[str, Any], side: str, *, blocks_writes: bool) -> tuple[str, ...]:
    """`insert on any database`, for each right that is missing; `info` is the answer's `authInfo`.

    A server that nobody signs in to allows everything; it lists no user either.
    """
    if not info.get("authenticatedUsers"):
        return ()
    needed = _TARGET if side == "target" else (*_SOURCE, *(_BLOCK if blocks_writes else ()))
    privileges = [one for one in info.get("authenticatedUserPrivileges") or () if isinstance(one, Mapping)]
    return tuple(f"{action} on {place}" for action, place in needed if not _has(privileges, action, place))


def _has(privileges: Iterable[Mapping[str, Any]], action: str, place: str) -> bool:
    return any(
        _covers(one.get("resource") or {}, place) and {action, "anyAction"} & {*(one.get("actions") or ())}
        for one in privileges
    )


def _covers(resource: Mapping[str, Any], place: str) -> bool:
    if resource.get("anyResource"):
        return True
    if place == _CLUSTER:
        return bool(resource.get("cluster"))
    db, collection = resource.get("db"), resource.get("collection")
    # Empty stands for any: of databases those that are not the server's own, of collections all but system.*.
    if place == _ANY:
        return db == "" and collection == ""
    return (db, collection) in (("local", ""), ("local", "oplog.rs"), ("", "oplog.rs"))
