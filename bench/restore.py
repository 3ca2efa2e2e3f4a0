"""Restore: stored bytes → age → zstd → archive → documents, up to the insert call."""

from __future__ import annotations

import time

from bench.data import Data
from bench.dump import SECRET, ours
from shared.formats.agekeys import parse_identities
from shared.formats.archive_reader import ArchiveReader, DocumentBatch
from shared.formats.documents import split_documents
from shared.formats.envelope import read_part
from shared.policy.backup import LEVELS


def run(data: Data) -> dict[str, float]:
    """Megabytes of BSON a second, and how many documents."""
    stored: list[bytes] = []
    ours(data, LEVELS["fast"], stored.append)
    began, documents, size = time.perf_counter(), 0, 0
    for event in ArchiveReader(read_part(iter(stored), parse_identities(SECRET), name="bench"), name="bench"):
        if isinstance(event, DocumentBatch):
            inserted = list(split_documents(event.batch))
            documents += len(inserted)
            size += len(event.batch)
    seconds = time.perf_counter() - began
    return {"megabytes_per_second": size / 1e6 / seconds, "documents_per_second": documents / seconds}
