"""What a restore will do, what it refuses, and whether the restored data equals the backup. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.formats.backupset import Manifest, NamespaceEntry, StoredPart
from shared.formats.documents import Tally
from shared.kernel.errors import Refused, UsageError
from shared.mongodb.model import Namespace

AUTH_NAMESPACES = ("admin.system.users", "admin.system.roles", "admin.system.version")


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What will be written, from which parts, and why that is allowed."""

    collections: tuple[NamespaceEntry, ...]
    views: tuple[NamespaceEntry, ...]
    users: tuple[NamespaceEntry, ...]
    parts: tuple[StoredPart, ...]
    oplog: StoredPart  # the part that holds it
    reasons: tuple[str, ...]

    @property
    def selected(self) -> frozenset[str]:
        """The names of all namespaces that are restored."""
        return frozenset(h.name for h in (*self.collections, *self.views, *self.users))

    @property
    def stored_bytes(self) -> int:
        """Bytes that are downloaded to be checked, and again to be restored."""
        return sum(part.stored_bytes for part in self.parts)


def plan_restore(
    manifest: Manifest,
    only: Collection[str],
    existing: Sequence[Namespace],
    hosts: Sequence[str],
    *,
    into_non_empty: bool,
) -> RestorePlan:
    """Decide what to restore into a target that holds `existing` and calls itself `hosts`.

    Raises Refused for the source itself, for a target that is not empty (unless asked for) and for a
    collection that would be mixed with existing documents; UsageError for unknown names in `only`.
    """
    known = {entry.name for entry in manifest.namespaces}
    if unknown := sorted(set(only) - known):
        hint = ", ".join(sorted(known)[:8])
        raise UsageError("not in this backup", value=", ".join(unknown), hint=f"It holds {hint}, …")
    selected = [h for h in manifest.namespaces if not only or h.name in only]
    present = [n for n in existing if n.name not in AUTH_NAMESPACES]
    reasons = [_check_target(manifest, selected, present, hosts, into_non_empty=into_non_empty)]
    names = {h.name for h in selected}
    oplog = manifest.parts[-1]
    parts = tuple(p for p in manifest.parts if p is oplog or names & set(p.namespaces))
    reasons.append(
        f"{len(names)} of {len(known)} namespaces from {len(parts)} of {len(manifest.parts)} parts"
    )
    reasons.append(f"then the oplog from {manifest.oplog.start} to {manifest.oplog.end}")
    return RestorePlan(
        tuple(h for h in selected if h.kind != "view" and h.name not in AUTH_NAMESPACES),
        tuple(h for h in selected if h.kind == "view"),
        tuple(h for h in selected if h.name in AUTH_NAMESPACES),
        parts,
        oplog,
        tuple(reasons),
    )


def _check_target(
    manifest: Manifest,
    selected: Sequence[NamespaceEntry],
    present: Sequence[Namespace],
    hosts: Sequence[str],
    *,
    into_non_empty: bool,
) -> str:
    """Why the target may be written to. A collection's uuid is unique over all servers and times."""
    source_uuids = {h.uuid: h.name for h in manifest.namespaces if h.uuid}
    if same := sorted(source_uuids[n.uuid] for n in present if n.uuid in source_uuids):
        raise Refused(
            "the target is the database that was backed up",
            value=f"{same[0]} is the same collection as in the backup, on {', '.join(hosts)}",
            hint="Restore elsewhere, or drop its databases yourself first if they are to be replaced.",
        )
    if not present:
        return f"the target {', '.join(hosts)} is empty"
    if not into_non_empty:
        raise Refused(
            "the target is not empty",
            value=f"{len(present)} namespaces, {present[0].name} among them",
            hint="Use an empty target, or --into-non-empty to add to what it holds. Remove the leftovers of"
            " an interrupted restore with db.dropDatabase().",
        )
    mixed = sorted({h.name for h in selected} & {n.name for n in present})
    if mixed:
        raise Refused(
            "the target already has collections of the backup",
            value=", ".join(mixed[:5]),
            hint="Drop them first, or leave them out with --only. Documents are never mixed.",
        )
    return f"the target holds {len(present)} other namespaces, and --into-non-empty was given"


@dataclass(frozen=True, slots=True)
class NamespaceVerdict:
    """Whether a restored namespace equals the backup; `differences` holds every difference.

    `basis` says what was looked at: `compared` with the manifest, `restored` (users, whose hashes the
    server does not show), or `from the oplog` for what was created during the dump.
    """

    name: str
    documents: int
    data_bytes: int
    differences: tuple[str, ...] = ()
    basis: str = "compared"

    @property
    def equal(self) -> bool:
        """No difference was found."""
        return not self.differences


def compare_documents(expected: NamespaceEntry, actual: Tally) -> list[str]:
    """The differences between a namespace in the manifest and in the target, before the oplog's replay."""
    differences = []
    if actual.documents != expected.documents:
        differences.append(f"{actual.documents} documents instead of {expected.documents}")
    if actual.data_bytes != expected.data_bytes:
        differences.append(f"{actual.data_bytes} bytes instead of {expected.data_bytes}")
    if not differences and f"{actual.content_hash:032x}" != expected.content_hash:
        differences.append("as many documents, with other content")
    return differences


def compare_options(expected: Mapping[str, object], actual: Mapping[str, object]) -> list[str]:
    """The differences in a collection's or view's options."""
    return [
        f"option {key} is {actual.get(key, 'absent')!r} instead of {expected.get(key, 'absent')!r}"
        for key in sorted({*expected, *actual})
        if actual.get(key) != expected.get(key)
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
        if expected_by_name[name] != actual_by_name[name]:
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
