"""Inserting raw documents so that what is stored is what was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import errors

from shared.adapters.mongodb.client import RAW, UNKNOWN_FIELD, Client
from shared.formats.elements import (
    ARRAY,
    DOCUMENT,
    TIMESTAMP,
    Element,
    find_element,
    join_elements,
    renumber_items,
    split_elements,
)

_EMPTY = bytes(8)


class Inserter:
    """The `insert` command, unordered and without validation.

    A server replaces an empty timestamp (`Timestamp(0, 0)`) on the top level by the present time unless it
    is told not to. The way to tell came with 8.1 and was given to later builds of 5.0 to 8.0 too, so
    that only asking shows whether a server knows it: https://jira.mongodb.org/browse/SERVER-88750
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.keeps_timestamps = True  # until the server says that it does not know

    def insert(self, db: str, collection: str, documents: Sequence[bytes], **more: object) -> dict[str, Any]:
        """The server's answer; `writeErrors` in it are no exceptions. Raises the driver's."""
        # What the source held is restored, whatever a validator made since says of it; unordered, so that one
        # refusal costs one document.
        options = {"ordered": False, "bypassDocumentValidation": True, **more}
        raw = [RawBSONDocument(document, RAW) for document in documents]
        command = {"insert": collection, "documents": raw, **options}
        if self.keeps_timestamps:
            try:
                return self._client[db].command({**command, "bypassEmptyTsReplacement": True})
            except errors.OperationFailure as error:
                if error.code != UNKNOWN_FIELD:
                    raise
                self.keeps_timestamps = False
        return self._client[db].command(command)


def id_filter(documents: Sequence[bytes]) -> RawBSONDocument:
    """A query for the documents of these `_id`s, whatever their types."""
    identities = (find_element(document, b"_id") for document in documents)
    listed = renumber_items(identity for identity in identities if identity is not None)
    query = join_elements([Element(ARRAY, b"$in", listed)])
    return RawBSONDocument(join_elements([Element(DOCUMENT, b"_id", query)]), RAW)


def has_empty_timestamp(document: bytes) -> bool:
    """Whether a server that does not keep empty timestamps would change the document. Raises Corrupt."""
    if _EMPTY not in document:
        return False
    return any(
        e.type == TIMESTAMP and e.value == _EMPTY and e.name != b"_id" for e in split_elements(document)
    )
