"""Indexes as the oplog changes them. They are built after the replay, once, from what is found here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shared.kernel.errors import Corrupt
from shared.mongodb.model import IndexChange

_ID_INDEX: Mapping[str, object] = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
_DROPS = ("dropIndexes", "dropIndex", "deleteIndexes", "deleteIndex")
_INDEX_AFFECTING = (
    "create",
    "drop",
    "dropDatabase",
    "renameCollection",
    "createIndexes",
    "commitIndexBuild",
    "collMod",
    *_DROPS,
)
# Options that a catalogue holds only while they are true.
_ONLY_TRUE = ("hidden", "prepareUnique")
# What the two dialects put beside an index's own fields.
_NOT_OF_THE_INDEX = ("createIndexes", "indexBuildUUID", "ns", "entryFormat", "multikey")


def parse_index_change(command: str, name: str, body: bytes) -> IndexChange | None:
    """What the oplog's command about the collection `name` does to indexes, or None. Raises Corrupt.

    `db.` as the name stands for the whole database. The buckets of time-series collections have indexes of
    their own form, which clients cannot build: changes of those are not followed.
    """
    if command not in _INDEX_AFFECTING or ".system." in name:
        return None
    if command in ("drop", "dropDatabase"):
        return IndexChange(name, collection_dropped=True)
    decoded = _decode_command(body)
    if command == "renameCollection":
        return IndexChange(name, renamed_to=str(decoded.get("to", "")))
    if command == "create":
        return _parse_create(name, decoded)
    if command == "collMod":
        return _parse_coll_mod(name, decoded)
    if command in _DROPS:
        return _parse_drop(name, decoded.get("index", "*"))
    # mongod flattens one index into the entry; a finished build and the other dialect carry a list.
    listed = decoded.get("indexes") or [decoded]
    if not isinstance(listed, list) or not all(
        isinstance(i, dict) and "name" in i and "key" in i for i in listed
    ):
        # Not skipped: an index that is missing is found when the chat is slow, and a unique one by
        # duplicates.
        raise Corrupt(f"{command} of {name} in the oplog is malformed")
    return IndexChange(name, created=tuple(map(_clean_spec, listed)))


def _parse_create(name: str, body: dict[str, Any]) -> IndexChange | None:
    # Views have no indexes, and time series get theirs with their buckets.
    if "viewOn" in body or "timeseries" in body:
        return None
    clustered = body.get("clusteredIndex")
    if isinstance(clustered, dict):
        # A clustered collection has no index on `_id` beside the collection itself.
        id_index: Mapping[str, object] = {**_ID_INDEX, **clustered, "clustered": True}
    else:
        id_index = body.get("idIndex") or _ID_INDEX
    return IndexChange(name, created=(_clean_spec(id_index),))


def _parse_coll_mod(name: str, body: dict[str, Any]) -> IndexChange | None:
    change = body.get("index")
    if not change:
        return None
    if not isinstance(change, dict):
        raise Corrupt(f"collMod of {name} in the oplog names no index")
    options = {key: value for key, value in change.items() if key not in ("name", "keyPattern")}
    if isinstance(change.get("name"), str):
        return IndexChange(name, changed={change["name"]: options})
    pattern = change.get("keyPattern")
    if not isinstance(pattern, dict):
        raise Corrupt(f"collMod of {name} in the oplog names no index")
    return IndexChange(name, changed_by_key=((tuple(pattern.items()), options),))


def _parse_drop(name: str, index: object) -> IndexChange:
    # Servers log a drop by name; what names an index otherwise would drop another one here.
    listed = index if isinstance(index, list) else [index]
    names = tuple(one for one in listed if isinstance(one, str))
    if len(names) != len(listed):
        raise Corrupt(f"dropIndexes of {name} in the oplog names no index")
    return IndexChange(name, dropped=names)


def _decode_command(body: bytes) -> dict[str, Any]:
    import bson
    from bson.codec_options import CodecOptions, DatetimeConversion
    from bson.errors import BSONError

    options: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
    try:
        return bson.decode(body, options)
    except BSONError as error:
        raise Corrupt("a command of the oplog is malformed", value=error) from error


def apply_index_changes(
    before: Mapping[str, Iterable[Mapping[str, object]]], changes: Iterable[IndexChange]
) -> dict[str, list[Mapping[str, object]]]:
    """The indexes to build: those of the catalogue as the oplog changed them, by collection.

    The catalogue may have been read after some of the changes; applying them again does no harm.
    """
    catalogue = {name: {str(index["name"]): index for index in indexes} for name, indexes in before.items()}
    for change in changes:
        if change.collection_dropped:
            whole = change.namespace.endswith(".")
            for name in [
                n for n in catalogue if n == change.namespace or (whole and n.startswith(change.namespace))
            ]:
                del catalogue[name]
            continue
        if change.renamed_to:
            if change.namespace in catalogue:  # else it was done before the catalogue was read
                catalogue[change.renamed_to] = catalogue.pop(change.namespace)
            continue
        _apply_change(catalogue, change)
    return {name: list(indexes.values()) for name, indexes in catalogue.items()}


def _apply_change(catalogue: dict[str, dict[str, Mapping[str, object]]], change: IndexChange) -> None:
    indexes = catalogue.get(change.namespace)
    if indexes is None:
        if not change.created:
            return  # of a collection that is dropped later on
        # The embedded server does not log that a collection was made by an insert.
        id_index = [i for i in change.created if i["name"] == "_id_" or i.get("clustered")]
        indexes = catalogue[change.namespace] = {} if id_index else {"_id_": _ID_INDEX}
    for name in change.dropped:
        for collection_dropped in [
            n for n in indexes if n == name or (name == "*" and not _is_builtin(indexes[n]))
        ]:
            del indexes[collection_dropped]
    indexes |= {str(index["name"]): _clean_spec(index) for index in change.created}
    for name, options in change.changed.items():
        if name in indexes:
            indexes[name] = _merge_options(indexes[name], options)
    for pattern, options in change.changed_by_key:
        for name in [name for name, index in indexes.items() if _key_of(index) == pattern]:
            indexes[name] = _merge_options(indexes[name], options)


def _is_builtin(index: Mapping[str, object]) -> bool:
    """Whether the index is the collection's own, which nobody drops."""
    return index["name"] == "_id_" or bool(index.get("clustered"))


def _key_of(index: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    key = index.get("key")
    return tuple(key.items()) if isinstance(key, Mapping) else ()


def _merge_options(index: Mapping[str, object], options: Mapping[str, object]) -> Mapping[str, object]:
    merged = {**index, **options}
    # The option is an order, and no property that a catalogue would show.
    if merged.pop("forceNonUnique", False):
        merged.pop("unique", None)
    if options.get("unique"):
        merged.pop("prepareUnique", None)  # what was prepared is done
    # `hidden: false` and no `hidden` are the same index; compared later, they would differ.
    return {key: value for key, value in merged.items() if value or key not in _ONLY_TRUE}


def _clean_spec(index: Mapping[str, object]) -> Mapping[str, object]:
    return {key: value for key, value in index.items() if key not in _NOT_OF_THE_INDEX}
