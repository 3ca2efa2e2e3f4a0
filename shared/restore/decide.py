"""What a restore will do, what it refuses, and whether what came out is what went in. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.formats.backupset import Manifest, NamespaceEntry, StoredPart
from shared.formats.documents import Tally
from shared.kernel.errors import Refused, UsageError
from shared.mongodb.model import Namespace

AUTH = ("admin.system.users", "admin.system.roles", "admin.system.version")


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What will be written, from which parts, and why it may be."""

    collections: tuple[NamespaceEntry, ...]
    views: tuple[NamespaceEntry, ...]
    users: tuple[NamespaceEntry, ...]
    parts: tuple[StoredPart, ...]
    oplog: StoredPart  # the part that holds it
    because: tuple[str, ...]

    @property
    def wanted(self) -> frozenset[str]:
        """The names of all that is restored."""
        return frozenset(h.name for h in (*self.collections, *self.views, *self.users))

    @property
    def stored_bytes(self) -> int:
        """What will be downloaded to be checked, and again to be restored."""
        return sum(part.stored_bytes for part in self.parts)


def plan_restore(
    manifest: Manifest,
    only: Collection[str],
    there: Sequence[Namespace],
    hosts: Sequence[str],
    *,
    into_non_empty: bool,
) -> RestorePlan:
    """Decide what to restore into a target that holds `there` and calls itself `hosts`.

    Raises Refused for the source itself, for a target that is not empty (unless asked for) and for a
    collection that would be mixed with documents that are there; UsageError for unknown names in `only`.
    """
    known = {held.name for held in manifest.namespaces}
    if unknown := sorted(set(only) - known):
        hint = ", ".join(sorted(known)[:8])
        raise UsageError("not in this backup", value=", ".join(unknown), hint=f"It holds {hint}, …")
    wanted = [h for h in manifest.namespaces if not only or h.name in only]
    present = [n for n in there if n.name not in AUTH]
    because = [_safe(manifest, wanted, present, hosts, into_non_empty=into_non_empty)]
    names = {h.name for h in wanted}
    oplog = manifest.parts[-1]
    parts = tuple(p for p in manifest.parts if p is oplog or names & set(p.namespaces))
    because.append(
        f"{len(names)} of {len(known)} namespaces from {len(parts)} of {len(manifest.parts)} parts"
    )
    because.append(f"then the oplog from {manifest.oplog.start} to {manifest.oplog.end}")
    return RestorePlan(
        tuple(h for h in wanted if h.kind != "view" and h.name not in AUTH),
        tuple(h for h in wanted if h.kind == "view"),
        tuple(h for h in wanted if h.name in AUTH),
        parts,
        oplog,
        tuple(because),
    )


def _safe(
    manifest: Manifest,
    wanted: Sequence[NamespaceEntry],
    present: Sequence[Namespace],
    hosts: Sequence[str],
    *,
    into_non_empty: bool,
) -> str:
    """Why the target may be written to. A collection's uuid names it over all servers and times."""
    alive = {h.uuid: h.name for h in manifest.namespaces if h.uuid}
    if same := sorted(alive[n.uuid] for n in present if n.uuid in alive):
        raise Refused(
            "the target is the database that was backed up",
            value=f"{same[0]} is the very collection of the backup, on {', '.join(hosts)}",
            hint="Restore elsewhere, or drop its databases yourself first if they shall be replaced.",
        )
    if not present:
        return f"the target {', '.join(hosts)} is empty"
    if not into_non_empty:
        raise Refused(
            "the target is not empty",
            value=f"{len(present)} namespaces, {present[0].name} among them",
            hint="Give an empty one, or --into-non-empty to add to what is there. What a restore that broke"
            " off has left behind goes with db.dropDatabase().",
        )
    mixed = sorted({h.name for h in wanted} & {n.name for n in present})
    if mixed:
        raise Refused(
            "the target has collections that would be mixed with the backup's",
            value=", ".join(mixed[:5]),
            hint="Drop them first, or leave them out with --only.",
        )
    return f"the target holds {len(present)} other namespaces, and --into-non-empty was given"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a namespace came out as it went in; `because` holds every difference.

    `how` says what was looked at: `compared` with the manifest, `restored` (users, whose hashes the server
    keeps to itself), or `from the oplog` for what was born during the dump.
    """

    name: str
    documents: int
    data_bytes: int
    because: tuple[str, ...] = ()
    how: str = "compared"

    @property
    def equal(self) -> bool:
        """No difference was found."""
        return not self.because


def judge_documents(held: NamespaceEntry, found: Tally) -> list[str]:
    """The differences between a namespace in the manifest and in the target, before the oplog's replay."""
    differences = []
    if found.documents != held.documents:
        differences.append(f"{found.documents} documents instead of {held.documents}")
    if found.data_bytes != held.data_bytes:
        differences.append(f"{found.data_bytes} bytes instead of {held.data_bytes}")
    if not differences and f"{found.content_hash:032x}" != held.content_hash:
        differences.append("as many documents, with other content")
    return differences


def judge_options(wanted: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    """The differences in a collection's or view's options."""
    return [
        f"option {key} is {found.get(key, 'absent')!r} instead of {wanted.get(key, 'absent')!r}"
        for key in sorted({*wanted, *found})
        if found.get(key) != wanted.get(key)
    ]


def judge_indexes(
    wanted: Iterable[Mapping[str, object]], found: Iterable[Mapping[str, object]], refused: Iterable[str]
) -> list[str]:
    """Missing, surplus and different indexes; `refused` are the server's own words."""
    want, have = _by_name(wanted), _by_name(found)
    differences = list(refused)
    differences += [f"index {name} is missing" for name in sorted(want.keys() - have.keys())]
    # Every collection has an index on _id; one that the oplog created brings no word of it.
    surplus = have.keys() - want.keys() - {"_id_"}
    differences += [f"index {name} is not in the backup" for name in sorted(surplus)]
    for name in sorted(want.keys() & have.keys()):
        if want[name] != have[name]:
            differences.append(f"index {name} is {have[name]} instead of {want[name]}")
    return differences


# What a server decides by itself and may decide otherwise after a restore.
_SERVERS_OWN = ("v", "ns", "background", "2dsphereIndexVersion", "textIndexVersion")


def _by_name(indexes: Iterable[Mapping[str, object]]) -> dict[str, dict[str, object]]:
    result = {}
    for index in indexes:
        spec = {key: value for key, value in index.items() if key not in _SERVERS_OWN}
        # The order of an index's fields is part of what it is; a mapping's comparison would lose it.
        key = spec.get("key")
        spec["key"] = list(key.items()) if isinstance(key, Mapping) else key
        result[str(index["name"])] = spec
    return result
