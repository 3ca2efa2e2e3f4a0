"""Rocket.Chat's migration counter, read as a backup reads: raw documents, no query."""

from __future__ import annotations

from shared.formats.documents import split_documents
from shared.mongodb.model import IdRange
from shared.mongodb.ports import SourceDatabase

_COLLECTION = "migrations"


def read_schema_version(source: SourceDatabase) -> int | None:
    """The version in `migrations`; None if there is no such document or a migration holds its lock."""
    import bson

    # In whatever database: its name is the operator's choice.
    for namespace in source.list_namespaces(_COLLECTION):
        if namespace.kind != "collection":
            continue
        for batch in source.read_batches(namespace, IdRange()):
            for raw in split_documents(batch.documents):
                document = bson.decode(raw)
                if document.get("_id") == "control":
                    version = document.get("version")
                    # A lock means that a migration runs: the number is neither the old schema's nor the new
                    # one's.
                    locked = bool(document.get("locked"))
                    return None if locked or not isinstance(version, int) else version
    return None
