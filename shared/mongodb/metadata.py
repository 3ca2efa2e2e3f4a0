"""mongodump's metadata of a namespace: canonical Extended JSON of its options, indexes and uuid.

Source: mongo-tools, mongodump/metadata_dump.go; Extended JSON: github.com/mongodb/specifications.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.json_util import CANONICAL_JSON_OPTIONS, JSONOptions, dumps, object_pairs_hook

from shared.kernel.errors import Corrupt
from shared.mongodb.model import Namespace

_OPTIONS: JSONOptions = CANONICAL_JSON_OPTIONS.with_options(
    document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_MS, tz_aware=False
)


# What Python's and the driver's parsers raise for what they do not understand.
_UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    LookupError,
    RecursionError,
    BSONError,
)


def encode_metadata(namespace: Namespace) -> str:
    """The text for the archive's prelude and the manifest."""
    metadata: dict[str, Any] = {}
    if namespace.options:
        metadata["options"] = namespace.options
    metadata["indexes"] = list(namespace.indexes)  # never null
    if namespace.uuid:
        metadata["uuid"] = namespace.uuid
    # Written though we never read them: mongorestore does.
    metadata["collectionName"] = namespace.collection
    metadata["type"] = namespace.kind
    return dumps(metadata, json_options=_OPTIONS, separators=(",", ":"), ensure_ascii=False)


def parse_metadata(text: str) -> tuple[Mapping[str, object], tuple[Mapping[str, object], ...]]:
    """Options and indexes, with the types they had. Raises Corrupt."""
    if not text:
        return {}, ()
    try:
        metadata = json.loads(text, object_pairs_hook=_parse_object)
        indexes, options = metadata.get("indexes"), metadata.get("options")
        indexes = () if indexes is None else tuple(indexes)
        options = {} if options is None else options
    except _UNREADABLE as error:
        raise Corrupt("a collection's metadata is malformed", value=error) from error
    # From a set that anybody may have written, until its signature is checked: no traceback, whatever it
    # holds.
    if not isinstance(options, dict) or not all(_is_index(index) for index in indexes):
        raise Corrupt("a collection's metadata is malformed", value=text[:80])
    return options, indexes


def _parse_object(pairs: list[tuple[str, Any]]) -> Any:
    # Canonical text says `$regularExpression` for a value; `$regex` is an operator of a validator or a view,
    # which the driver would take for the value's older spelling.
    if pairs and pairs[0][0] in ("$regex", "$options"):
        return dict(pairs)
    return object_pairs_hook(pairs, _OPTIONS)


def _is_index(index: object) -> bool:
    return (
        isinstance(index, dict) and isinstance(index.get("name"), str) and isinstance(index.get("key"), dict)
    )
