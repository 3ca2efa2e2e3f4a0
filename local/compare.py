"""Compares two databases, namespace by namespace, by content hash and where that differs by document."""

from __future__ import annotations

from dataclasses import dataclass, field

import bson
import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion

from shared.formats.documents import Tally, split_documents
from shared.mongodb.model import IdRange, Namespace
from shared.mongodb.ports import SourceDatabase, TargetDatabase

Database = SourceDatabase | TargetDatabase

_EXACT: CodecOptions[dict[str, object]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


@dataclass
class Comparison:
    """How many namespaces are equal, how many of them but for the order of fields, and what differs."""

    equal: int = 0
    reordered: int = 0
    different: list[str] = field(default_factory=list)


def compare_databases(one: Database, other: Database) -> Comparison:
    """Compare all collections but the server's own.

    The embedded MongoDB's oplog does not say in which order one update added several fields, so a replay of
    it may order them otherwise: such documents count as equal, and are counted. Nor does it say that building
    an index made a collection, so one without documents may be on one side only.
    """
    result = Comparison()
    first, second = _list_collections(one), _list_collections(other)
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second:
            unmatched = (
                _tally_collection(one, first[name])
                if name in first
                else _tally_collection(other, second[name])
            )
            if unmatched.documents:
                result.different.append(f"{name} is on one side only, with {unmatched.documents} documents")
        elif _tally_collection(one, first[name]) == _tally_collection(other, second[name]):
            result.equal += 1
        elif _sorted_documents(one, first[name]) == _sorted_documents(other, second[name]):
            result.equal += 1
            result.reordered += 1
        else:
            result.different.append(name)
    return result


def sample_message_text(uri: str) -> bytes:
    """The text of a message, to be looked for where it must not be."""
    with pymongo.MongoClient[dict[str, object]](uri) as client:
        message = client.rocketchat.rocketchat_message.find_one({"msg": {"$regex": "^.{20}"}})
    return str(message["msg"])[:40].encode() if message else b"no message was found to look for"


def _list_collections(database: Database) -> dict[str, Namespace]:
    return {n.name: n for n in database.list_namespaces() if n.kind == "collection" and n.db != "admin"}


def _tally_collection(database: Database, namespace: Namespace) -> Tally:
    return sum((batch.tally for batch in database.read_batches(namespace, IdRange())), Tally())


def _sorted_documents(database: Database, namespace: Namespace) -> list[str]:
    documents = (
        d for batch in database.read_batches(namespace, IdRange()) for d in split_documents(batch.documents)
    )
    return sorted(repr(_sort_fields(bson.decode(document, _EXACT))) for document in documents)


def _sort_fields(value: object) -> object:
    if isinstance(value, dict):
        return sorted((key, _sort_fields(item)) for key, item in value.items())
    return [_sort_fields(item) for item in value] if isinstance(value, list) else value
