"""How many backup sets there are by what they are worth, counted once an hour: each is read for that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.backup.catalogue import SetCatalogue
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp
from shared.status.model import NotSetUp

_BLOB, _INTERVAL, _STALE = "status/backup_sets.json", timedelta(hours=1), timedelta(hours=6)
# Those of infra/monitoring/metrics.yaml: what is neither of ours nor whole counts as foreign there.
COUNTED = ("sealed", "open", "failed", "foreign")


def count_sets(catalogue: SetCatalogue, state: Blobs, now: datetime) -> str:
    """Count and keep, unless that was done within the hour; what was done, in a sentence."""
    counted = _load(state)
    if counted is not None and now - counted[0] < _INTERVAL:
        return "nothing to do: counted less than an hour ago"
    counts = Counter(str(entry.state) for entry in catalogue.entries())
    state.replace(_BLOB, encode_json({"at": now, "sets": dict(counts)}), etag=None)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "no sets"


def read_set_counts(state: Blobs, now: datetime) -> Mapping[str, int]:
    """By state. Raises NotSetUp before the first count, and when the last one says nothing any more."""
    counted = _load(state)
    if counted is None or now - counted[0] > _STALE:
        raise NotSetUp("the sets were not counted lately")
    return {name: counted[1].get(name, 0) for name in COUNTED}


def _load(state: Blobs) -> tuple[datetime, Mapping[str, int]] | None:
    try:
        fields = decode_json(state.read(_BLOB)[0], _BLOB)
        return parse_timestamp(fields["at"]), {str(name): int(one) for name, one in fields["sets"].items()}
    except (NotFound, Corrupt, ValueError, TypeError, KeyError, AttributeError):
        return None  # it is counted anew
