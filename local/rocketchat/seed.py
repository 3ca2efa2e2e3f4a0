"""Seeds a MongoDB with a made-up Rocket.Chat: `seed(uri, megabytes="small")`, or this module as a command.

Collections and their options first, then documents, then indexes, then the view. What the server refuses or
keeps in another form (SecantusDB: text and hashed indexes, deprecated types, time-series) is told in the
report's notes, never passed over in silence.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from local.rocketchat import catalog
from local.rocketchat.generate import generate_batches
from local.rocketchat.indexes import index_models
from local.rocketchat.oddities import every_type
from local.rocketchat.world import NOW
from shared.formats.documents import split_documents
from shared.kernel.errors import GroundcrewError, Refused, UsageError

Document = dict[str, Any]
_SELECTION_MS = 10_000
SIZES: dict[str, float] = {"tiny": 2, "small": 25, "medium": 250}
# Dates as numbers: some lie outside the years 1 to 9999.
RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS
)


@dataclass
class SeedReport:
    """What was made: documents and bytes of BSON by collection, and what the server did not take."""

    database: str
    documents: Counter[str] = field(default_factory=Counter)
    sizes_bytes: Counter[str] = field(default_factory=Counter)
    collections: int = 0
    indexes: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def total_bytes(self) -> int:
        """All documents together, without indexes."""
        return self.sizes_bytes.total()

    def lines(self) -> Iterator[str]:
        """For people: a summary, then the notes."""
        megabytes = self.total_bytes / 1e6
        yield (
            f"{self.database}: {self.documents.total()} documents, {megabytes:.1f} MB, "
            f"{self.collections} collections, {self.indexes} indexes in {self.seconds:.1f} s"
        )
        yield from (f"  note: {note}" for note in self.notes)


def seed_database(
    uri: str,
    *,
    megabytes: float | str = "small",
    seed: int = 1,
    database: str = "rocketchat",
    largest: bool | None = None,
    now: datetime = NOW,
) -> SeedReport:
    """Fill `database`: the same bytes for equal `megabytes`, `seed`, `largest` and `now` on every server.

    `megabytes` are 10^6 bytes of BSON or the name of a size: tiny (2), small (25), medium (250). `largest`
    adds a document near the limit of 16 MB; unless told otherwise all sizes but tiny have it. Fields that a
    TTL index watches lie 20 years after `now`, so that nothing expires.

    Raises `Refused` if the database has collections already, `UsageError` for a size that is none.
    """
    started = time.perf_counter()
    tiny = megabytes == "tiny"
    size = _parse_megabytes(megabytes)
    report = SeedReport(database)
    with MongoClient[Document](
        uri, appname="groundcrew-seed", serverSelectionTimeoutMS=_SELECTION_MS
    ) as client:
        target = client[database]
        if target.list_collection_names():
            raise Refused("The database to seed is not empty", value=database, hint="Drop it or name another")
        _create_collections(target, report)
        batches = generate_batches(size, seed, now=now, largest=not tiny if largest is None else largest)
        _insert_batches(target, batches, report)
        _note_changed_types(target, report)
        _create_indexes(target, report)
        target.create_collection(catalog.VIEW, viewOn=catalog.VIEW_ON, pipeline=catalog.VIEW_PIPELINE)
    report.collections += 1
    report.seconds = time.perf_counter() - started
    return report


def _parse_megabytes(text: float | str) -> float:
    hint = f"Give a number above 0 or one of {', '.join(SIZES)}"
    if isinstance(text, str) and text in SIZES:
        return SIZES[text]
    try:
        number = float(text)
    except ValueError as error:
        raise UsageError("The size is not known", value=text, hint=hint) from error
    if not 0 < number < 1e6:
        raise UsageError("The size is out of range", value=text, hint=hint)
    return number


def _create_collections(target: Database[Document], report: SeedReport) -> None:
    for name in catalog.COLLECTIONS:
        target.create_collection(name, check_exists=False)
    for name, options in catalog.ODD_OPTIONS.items():
        target.create_collection(name, check_exists=False, **options)
    report.collections = len(catalog.COLLECTIONS) + len(catalog.ODD_OPTIONS)
    _create_series(target, report)


def _create_series(target: Database[Document], report: SeedReport) -> None:
    """A time-series collection, but only where the server keeps it as one, in buckets."""
    name = catalog.ODD_SERIES
    target.create_collection(name, check_exists=False, timeseries=catalog.SERIES_OPTIONS)
    [listed] = target.list_collections(filter={"name": name})
    if listed["type"] != "timeseries":
        target.drop_collection(name)
        report.notes.append(
            f"{name} left out: the server lists a time-series collection as '{listed['type']}'"
        )
        return
    rows = [
        {"_id": day, "at": NOW + timedelta(days=day), "from": {"host": day % 3}, "load": day / 7}
        for day in range(30)
    ]
    target[name].insert_many(rows)
    report.collections += 1
    report.documents[name] += len(rows)


def _insert_batches(
    target: Database[Document], batches: Iterator[tuple[str, bytes]], report: SeedReport
) -> None:
    """One batch is on its way to the server while the next is being made."""
    pending: Future[None] | None = None
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="seed") as pool:
        for name, batch in batches:
            documents = _raw_documents(batch)
            if pending is not None:
                pending.result()
            collection = target.get_collection(name, codec_options=RAW)
            report.documents[name] += len(documents)
            report.sizes_bytes[name] += len(batch)
            pending = pool.submit(_insert_batch, collection, documents, report.notes)
        if pending is not None:
            pending.result()


def _insert_batch(collection: Collection[Any], documents: list[RawBSONDocument], notes: list[str]) -> None:
    if collection.name not in (catalog.ODD_TYPES, catalog.ODD_IDS):
        collection.insert_many(documents, ordered=False)
        return
    # One by one: a server may refuse a whole command for one value it does not know.
    for document in documents:
        try:
            collection.insert_one(document)
        except OperationFailure as error:
            reason = (error.details or {}).get("errmsg", str(error))
            notes.append(f"{collection.name}: the server refused {document['_id']!r}: {reason[:80]}")


def _raw_documents(batch: bytes) -> list[RawBSONDocument]:
    return [RawBSONDocument(raw, RAW) for raw in split_documents(batch)]


def _note_changed_types(target: Database[Document], report: SeedReport) -> None:
    sent = {document["_id"]: document.raw for document in _raw_documents(b"".join(every_type()))}
    cursor: Any = target[catalog.ODD_TYPES].find_raw_batches()
    stored = _raw_documents(b"".join(cursor))
    changed = sorted(str(found["_id"]) for found in stored if found.raw != sent[found["_id"]])
    if changed:
        report.notes.append(f"{catalog.ODD_TYPES}: the server stored in another form: {', '.join(changed)}")


def _create_indexes(target: Database[Document], report: SeedReport) -> None:
    for name, models in index_models().items():
        for model in models:
            try:
                target[name].create_indexes([model])
            except OperationFailure as error:
                reason = (error.details or {}).get("errmsg", str(error))
                report.notes.append(f"{name}: index {model.document['name']} left out: {reason}")
            else:
                report.indexes += 1


def main(argv: list[str] | None = None) -> int:
    """Seed a MongoDB and say what was made."""
    parser = argparse.ArgumentParser(prog="python -m local.rocketchat.seed", description=main.__doc__)
    parser.add_argument("--uri", required=True, help="connection string of the MongoDB to fill")
    parser.add_argument(
        "--megabytes", default="small", help="a number, or tiny, small or medium (default: small)"
    )
    parser.add_argument("--seed", type=int, default=1, help="equal seeds make equal databases (default: 1)")
    parser.add_argument("--database", default="rocketchat")
    parser.add_argument("--largest", action=argparse.BooleanOptionalAction, help="a document of 16 MiB")
    arguments = parser.parse_args(argv)
    try:
        report = seed_database(
            arguments.uri,
            megabytes=arguments.megabytes,
            seed=arguments.seed,
            database=arguments.database,
            largest=arguments.largest,
        )
    except UsageError as error:
        parser.error(str(error))
    except (GroundcrewError, PyMongoError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{line}\n" for line in report.lines())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
