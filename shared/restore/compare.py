"""Whether what was restored equals the backup: documents, options, indexes. Values in, differences out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from shared.formats.backupset import NamespaceEntry
from shared.formats.documents import Tally
from shared.mongodb.oplog import CLUSTER_OPTIONS
from shared.restore.model import AUTH_NAMESPACES, NamespaceVerdict


def compare_documents(expected: NamespaceEntry, actual: Tally) -> list[str]:
    """The differences between a namespace in the manifest and in the target, before the oplog's replay."""
    differences = []
    if actual.documents != expected.documents:
        differences.append(f"{actual.documents} documents instead of {expected.documents}")
    if actual.data_bytes != expected.data_bytes:
        differences.append(f"{actual.data_bytes} bytes instead of {expected.data_bytes}")
    # Only where counts agree: with other counts the hashes differ anyway, and say nothing more.
    if not differences and f"{actual.content_hash:032x}" != expected.content_hash:
        differences.append("as many documents, with other content")
    return differences


def compare_options(expected: Mapping[str, object], actual: Mapping[str, object]) -> list[str]:
    """The differences in a collection's or view's options."""
    return [
        f"option {key} is {actual.get(key, 'absent')!r} instead of {expected.get(key, 'absent')!r}"
        for key in sorted({*expected, *actual} - {*CLUSTER_OPTIONS})
        if not _same(expected.get(key), actual.get(key))
    ]


def compare_indexes(
    expected: Iterable[Mapping[str, object]], actual: Iterable[Mapping[str, object]], refused: Iterable[str]
) -> list[str]:
    """Missing, surplus and different indexes; `refused` are the server's own words."""
    expected_by_name, actual_by_name = _index_by_name(expected), _index_by_name(actual)
    differences = list(refused)
    missing = expected_by_name.keys() - actual_by_name.keys()
    differences += [f"index {name} is missing" for name in sorted(missing)]
    # Every collection has an index on _id; the oplog does not mention it when it creates a collection.
    surplus = actual_by_name.keys() - expected_by_name.keys() - {"_id_"}
    differences += [f"index {name} is not in the backup" for name in sorted(surplus)]
    for name in sorted(expected_by_name.keys() & actual_by_name.keys()):
        if not _same_index(expected_by_name[name], actual_by_name[name]):
            differences.append(f"index {name} is {actual_by_name[name]} instead of {expected_by_name[name]}")
    return differences


# Fields that a server fills in by itself; another version may choose other values.
_SERVER_CHOSEN = ("v", "ns", "background", "2dsphereIndexVersion", "textIndexVersion")


def _index_by_name(indexes: Iterable[Mapping[str, object]]) -> dict[str, dict[str, object]]:
    result = {}
    for index in indexes:
        spec = {key: value for key, value in index.items() if key not in _SERVER_CHOSEN}
        # {a: 1, b: 1} and {b: 1, a: 1} are different indexes; comparing mappings would lose the order.
        key = spec.get("key")
        spec["key"] = list(key.items()) if isinstance(key, Mapping) else key
        result[str(index["name"])] = spec
    return result


# What a server's index may say. Others come from servers before 3.4, and today's drop them: see
# validIndexOptions in mongo-tools' common/bsonutil/indexes.go, and src/mongo/db/index/index_descriptor.h.
_INDEX_OPTIONS = frozenset(
    {
        "2dsphereIndexVersion",
        "background",
        "bits",
        "bucketSize",
        "clustered",
        "coarsestIndexedLevel",
        "collation",
        "default_language",
        "expireAfterSeconds",
        "finestIndexedLevel",
        "hidden",
        "key",
        "language_override",
        "max",
        "min",
        "name",
        "ns",
        "partialFilterExpression",
        "prepareUnique",
        "sparse",
        "storageEngine",
        "textIndexVersion",
        "unique",
        "v",
        "weights",
        "wildcardProjection",
    }
)
# From 5.0.14 and 6.0.2 on a server lists a TTL of NaN as this, and never lets such documents expire:
# https://www.mongodb.com/docs/manual/core/index-ttl/
_TTL_NEVER = 2147483647


def list_dropped_options(
    expected: Iterable[Mapping[str, object]], actual: Iterable[Mapping[str, object]]
) -> list[str]:
    """A message for each index whose options the target did not know and left out."""
    expected_by_name, actual_by_name = _index_by_name(expected), _index_by_name(actual)
    messages = []
    for name in sorted(expected_by_name.keys() & actual_by_name.keys()):
        dropped = expected_by_name[name].keys() - actual_by_name[name].keys() - _INDEX_OPTIONS
        if dropped:
            messages.append(
                f"index {name} was built without {', '.join(sorted(dropped))}, unknown to the target"
            )
    return messages


def _same_index(expected: Mapping[str, object], actual: Mapping[str, object]) -> bool:
    """Equal but for options that no server of today knows, if the target dropped them."""
    dropped = expected.keys() - actual.keys() - _INDEX_OPTIONS
    known = {key: value for key, value in expected.items() if key not in dropped}
    ttl = known.get("expireAfterSeconds")
    if isinstance(ttl, float) and math.isnan(ttl) and actual.get("expireAfterSeconds") == _TTL_NEVER:
        known["expireAfterSeconds"] = _TTL_NEVER
    return _same(known, actual)


def _same(expected: object, actual: object) -> bool:
    """Equality of decoded BSON in which NaN equals itself."""
    if isinstance(expected, float) and isinstance(actual, float) and math.isnan(expected):
        return math.isnan(actual)
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return expected.keys() == actual.keys() and all(_same(expected[k], actual[k]) for k in expected)
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        return len(expected) == len(actual) and all(map(_same, expected, actual))
    return expected == actual


def compare_gaps(files: str, before: Sequence[str], after: Sequence[str]) -> tuple[list[str], list[str]]:
    """Differences and notes for files that lack chunks after the replay of the oplog.

    `before` are those that lacked them in the dump, while every document was equal to the backup's: such a
    file is incomplete in the source, and its restored copy is what it should be.
    """
    differences = [gap for gap in after if gap not in before]
    notes = [f"{files}: {gap}; so it is in the source" for gap in after if gap in before]
    return differences, notes


def build_verdict(
    name: str, entry: NamespaceEntry | None, differences: list[str], users_basis: str
) -> NamespaceVerdict:
    """The verdict on a namespace; without an `entry` of the manifest it came to be in the oplog alone."""
    if entry is None:
        return NamespaceVerdict(name, 0, 0, tuple(differences), "from the oplog")
    basis = "compared" if name not in AUTH_NAMESPACES else users_basis
    return NamespaceVerdict(name, entry.documents, entry.data_bytes, tuple(differences), basis)


def list_restored_buckets(restored: Mapping[str, object]) -> list[str]:
    """`db.bucket` of the GridFS buckets of which both collections, `.files` and `.chunks`, were restored."""
    names = (name.removesuffix(".files") for name in restored if name.endswith(".files"))
    return [name for name in names if f"{name}.chunks" in restored]
