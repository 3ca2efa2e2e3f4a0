"""mongodump's metadata of a namespace: canonical Extended JSON of its options, indexes and uuid.

Source: mongo-tools, mongodump/metadata_dump.go; Extended JSON: github.com/mongodb/specifications.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bson.codec_options import DatetimeConversion
from bson.json_util import CANONICAL_JSON_OPTIONS, JSONOptions, dumps, object_pairs_hook

from shared.core.databases import Namespace
from shared.errors import Corrupt

_OPTIONS: JSONOptions = CANONICAL_JSON_OPTIONS.with_options(
    document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_MS, tz_aware=False
)


def to_json(namespace: Namespace) -> str:
    """The text for the archive's prelude and the manifest."""
    metadata: dict[str, Any] = {}
    if namespace.options:
        metadata["options"] = namespace.options
    metadata["indexes"] = list(namespace.indexes)  # never null
    if namespace.uuid:
        metadata["uuid"] = namespace.uuid
    metadata["collectionName"] = namespace.collection
    metadata["type"] = namespace.kind
    return dumps(metadata, json_options=_OPTIONS, separators=(",", ":"), ensure_ascii=False)


def from_json(text: str) -> tuple[Mapping[str, object], tuple[Mapping[str, object], ...]]:
    """Options and indexes, with the types they had. Raises Corrupt."""
    if not text:
        return {}, ()
    try:
        metadata = json.loads(text, object_pairs_hook=lambda pairs: object_pairs_hook(pairs, _OPTIONS))
        indexes = tuple(metadata.get("indexes") or ())
        options = metadata.get("options") or {}
        if not isinstance(options, dict) or not all(isinstance(index, dict) for index in indexes):
            raise Corrupt("a collection's metadata is malformed", value=text[:80])
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt("a collection's metadata is malformed", value=error) from error
    return options, indexes
