"""What a restore will do, and what it refuses. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from shared.formats.backupset import Manifest, NamespaceEntry, StoredPart
from shared.kernel.errors import Refused, UsageError
from shared.mongodb.model import Namespace
from shared.mongodb.scope import ReplayScope
from shared.restore.model import AUTH_NAMESPACES, RestorePlan

_RESUME = "An interrupted restore of this set is here: go on with --resume, or drop what it left."
# A collection is journalled right after it was created: one that is not may have been made in between.
_UNJOURNALED = (
    "The interrupted restore did not note that it made them. Drop them if it did, and give --resume again."
)
_NON_EMPTY = "Use an empty target, or --into-non-empty to add to what it holds."


def plan_restore(
    manifest: Manifest,
    only: Collection[str],
    existing: Sequence[Namespace],
    hosts: Sequence[str],
    *,
    into_non_empty: bool,
    resumable: bool = False,
    resuming: bool = False,
) -> RestorePlan:
    """Decide what to restore into a target that holds `existing` and calls itself `hosts`.

    Raises Refused for the source itself, for a target that is not empty (unless asked for) and for a
    collection that would be mixed with existing documents; UsageError for what `only` does not match.
    """
    selected = select_namespaces(manifest.namespaces, only)
    present = [n for n in existing if n.name not in AUTH_NAMESPACES]
    allowed = _check_target(
        manifest, selected, present, hosts, into_non_empty=into_non_empty, advice=_advise(resumable, resuming)
    )
    names = {h.name for h in selected}
    oplog = manifest.parts[-1]
    # The oplog's part always: without the replay the documents of the parts are of different moments.
    parts = tuple(p for p in manifest.parts if p is oplog or names & set(p.namespaces))
    return RestorePlan(
        tuple(h for h in selected if h.kind != "view" and h.name not in AUTH_NAMESPACES),
        tuple(h for h in selected if h.kind == "view"),
        tuple(h for h in selected if h.name in AUTH_NAMESPACES),
        parts,
        oplog,
        (allowed, *_estimate(manifest, selected, parts)),
        frozenset(n.name for n in existing),
    )


def _estimate(
    manifest: Manifest, selected: Sequence[NamespaceEntry], parts: Sequence[StoredPart]
) -> tuple[str, str, str]:
    """How much there is to do."""
    documents, data = sum(h.documents for h in selected), sum(h.data_bytes for h in selected)
    stored = sum(part.stored_bytes for part in parts)
    return (
        f"{len(selected)} of {len(manifest.namespaces)} namespaces from {len(parts)} of {len(manifest.parts)}"
        " parts",
        f"{documents} documents, {_format_mb(data)} before compression; {_format_mb(stored)} are read twice,"
        " to be checked and to be restored",
        f"then the oplog from {manifest.oplog.start} to {manifest.oplog.end}",
    )


def select_namespaces(entries: Sequence[NamespaceEntry], only: Collection[str]) -> list[NamespaceEntry]:
    """The namespaces that `only` names: `db.collection`, a database, or a pattern with `*`, `?` and `[…]`.

    Empty selects all. Raises UsageError, with the nearest names, for what matches nothing.
    """
    names = {entry.name for entry in entries}
    selected = {pattern: _match_names(names, pattern) for pattern in only}
    if unknown := sorted(pattern for pattern, matches in selected.items() if not matches):
        databases = {name.partition(".")[0] for name in names}
        nearest = get_close_matches(unknown[0], sorted(names | databases), n=4, cutoff=0.6)
        hint = (
            f"Did you mean {' or '.join(nearest)}?"
            if nearest
            else f"It holds {', '.join(sorted(names)[:8])}, …"
        )
        raise UsageError("not in this backup", value=", ".join(unknown), hint=hint)
    chosen = set().union(*selected.values()) if only else names
    return [entry for entry in entries if entry.name in chosen]


def _match_names(names: Collection[str], pattern: str) -> set[str]:
    if pattern in names:
        return {pattern}
    # A database before a pattern: `rocketchat` is meant as all of it, and not as a pattern that matches
    # nothing.
    whole = {name for name in names if name.partition(".")[0] == pattern}
    return whole or {name for name in names if fnmatchcase(name, pattern)}


def _advise(resumable: bool, resuming: bool) -> str:
    """What to do about a target that is not empty."""
    if resuming:
        return _UNJOURNALED
    return _RESUME if resumable else _NON_EMPTY


def _check_target(
    manifest: Manifest,
    selected: Sequence[NamespaceEntry],
    present: Sequence[Namespace],
    hosts: Sequence[str],
    *,
    into_non_empty: bool,
    advice: str,
) -> str:
    """Why the target may be written to. A collection's uuid is unique over all servers and times."""
    source_uuids = {h.uuid: h.name for h in manifest.namespaces if h.uuid}
    # By uuid and not by host: production may be reached by a tunnel, under a name that nobody knows.
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
            hint=advice,
        )
    # Even with --into-non-empty: of a mixture nobody could say afterwards what belongs to the backup.
    mixed = sorted({h.name for h in selected} & {n.name for n in present})
    if mixed:
        raise Refused(
            "the target already has collections of the backup",
            value=", ".join(mixed[:5]),
            hint="Drop them first, or leave them out with --only. Documents are never mixed.",
        )
    return f"the target holds {len(present)} other namespaces, and --into-non-empty was given"


def set_databases(manifest: Manifest) -> set[str]:
    """The databases that the set holds, `admin` only if it holds more of it than users."""
    return {entry.db for entry in manifest.namespaces if entry.name not in AUTH_NAMESPACES}


def _format_mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def select_replay(manifest: Manifest, plan: RestorePlan, unequal: Collection[str]) -> ReplayScope:
    """Which oplog entries are replayed: those of what was restored, never of what the target held before.

    Collections that were created during the dump belong to the set if their database does. Of a part of the
    set only what was asked for is replayed. `unequal` are namespaces whose documents differ from the backup:
    a replay would hide the reason.
    """
    complete = len(plan.selected) == len(manifest.namespaces)
    databases = set_databases(manifest)
    return ReplayScope(
        namespaces=plan.selected - set(unequal),
        databases=frozenset(databases if complete else ()),
        excluded=frozenset({*manifest.excluded, *unequal}),
        existing=plan.existing,
    )


def describe_outside(scope: ReplayScope, outside: Mapping[str, int]) -> tuple[dict[str, str], list[str]]:
    """What to say of entries that were not replayed: differences by namespace, and notes.

    A collection of the set's databases that the target held before is a difference: the backup's state of it
    is not there. What belongs to no database of the set is none of the restore's business.
    """
    differences, notes = {}, []
    if not scope.databases:  # a part of the set: nobody asked for the rest
        return {}, []
    for name, count in sorted(outside.items()):
        db = name.partition(".")[0]
        if name in scope.existing and db in scope.databases:
            differences[name] = f"{count} oplog entries not replayed: the target held it before the restore"
        elif db not in scope.databases and not name.endswith("."):
            notes.append(f"{name}: {count} oplog entries not replayed, the set does not hold this database")
    return differences, notes
