"""Reads back what was written, to be compared: the sums over a collection, and the order of its documents."""

from __future__ import annotations

from shared.formats.documents import Tally
from shared.kernel.errors import Unavailable
from shared.kernel.ports import Reporter
from shared.mongodb.model import IdRange, Namespace
from shared.mongodb.ports import TargetDatabase
from shared.restore.duplicates import Fingerprint, fingerprints

_WHOLE_COLLECTION = IdRange()
# A collection of hours is read from its start each time: more would hide a network that never lasts.
_READ_ATTEMPTS = 3


def tally_collection(target: TargetDatabase, namespace: Namespace) -> Tally:
    """The sums over all documents of a collection. Raises Unavailable."""
    batches = target.read_batches(namespace, _WHOLE_COLLECTION)
    return sum((batch.tally for batch in batches), start=Tally())


def read_back(
    target: TargetDatabase, reporter: Reporter, namespace: Namespace, *, ordered: bool
) -> tuple[Tally, list[Fingerprint]]:
    """What the target holds, in order if that matters; from the start again after a lost connection."""
    for attempt in range(_READ_ATTEMPTS):
        stored, order = Tally(), list[Fingerprint]()
        try:
            for batch in target.read_batches(namespace, _WHOLE_COLLECTION):
                stored += batch.tally
                order += fingerprints(batch.documents) if ordered else ()
                reporter.advance(batch.tally.data_bytes)
        except Unavailable:
            if attempt == _READ_ATTEMPTS - 1:
                raise
            # Taken back, or the bar would run past its end on the second reading.
            reporter.advance(-stored.data_bytes)
        else:
            break
    return stored, order
