"""What a restore will do, and what it refuses. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from shared.formats.backupset import Manifest, NamespaceEntry
from shared.kernel.errors import Refused, UsageError
from shared.mongodb.model import Namespace
from shared.mongodb.scope import ReplayScope
from shared.restore.model import AUTH_NAMESPACES, RestorePlan


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
        frozenset(n.name for n in existing),
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


def select_replay(manifest: Manifest, plan: RestorePlan, unequal: Collection[str]) -> ReplayScope:
    """Which oplog entries are replayed: those of what was restored, never of what the target held before.

    Collections that were created during the dump belong to the set if their database does. Of a part of the
    set only what was asked for is replayed. `unequal` are namespaces whose documents differ from the backup:
    a replay would hide the reason.
    """
    complete = len(plan.selected) == len(manifest.namespaces)
    databases = {entry.db for entry in manifest.namespaces if entry.name not in AUTH_NAMESPACES}
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
