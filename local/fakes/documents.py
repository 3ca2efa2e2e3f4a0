"""Documents as raw BSON, which is how the database in memory holds, compares and orders them."""

from __future__ import annotations

from shared.formats.documents import split_documents
from shared.formats.elements import find_element


def id_key(document: bytes) -> bytes:
    """`{_id: value}` as raw BSON, which is how this fake compares and orders `_id`s."""
    identity = find_element(document, b"_id")
    if identity is None:
        raise ValueError("a document without _id")
    from shared.formats.elements import join_elements

    return join_elements([identity])


def split_batch(batch: bytes) -> list[bytes]:
    """The documents of a batch."""
    return list(split_documents(batch))
